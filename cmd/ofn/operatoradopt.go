package main

import (
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openfunction/ofn/internal/control/adopt"
	"github.com/openfunction/ofn/internal/control/function"
	"github.com/openfunction/ofn/internal/control/function/build"
	functionplace "github.com/openfunction/ofn/internal/control/function/place"
)

// adopting are the phases of a function, for one that OpenFunction's operator may have made things for as well.
func adopting(m ctrl.Manager, built *build.Phase, others ...function.Phase) function.Phase {
	return adopt.New(m.GetClient(), m.GetAPIReader(), built, append([]function.Phase{built}, others...)...)
}

// adoptingRoutes leads requests to functions, and to what OpenFunction's operator made for them until they are ready.
func adoptingRoutes(m ctrl.Manager, e functionplace.Exposer) functionplace.Exposer {
	return adopt.Around(m.GetClient(), m.GetAPIReader(), e)
}

// Package runtime says what serves functions once they are registered.
package runtime

import (
	"context"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
)

// Interface is a running, or not yet running, set of functions.
type Interface interface {
	// Start serves until ctx ends or the process is told to end, then drains; see framework.Framework.
	Start(ctx context.Context) error
	// Name says whether events call the functions, or only requests.
	Name() ofctx.Runtime
	// GetHandler returns an http.Handler that serves the functions registered so far, for tests. With inputs it is
	// a *async.Server, which takes Dapr's calls too.
	GetHandler() interface{}
}

package admission

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// unscaled warns of triggers of KEDA that nobody on a cluster looks at: an engine that is named scales by requests alone. A function that names
// none, or is called by Dapr, is scaled by KEDA.
func (o Options) unscaled(s *v1beta2.ServingTemplate) []string {
	t, scale := s.Triggers, s.ScaleOptions
	if o.Cluster == nil || t == nil || t.HTTP == nil || t.HTTP.Engine == nil || len(t.Dapr) > 0 || scale == nil || scale.Keda == nil || len(scale.Keda.Triggers) == 0 {
		return nil
	}
	serving := field.NewPath("spec", "serving")
	return []string{fmt.Sprintf("%s: ignored, because the engine %q that %s names scales by requests alone; leave the engine out to have KEDA scale the function by these triggers (requests then do not wake it from zero), or remove them",
		serving.Child("scaleOptions", "keda", "triggers"), *t.HTTP.Engine, serving.Child("triggers", "http", "engine"))}
}

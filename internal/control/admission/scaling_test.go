package admission_test

import (
	"strings"
	"testing"

	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/openfunction/ofn/internal/control/admission"
)

func TestTriggersThatAnEngineIgnores(t *testing.T) {
	keda := map[string]any{"keda": map[string]any{"triggers": []any{map[string]any{"type": "cron"}}}}
	named := map[string]any{"http": map[string]any{"port": int64(8080), "engine": "knative"}}
	cluster := admission.Options{Cluster: fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).Build()}
	for name, test := range map[string]struct {
		where           admission.Options
		triggers, scale map[string]any
		warned          bool
	}{
		"an engine is named": {cluster, named, keda, true},
		"on one machine":     {admission.Options{}, named, keda, false},
		"none is named":      {cluster, map[string]any{"http": map[string]any{"port": int64(8080)}}, keda, false},
		"Dapr calls it, too": {cluster, map[string]any{"http": named["http"], "dapr": []any{map[string]any{"name": "c", "type": "bindings.cron"}}}, keda, false},
		"no triggers":        {cluster, named, map[string]any{"minReplicas": int64(1)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := podFunction(map[string]any{})
			serving := f["spec"].(map[string]any)["serving"].(map[string]any)
			serving["triggers"], serving["scaleOptions"] = test.triggers, test.scale
			s := newServer(t)
			s.serve(t, test.where)
			got := s.review("validate", f, nil)
			all := strings.Join(got.Warnings, "\n")
			if !got.Allowed || strings.Contains(all, `spec.serving.scaleOptions.keda.triggers: ignored, because the engine "knative"`) != test.warned {
				t.Errorf("answer %+v, warnings %q", got, all)
			}
		})
	}
}

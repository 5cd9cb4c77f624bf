package run_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// Each testdata/*.yaml is the spec of a Serving, and the *.json beside it what a function reads of it: its environment without
// params, in which the documents are shown as documents.
func TestContexts(t *testing.T) {
	specs, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(specs) == 0 {
		t.Fatalf("specs %v, error %v", specs, err)
	}
	for _, spec := range specs {
		t.Run(filepath.Base(spec), func(t *testing.T) {
			raw, err := os.ReadFile(spec)
			if err != nil {
				t.Fatal(err)
			}
			s := serving(t, "")
			if err := yaml.UnmarshalStrict(raw, &s.Spec); err != nil {
				t.Fatal(err)
			}
			got := environment(t, s)
			golden := strings.TrimSuffix(spec, ".yaml") + ".json"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("environment is\n%s, want\n%s", got, want)
			}
		})
	}
}

func environment(t *testing.T, s *v1beta2.Serving, more ...client.Object) []byte {
	t.Helper()
	shared := &daprv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "shared"}, Spec: daprv1.ComponentSpec{Type: "state.postgresql", Version: "v1"}}
	w := newWorld(t, append(more, shared, s)...)
	w.rest()
	env := map[string]any{}
	for _, e := range w.r.applied[key].Container.Env {
		env[e.Name] = e.Value
		if strings.HasPrefix(e.Name, "FUNC_CONTEXT") {
			env[e.Name] = json.RawMessage(e.Value)
		}
	}
	out, err := json.MarshalIndent(env, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

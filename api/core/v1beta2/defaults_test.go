package v1beta2_test

import (
	"encoding/json"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Each case is a function and the whole of it after Default.
func TestDefault(t *testing.T) {
	const http = `triggers: {http: {port: 8080, route: {gatewayRef: {name: openfunction, namespace: openfunction}}}}`
	for _, test := range []struct{ name, in, want string }{
		{"version", `{spec: {image: i}}`, `{spec: {image: i, version: latest}}`},
		{"empty version", `{spec: {image: i, version: ""}}`, `{spec: {image: i, version: latest}}`},
		{"given version", `{spec: {image: i, version: v1}}`, `{spec: {image: i, version: v1}}`},
		{"no triggers", `{spec: {image: i, version: v, serving: {}}}`, `{spec: {image: i, version: v, serving: {` + http + `}}}`},
		{"empty triggers", `{spec: {image: i, version: v, serving: {triggers: {}}}}`, `{spec: {image: i, version: v, serving: {` + http + `}}}`},
		{"empty http", `{spec: {image: i, version: v, serving: {triggers: {http: {}}}}}`, `{spec: {image: i, version: v, serving: {` + http + `}}}`},
		{"port 0", `{spec: {image: i, version: v, serving: {triggers: {http: {port: 0}}}}}`, `{spec: {image: i, version: v, serving: {` + http + `}}}`},
		{"given port, route without gateway",
			`{spec: {image: i, version: v, serving: {triggers: {http: {port: 80, route: {hostnames: [a.b]}}}}}}`,
			`{spec: {image: i, version: v, serving: {triggers: {http: {port: 80, route: {hostnames: [a.b], gatewayRef: {name: openfunction, namespace: openfunction}}}}}}}`},
		{"given gateway",
			`{spec: {image: i, version: v, serving: {triggers: {http: {port: 80, route: {gatewayRef: {name: a, namespace: b}}}}}}}`,
			`{spec: {image: i, version: v, serving: {triggers: {http: {port: 80, route: {gatewayRef: {name: a, namespace: b}}}}}}}`},
		{"dapr triggers only: no http",
			`{spec: {image: i, version: v, serving: {triggers: {dapr: [{name: a}]}}}}`,
			`{spec: {image: i, version: v, serving: {triggers: {dapr: [{name: a}]}}}}`},
		{"dapr and http",
			`{spec: {image: i, version: v, serving: {triggers: {dapr: [{name: a}], http: {}}}}}`,
			`{spec: {image: i, version: v, serving: {triggers: {dapr: [{name: a}], http: {port: 8080, route: {gatewayRef: {name: openfunction, namespace: openfunction}}}}}}}`},
		{"traffic targets",
			`{spec: {image: i, version: v, serving: {` + http + `, traffic: [{percent: 90}, {revisionName: r, percent: 10}]}}}`,
			`{spec: {image: i, version: v, serving: {` + http + `, traffic: [{percent: 90, latestRevision: true}, {revisionName: r, latestRevision: false, percent: 10}]}}}`},
		{"wasm by runtime, in any case",
			`{spec: {image: i, version: v, workloadRuntime: WASMEDGE, build: {srcRepo: {url: u}}, serving: {` + http + `, template: {containers: []}}}}`,
			`{metadata: {annotations: {module.wasm.image/variant: compat-smart}}, spec: {image: i, version: v, workloadRuntime: WASMEDGE,
			  build: {srcRepo: {url: u}, shipwright: {strategy: {name: wasmedge, kind: ClusterBuildStrategy}}},
			  serving: {` + http + `, annotations: {module.wasm.image/variant: compat-smart}, template: {containers: [], runtimeClassName: openfunction-crun}}}}`},
		{"wasm by annotation, nothing of the user's is touched",
			`{metadata: {annotations: {module.wasm.image/variant: mine}}, spec: {image: i, version: v,
			  build: {srcRepo: {url: u}, shipwright: {strategy: {name: s}}},
			  serving: {` + http + `, annotations: {module.wasm.image/variant: other}, template: {runtimeClassName: wasm}}}}`,
			`{metadata: {annotations: {module.wasm.image/variant: mine}}, spec: {image: i, version: v,
			  build: {srcRepo: {url: u}, shipwright: {strategy: {name: s}}},
			  serving: {` + http + `, annotations: {module.wasm.image/variant: other}, template: {runtimeClassName: wasm}}}}`},
		{"the platform's own runtime class",
			`{spec: {image: i, version: v, build: {srcRepo: {url: u}}, serving: {` + http + `, template: {runtimeClassName: wasm}}}}`,
			`{spec: {image: i, version: v, build: {srcRepo: {url: u}, shipwright: {strategy: {name: wasmedge, kind: ClusterBuildStrategy}}},
			  serving: {` + http + `, template: {runtimeClassName: wasm}}}}`},
		{"wasm without template gets none",
			`{spec: {image: i, version: v, workloadRuntime: wasmedge, serving: {` + http + `}}}`,
			`{metadata: {annotations: {module.wasm.image/variant: compat-smart}}, spec: {image: i, version: v, workloadRuntime: wasmedge,
			  serving: {` + http + `, annotations: {module.wasm.image/variant: compat-smart}}}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, want := read(t, test.in), read(t, test.want)
			f.Default()
			if a, b := text(t, f), text(t, want); a != b {
				t.Errorf("got\n%s\nwant\n%s", a, b)
			}
			before := text(t, f)
			if f.Default(); text(t, f) != before {
				t.Errorf("a second call changed it to\n%s", text(t, f))
			}
		})
	}
}

func TestDefaultDropsRuntime(t *testing.T) {
	f := read(t, `{spec: {image: i, serving: {runtime: knative}}}`)
	if warnings := f.Default(); len(warnings) != 1 {
		t.Errorf("warnings %q, want one about spec.serving.runtime", warnings)
	}
	if f.Spec.Serving.Runtime != "" {
		t.Error("spec.serving.runtime is still there")
	}
}

func read(t *testing.T, manifest string) *v1beta2.Function {
	t.Helper()
	f := &v1beta2.Function{}
	if err := yaml.UnmarshalStrict([]byte(manifest), f); err != nil {
		t.Fatal(err)
	}
	return f
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

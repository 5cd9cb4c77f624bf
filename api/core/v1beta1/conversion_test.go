package v1beta1_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta1"
	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Each case is a spec of v1beta1 and what of it must be found in v1beta2 (a part of the spec).
func TestFunctionToHub(t *testing.T) {
	for _, test := range []struct{ name, old, want string }{
		{"knative: port and route become the http trigger",
			`{image: i, port: 80, route: {hostnames: [a.b]}, serving: {runtime: knative}}`,
			`{image: i, serving: {triggers: {http: {port: 80, route: {hostnames: [a.b]}}}}}`},
		{"knative with inputs: they can be read, nothing is lost",
			`{image: i, serving: {runtime: knative, inputs: [{name: in, component: c, topic: t}]}}`,
			`{serving: {triggers: {http: {}, inputs: [{dapr: {name: c, topic: t}}]}}}`},
		{"async: inputs become dapr triggers, their type is looked up",
			`{image: i, serving: {runtime: async, inputs: [{name: in, component: c, topic: t}], pubsub: {c: {type: pubsub.kafka, version: v1, metadata: []}}}}`,
			`{serving: {triggers: {dapr: [{name: c, type: pubsub.kafka, topic: t, inputName: in}]}}}`},
		{"outputs: also those of components elsewhere",
			`{image: i, serving: {runtime: async, outputs: [{name: out, component: elsewhere, operation: create, params: {k: v}}]}}`,
			`{serving: {outputs: [{dapr: {name: elsewhere, outputName: out, operation: create, metadata: {k: v}}}]}}`},
		{"states get a spec",
			`{image: i, serving: {runtime: knative, states: {s: {type: state.redis, version: v1, metadata: []}}}}`,
			`{serving: {states: {s: {spec: {type: state.redis, version: v1}}}}}`},
		{"KEDA triggers without scaleOptions are kept",
			`{image: i, serving: {runtime: async, triggers: [{type: kafka, metadata: {topic: t}, targetKind: object}]}}`,
			`{serving: {scaleOptions: {keda: {triggers: [{type: kafka, metadata: {topic: t}}]}}}}`},
		{"the limits and the workload of a scaled object",
			`{image: i, serving: {runtime: async, scaleOptions: {minReplicas: 3, keda: {scaledObject: {workloadType: StatefulSet, minReplicaCount: 1, maxReplicaCount: 5, pollingInterval: 15}}}}}`,
			`{serving: {workloadType: StatefulSet, scaleOptions: {minReplicas: 1, maxReplicas: 5, keda: {scaledObject: {pollingInterval: 15}}}}}`},
		{"the limits of a scaler are not those of an http function that has its own",
			`{image: i, serving: {runtime: knative, scaleOptions: {maxReplicas: 3, keda: {scaledObject: {maxReplicaCount: 5}}}}}`,
			`{serving: {scaleOptions: {maxReplicas: 3}}}`},
		{"a scaled job without a scaled object",
			`{image: i, serving: {runtime: async, scaleOptions: {keda: {scaledJob: {pollingInterval: 7, maxReplicaCount: 4, restartPolicy: Never}}}}}`,
			`{serving: {workloadType: Job, scaleOptions: {maxReplicas: 4, keda: {scaledJob: {pollingInterval: 7, restartPolicy: Never}}}}}`},
		{"build parameters without shipwright",
			`{image: i, build: {builder: b, params: {z: "1", a: "2"}, srcRepo: {url: u}, timeout: 5m}}`,
			`{build: {builder: b, timeout: 5m0s, shipwright: {params: [{name: a, value: "2"}, {name: z, value: "1"}]}}}`},
		{"a bundle without credentials",
			`{image: i, build: {dockerfile: d, srcRepo: {bundleContainer: {image: bundle}}}}`,
			`{build: {srcRepo: {bundleContainer: {image: bundle}}}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := &v1beta1.Function{}
			parse(t, "spec: "+test.old, old)
			hub := &v1beta2.Function{}
			if err := old.ConvertTo(hub); err != nil {
				t.Fatal(err)
			}
			var want any
			parse(t, test.want, &want)
			contains(t, "spec", object(t, text(t, hub.Spec)), want)
			again := &v1beta1.Function{}
			if err := again.ConvertFrom(hub); err != nil {
				t.Fatal(err)
			}
			if a, b := text(t, old.Spec), text(t, again.Spec); a != b {
				t.Errorf("came back as\n%s, was\n%s", b, a)
			}
		})
	}
}

func TestHooksAndTracingOfAnnotations(t *testing.T) {
	old := &v1beta1.Function{}
	parse(t, `
metadata:
  annotations:
    plugins: "order: [a, b]"
    plugins.tracing: |
      enabled: true
      provider: {name: skywalking, oapServer: "localhost:11800"}
      tags: {func: f}
spec: {image: i, serving: {runtime: knative}}`, old)
	hub := &v1beta2.Function{}
	if err := old.ConvertTo(hub); err != nil {
		t.Fatal(err)
	}
	var want any
	parse(t, `{hooks: {pre: [a, b], post: [b, a], policy: Override},
	  tracing: {enabled: true, provider: {name: skywalking, oapServer: "localhost:11800"}, tags: {func: f}}}`, &want)
	contains(t, "serving", object(t, text(t, hub.Spec.Serving)), want)
	if len(hub.Annotations) != 2 {
		t.Errorf("annotations %v: want the two of the user and nothing else", hub.Annotations)
	}
}

// What one version cannot say survives an edit made in it.
func TestEditInTheOlderVersion(t *testing.T) {
	hub := &v1beta2.Function{}
	parse(t, `
spec:
  image: i
  serving:
    traffic: [{latestRevision: true, percent: 90}, {revisionName: r, percent: 10}]
    scaleOptions: {minReplicas: 1, containerConcurrency: 5}
    hooks: {pre: [a], policy: Append}
    triggers: {http: {port: 8080, engine: keda}}
    outputs:
    - dapr: {name: a, type: bindings.a}
    - dapr: {name: b, type: bindings.b}`, hub)
	old := &v1beta1.Function{}
	if err := old.ConvertFrom(hub); err != nil {
		t.Fatal(err)
	}
	if old.Annotations[v1beta2.AnnotationConversionData] == "" {
		t.Fatal("nothing is remembered")
	}
	port, least := int32(9090), int32(2)
	old.Spec.Port = &port
	old.Spec.Serving.ScaleOptions.MinReplicas = &least
	old.Spec.Serving.Outputs = append(old.Spec.Serving.Outputs, &v1beta1.DaprIO{Name: "c", Component: "c"})
	got := &v1beta2.Function{}
	if err := old.ConvertTo(got); err != nil {
		t.Fatal(err)
	}
	want := hub.DeepCopy()
	want.Spec.Serving.Triggers.HTTP.Port = &port
	want.Spec.Serving.ScaleOptions.MinReplicas = &least
	want.Spec.Serving.Outputs = append(want.Spec.Serving.Outputs, &v1beta2.Output{Dapr: &v1beta2.DaprOutput{
		DaprComponentRef: v1beta2.DaprComponentRef{Name: "c"}, OutputName: "c"}})
	if a, b := text(t, want.Spec), text(t, got.Spec); a != b {
		t.Errorf("got\n%s\nwant\n%s", b, a)
	}
}

func TestEditInTheHub(t *testing.T) {
	old := &v1beta1.Function{}
	parse(t, `
spec:
  image: i
  port: 80
  serving:
    runtime: async
    inputs: [{name: in, component: c, params: {k: v}}]
    triggers: [{type: kafka, metadata: {}, targetKind: job}]
    scaleOptions: {keda: {scaledJob: {maxReplicaCount: 3}}}`, old)
	hub := &v1beta2.Function{}
	if err := old.ConvertTo(hub); err != nil {
		t.Fatal(err)
	}
	hub.Spec.Image = "j"
	got := &v1beta1.Function{}
	if err := got.ConvertFrom(hub); err != nil {
		t.Fatal(err)
	}
	want := old.DeepCopy()
	want.Spec.Image = "j"
	if a, b := text(t, want.Spec), text(t, got.Spec); a != b {
		t.Errorf("got\n%s\nwant\n%s", b, a)
	}
}

// An annotation that somebody forged or cut short must not make an object unreadable.
func TestForgedMemory(t *testing.T) {
	for _, data := range []string{"", "null", "[]", "{", `{"kind":"Function","v1beta2":7}`, `{"kind":"Function","v1beta2":{"image":"i","serving":{"states":{"a":null}}}}`, strings.Repeat("x", 1<<20)} {
		old := &v1beta1.Function{}
		parse(t, `spec: {image: i, serving: {runtime: knative}}`, old)
		old.Annotations = map[string]string{v1beta2.AnnotationConversionData: data, "mine": "x"}
		hub := &v1beta2.Function{}
		if err := old.ConvertTo(hub); err != nil {
			t.Fatalf("%.40q: %v", data, err)
		}
		if hub.Spec.Image != "i" || hub.Annotations["mine"] != "x" {
			t.Errorf("%.40q: spec %+v, annotations %v", data, hub.Spec, hub.Annotations)
		}
	}
}

// Servings get the annotations of their Function, this one included.
func TestMemoryOfAnotherKind(t *testing.T) {
	old := &v1beta1.Function{}
	parse(t, `spec: {image: i, serving: {runtime: knative, inputs: [{name: in, component: c, params: {k: v}}]}}`, old)
	hub := &v1beta2.Function{}
	if err := old.ConvertTo(hub); err != nil {
		t.Fatal(err)
	}
	if hub.Annotations[v1beta2.AnnotationConversionData] == "" {
		t.Fatal("nothing is remembered, so this test shows nothing")
	}
	serving := &v1beta2.Serving{Spec: v1beta2.ServingSpec{Image: "j", ServingTemplate: hub.Spec.Serving.ServingTemplate}}
	serving.Annotations = hub.Annotations
	got := &v1beta1.Serving{}
	if err := got.ConvertFrom(serving); err != nil {
		t.Fatal(err)
	}
	if got.Spec.Runtime != v1beta1.Knative || got.Spec.Image != "j" || len(got.Spec.Inputs) != 1 || got.Spec.Inputs[0].Params != nil {
		t.Errorf("%+v", got.Spec)
	}
}

func TestStatusIsTheSame(t *testing.T) {
	hub := &v1beta2.Function{Status: v1beta2.FunctionStatus{
		ObservedGeneration:  3,
		Build:               &v1beta2.StageStatus{State: v1beta2.StateFailed, Reason: "CompileFailed", Message: "m"},
		Revision:            &v1beta2.ImageRevision{ImageDigest: "sha256:1"},
		Addresses:           []v1beta2.FunctionAddress{{Type: v1beta2.AddressInternal, Value: "http://x"}},
		LatestReadyRevision: "r",
	}}
	old, again := &v1beta1.Function{}, &v1beta2.Function{}
	if err := old.ConvertFrom(hub); err != nil {
		t.Fatal(err)
	}
	if err := old.ConvertTo(again); err != nil {
		t.Fatal(err)
	}
	if a, b, c := text(t, hub.Status), text(t, old.Status), text(t, again.Status); a != b || b != c {
		t.Errorf("%s\n%s\n%s", a, b, c)
	}
}

func TestConversionDoesNotShareMemory(t *testing.T) {
	old := &v1beta1.Function{}
	parse(t, `spec: {image: i, serving: {runtime: knative, params: {a: "1"}}}`, old)
	hub := &v1beta2.Function{}
	if err := old.ConvertTo(hub); err != nil {
		t.Fatal(err)
	}
	hub.Spec.Serving.Params["a"] = "2"
	if old.Spec.Serving.Params["a"] != "1" {
		t.Error("the converted object shares a map with the original")
	}
}

func parse(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

// contains reports where got lacks something of want.
func contains(t *testing.T, path string, got, want any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for key, child := range w {
			if _, ok := g[key]; !ok {
				t.Errorf("%s.%s is missing in %v", path, key, got)
				continue
			}
			contains(t, path+"."+key, g[key], child)
		}
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			t.Errorf("%s: %v, want %v", path, got, want)
			return
		}
		for i := range w {
			contains(t, path+"[]", g[i], w[i])
		}
	default:
		if got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

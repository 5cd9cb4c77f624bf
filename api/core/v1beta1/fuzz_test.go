package v1beta1_test

import (
	"encoding/json"
	"math/rand"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/randfill"

	"github.com/openfunction/ofn/api/core/v1beta1"
	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/api/opaque"
)

// A seed makes an object with any of its fields; whatever it is, neither direction may lose a byte of it.

func FuzzHubRoundTrip(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, seed int64) {
		fill := filler(seed)
		function, builder, serving := &v1beta2.Function{}, &v1beta2.Builder{}, &v1beta2.Serving{}
		fill.Fill(&function.Spec)
		fill.Fill(&builder.Spec)
		fill.Fill(&serving.Spec)
		function.Annotations = annotations(seed)
		through(t, function, &v1beta1.Function{}, &v1beta2.Function{},
			(*v1beta1.Function).ConvertFrom, (*v1beta1.Function).ConvertTo)
		through(t, builder, &v1beta1.Builder{}, &v1beta2.Builder{},
			(*v1beta1.Builder).ConvertFrom, (*v1beta1.Builder).ConvertTo)
		through(t, serving, &v1beta1.Serving{}, &v1beta2.Serving{},
			(*v1beta1.Serving).ConvertFrom, (*v1beta1.Serving).ConvertTo)
	})
}

func FuzzOlderRoundTrip(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, seed int64) {
		fill := filler(seed)
		function, builder, serving := &v1beta1.Function{}, &v1beta1.Builder{}, &v1beta1.Serving{}
		fill.Fill(&function.Spec)
		fill.Fill(&builder.Spec)
		fill.Fill(&serving.Spec)
		function.Annotations = annotations(seed)
		to := func(hub *v1beta2.Function, old *v1beta1.Function) error { return old.ConvertTo(hub) }
		from := func(hub *v1beta2.Function, old *v1beta1.Function) error { return old.ConvertFrom(hub) }
		through(t, function, &v1beta2.Function{}, &v1beta1.Function{}, to, from)
		through(t, builder, &v1beta2.Builder{}, &v1beta1.Builder{},
			func(hub *v1beta2.Builder, old *v1beta1.Builder) error { return old.ConvertTo(hub) },
			func(hub *v1beta2.Builder, old *v1beta1.Builder) error { return old.ConvertFrom(hub) })
		through(t, serving, &v1beta2.Serving{}, &v1beta1.Serving{},
			func(hub *v1beta2.Serving, old *v1beta1.Serving) error { return old.ConvertTo(hub) },
			func(hub *v1beta2.Serving, old *v1beta1.Serving) error { return old.ConvertFrom(hub) })
	})
}

// FuzzAnyManifest converts whatever JSON decodes: nothing may panic, and what is accepted comes back.
func FuzzAnyManifest(f *testing.F) {
	for _, s := range []string{
		`{"spec":{"serving":{"runtime":"async","inputs":[null]}}}`,
		`{"spec":{"serving":{"runtime":"x","states":{"a":null},"bindings":{"b":null},"outputs":[null,{}]}}}`,
		`{"spec":{"build":{"srcRepo":{"bundleContainer":{}},"params":{"a":"b"}}}}`,
		`{"spec":{"serving":{"scaleOptions":{"keda":{"scaledJob":{}}},"triggers":[{}]}}}`,
		`{"metadata":{"annotations":{"core.openfunction.io/conversion-data":"{\"kind\":\"Function\",\"v1beta2\":{}}","plugins":"order: 1","plugins.tracing":"- x"}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		old, hub := &v1beta1.Function{}, &v1beta2.Function{}
		if json.Unmarshal(data, old) == nil {
			if err := old.ConvertTo(&v1beta2.Function{}); err != nil {
				t.Fatal(err)
			}
		}
		if json.Unmarshal(data, hub) != nil {
			return
		}
		if err := (&v1beta1.Function{}).ConvertFrom(hub); err != nil {
			t.Fatal(err)
		}
		hub.Default()
		hub.Validate()
	})
}

// through converts there and back and compares.
func through[A, B any](t *testing.T, start *A, there *B, end *A, out func(*B, *A) error, back func(*B, *A) error) {
	t.Helper()
	want := text(t, start)
	if err := out(there, start); err != nil {
		t.Fatal(err)
	}
	middle := text(t, there)
	if err := back(there, end); err != nil {
		t.Fatal(err)
	}
	a, b := object(t, want), object(t, text(t, end))
	delete(a, "apiVersion")
	delete(b, "apiVersion")
	delete(a, "kind")
	delete(b, "kind")
	if x, y := text(t, a), text(t, b); x != y {
		t.Fatalf("came back different\nstart  %s\nmiddle %s\nend    %s", x, middle, y)
	}
}

func object(t *testing.T, s string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func seeds(f *testing.F) {
	for seed := range int64(200) {
		f.Add(seed)
	}
}

// annotations gives some objects the annotations that the conversion reads.
func annotations(seed int64) map[string]string {
	switch seed % 4 {
	case 0:
		return map[string]string{"plugins": "order: [a, b]"}
	case 1:
		return map[string]string{"plugins": "pre: [a]\npost: [b]", "plugins.tracing": "enabled: true\nprovider: {name: skywalking}"}
	case 2:
		return map[string]string{"plugins": "\tnot yaml", "other": "x"}
	default:
		return nil
	}
}

func filler(seed int64) *randfill.Filler {
	return randfill.New().RandSource(rand.NewSource(seed)).NilChance(0.4).NumElements(1, 3).MaxDepth(12).Funcs(
		func(o *opaque.Object, c randfill.Continue) {
			made, err := opaque.Of(map[string]any{c.String(4): c.Uint64(), "list": []any{true, nil, c.String(3)}})
			if err == nil {
				*o = made
			}
		},
		func(v *opaque.Value, c randfill.Continue) {
			*v = opaque.Text(c.String(5))
		},
		func(d *metav1.Duration, c randfill.Continue) { d.Duration = 1000 * 1000 * 1000 },
		func(r *corev1.LocalObjectReference, c randfill.Continue) { r.Name = c.String(5) },
		func(r *v1beta1.Runtime, c randfill.Continue) {
			*r = []v1beta1.Runtime{v1beta1.Knative, v1beta1.Async, "other"}[c.Intn(3)]
		},
	)
}

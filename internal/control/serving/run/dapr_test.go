package run_test

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
)

// functionContext is the part of both contexts that the platform's defaults are in.
type functionContext struct {
	Pre, Post         []string               // of FUNC_CONTEXT_V1BETA2
	OldPre, OldPost   []string               // of FUNC_CONTEXT
	Tracing, PlugTrac *v1beta2.TracingConfig // of each
}

func contexts(t *testing.T, w *world) functionContext {
	t.Helper()
	var out functionContext
	for _, e := range w.r.applied[key].Container.Env {
		var c struct {
			PreHooks, PostHooks, PrePlugins, PostPlugins []string
			Tracing, PluginsTracing                      *v1beta2.TracingConfig
		}
		switch e.Name {
		case "FUNC_CONTEXT":
			if err := json.Unmarshal([]byte(e.Value), &c); err != nil {
				t.Fatal(err)
			}
			out.OldPre, out.OldPost, out.PlugTrac = c.PrePlugins, c.PostPlugins, c.PluginsTracing
		case "FUNC_CONTEXT_V1BETA2":
			if err := json.Unmarshal([]byte(e.Value), &c); err != nil {
				t.Fatal(err)
			}
			out.Pre, out.Post, out.Tracing = c.PreHooks, c.PostHooks, c.Tracing
		}
	}
	return out
}

// The defaults of the platform's ConfigMap, by OpenFunction's keys, and what functions make of them.
func TestDefaults(t *testing.T) {
	const sky = "enabled: true\nprovider: {name: skywalking, oapServer: 'general:1'}\ntags: {a: general, b: general}"
	tracing := func(server string, tags map[string]string) *v1beta2.TracingConfig {
		return &v1beta2.TracingConfig{Enabled: true, Provider: &v1beta2.TracingProvider{Name: "skywalking", OapServer: server}, Tags: tags}
	}
	general := map[string]string{"a": "general", "b": "general"}
	for _, test := range []struct {
		name        string
		data        map[string]string
		spec        string
		annotations map[string]string
		pre, post   []string
		tracing     *v1beta2.TracingConfig
	}{
		{name: "nothing", spec: `{}`},
		{"hooks of all", map[string]string{"hooks": "pre: [g]\npost: [g]"}, `{}`, nil, []string{"g"}, []string{"g"}, nil},
		{"by the older key", map[string]string{"plugins": "pre: [g]"}, `{}`, nil, []string{"g"}, nil, nil},
		{"the newer key wins", map[string]string{"plugins": "pre: [old]", "hooks": "pre: [new]"}, `{}`, nil, []string{"new"}, nil, nil},
		{"append", map[string]string{"hooks": "pre: [g]\npost: [g]"}, `{hooks: {pre: [f], post: [f]}}`, nil, []string{"g", "f"}, []string{"f", "g"}, nil},
		{"override", map[string]string{"hooks": "pre: [g]\npost: [g]"}, `{hooks: {pre: [f], policy: Override}}`, nil, []string{"f"}, nil, nil},
		{"annotation", map[string]string{"hooks": "pre: [g]"}, `{}`, map[string]string{"plugins": "order: [x, z]"}, []string{"x", "z"}, []string{"z", "x"}, nil},
		{"not to be read", map[string]string{"hooks": "pre: 7", "tracing": "- x"}, `{}`, nil, nil, nil, nil},
		{"tracing of all", map[string]string{"tracing": sky}, `{}`, nil, nil, nil, tracing("general:1", general)},
		{"by the older key, switched off", map[string]string{"plugins.tracing": "enabled: false\nprovider: {name: skywalking}"}, `{}`, nil, nil, nil, nil},
		{"off for this one", map[string]string{"tracing": sky}, `{tracing: {enabled: false, provider: {name: skywalking}}}`, nil, nil, nil, nil},
		{"field by field", map[string]string{"plugins.tracing": sky}, `{tracing: {enabled: true, provider: {name: skywalking}, tags: {a: own, c: own}}}`, nil, nil, nil,
			tracing("general:1", map[string]string{"a": "own", "b": "general", "c": "own"})},
		{"another provider", map[string]string{"tracing": sky}, `{tracing: {enabled: true, provider: {name: opentelemetry}}}`, nil, nil, nil,
			&v1beta2.TracingConfig{Enabled: true, Provider: &v1beta2.TracingProvider{Name: "opentelemetry"}, Tags: general}},
		{"tracing by annotation", nil, `{}`, map[string]string{"plugins.tracing": sky}, nil, nil, tracing("general:1", general)},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serving(t, "")
			if err := yaml.UnmarshalStrict([]byte(test.spec), &s.Spec); err != nil {
				t.Fatal(err)
			}
			s.Annotations = test.annotations
			objects := []client.Object{s}
			if test.data != nil {
				objects = append(objects, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "openfunction-config"}, Data: test.data})
			}
			w := newWorld(t, objects...)
			w.rest()
			want := functionContext{Pre: test.pre, Post: test.post, OldPre: test.pre, OldPost: test.post, Tracing: test.tracing, PlugTrac: test.tracing}
			if test.tracing != nil { // the tracing plugin is the last before and the first after
				want.OldPre = append(append([]string{}, test.pre...), test.tracing.Provider.Name)
				want.OldPost = append([]string{test.tracing.Provider.Name}, test.post...)
			}
			if got := contexts(t, w); !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// A function whose component is not there yet waits for it, and is not an application of Dapr where it has nothing of it.
func TestComponentsOfTheNamespace(t *testing.T) {
	w := newWorld(t, serving(t, "", func(s *v1beta2.Serving) { s.Spec.States = map[string]*v1beta2.StateStore{"store": {}} }))
	w.rest()
	w.want(v1beta2.StateFailed, "False", "MissingReference", `component "store" is nowhere defined`)
	store := &daprv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "store"}, Spec: daprv1.ComponentSpec{Type: "state.redis", Version: "v1"}}
	if err := w.c.Raw.Create(context.Background(), store); err != nil {
		t.Fatal(err)
	}
	w.rest()
	w.want(v1beta2.StateStarting, "Unknown", "Starting", "")
	if !w.r.applied[key].Dapr {
		t.Error("the copies have no Dapr")
	}
	w = newWorld(t, serving(t, ""))
	if w.rest(); w.r.applied[key].Dapr {
		t.Error("the copies of a function without components have Dapr")
	}
}

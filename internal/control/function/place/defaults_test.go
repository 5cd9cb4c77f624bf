package place_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/function/place"
)

func TestDefaultsThatConcernFunctions(t *testing.T) {
	config := func(key, value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "openfunction-config"}, Data: map[string]string{key: value}}
	}
	elsewhere, another := config("hooks", "{}"), config("hooks", "{}")
	elsewhere.Namespace, another.Name = "default", "another"
	relabelled := config("plugins", "{}")
	relabelled.Labels, relabelled.Annotations = map[string]string{"a": "b"}, map[string]string{"c": "d"}
	p := place.NewDefaults()
	for name, test := range map[string]struct{ got, want bool }{
		"new":                        {p.Create(event.CreateEvent{Object: config("tracing", "{}")}), true},
		"new, with nothing for them": {p.Create(event.CreateEvent{Object: config("knative-serving", "{}")}), false},
		"in another namespace":       {p.Create(event.CreateEvent{Object: elsewhere}), false},
		"another one":                {p.Create(event.CreateEvent{Object: another}), false},
		"gone":                       {p.Delete(event.DeleteEvent{Object: config("plugins.tracing", "{}")}), true},
		"gone, nothing for them":     {p.Delete(event.DeleteEvent{Object: config("x", "y")}), false},
		"changed":                    {p.Update(event.UpdateEvent{ObjectOld: config("hooks", "{}"), ObjectNew: config("hooks", "{pre: [a]}")}), true},
		"taken out":                  {p.Update(event.UpdateEvent{ObjectOld: config("hooks", "{}"), ObjectNew: config("x", "y")}), true},
		"put in":                     {p.Update(event.UpdateEvent{ObjectOld: config("x", "y"), ObjectNew: config("hooks", "{}")}), true},
		"as before":                  {p.Update(event.UpdateEvent{ObjectOld: config("plugins", "{}"), ObjectNew: relabelled}), false},
		"changed, nothing for them":  {p.Update(event.UpdateEvent{ObjectOld: config("x", "y"), ObjectNew: config("x", "z")}), false},
	} {
		if test.got != test.want {
			t.Errorf("%s: functions are looked at: %v", name, test.got)
		}
	}
	served := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "served"}}
	served.Spec.Serving = &v1beta2.FunctionServing{}
	w := newWorld(t, nil, served, &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "only-built"}})
	if got := w.place.Served(t.Context()); len(got) != 1 || got[0].String() != "a/served" {
		t.Errorf("those that are looked at are %v", got)
	}
}

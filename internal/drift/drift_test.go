package drift_test

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/openfunction/ofn/internal/drift"
)

func TestHolds(t *testing.T) {
	type object = map[string]any
	type list = []any
	for name, test := range map[string]struct {
		want, have any
		holds      bool
	}{
		"a default added":         {object{"a": int64(1)}, object{"a": int64(1), "b": true}, true},
		"a value changed":         {object{"a": int64(1)}, object{"a": int64(2)}, false},
		"a value gone":            {object{"a": "x"}, object{}, false},
		"an empty value gone":     {object{"a": object{}, "b": list{}, "c": nil}, object{}, true},
		"a number decoded":        {int64(3), float64(3), true},
		"an element added":        {list{"x"}, list{"x", "y"}, false},
		"a default in an element": {list{object{"n": "x"}}, list{object{"n": "x", "p": "TCP"}}, true},
		"elements in other order": {list{"x", "y"}, list{"y", "x"}, false},
		"another kind of value":   {object{"a": object{"b": "c"}}, object{"a": "b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := drift.Holds(test.want, test.have); got != test.holds {
				t.Errorf("Holds(%v, %v) is %v", test.want, test.have, got)
			}
		})
	}
}

func configMap(uid, value string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"k": value}}}
	u.SetNamespace("ns")
	u.SetName("n")
	u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "X", Name: "x", UID: types.UID(uid), Controller: new(true)}})
	return u
}

func TestForeignObjectsAreLeftAlone(t *testing.T) {
	c := fake.NewClientBuilder().WithObjects(configMap("a", "theirs")).Build()
	behind := fake.NewClientBuilder().Build() // a cache that does not show it yet
	taken := (*drift.Taken)(nil)
	if _, err := drift.Ensure(t.Context(), behind, c, configMap("b", "ours")); !errors.As(err, &taken) {
		t.Errorf("got %v, want that the name is taken", err)
	}
	if err := drift.Delete(t.Context(), c, configMap("b", "ours")); err != nil {
		t.Error(err)
	}
	there, err := drift.Read(t.Context(), c, configMap("a", ""))
	if err != nil || there == nil {
		t.Fatalf("what another made is gone (%v)", err)
	}
	if value, _, _ := unstructured.NestedString(there.Object, "data", "k"); value != "theirs" {
		t.Errorf("what another made is now %q", value)
	}
	if err := drift.Delete(t.Context(), c, configMap("a", "")); err != nil {
		t.Error(err)
	}
	if there, err := drift.Read(t.Context(), c, configMap("a", "")); there != nil || err != nil {
		t.Errorf("after its deletion there is %v (%v)", there, err)
	}
}

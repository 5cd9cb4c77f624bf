package v2alpha1_test

import (
	"encoding/json"
	"math/rand"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/randfill"

	"github.com/openfunction/ofn/api/dapr/v1alpha1"
	"github.com/openfunction/ofn/api/dapr/v2alpha1"
)

// A seed makes a Subscription with any of its fields; neither direction may lose one of them.
func FuzzRoundTrip(f *testing.F) {
	for seed := range int64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		fill := randfill.New().RandSource(rand.New(rand.NewSource(seed))).NilChance(0.3).NumElements(1, 3)
		hub, shown, back := &v2alpha1.Subscription{}, &v1alpha1.Subscription{}, &v2alpha1.Subscription{}
		fill.Fill(&hub.Spec)
		fill.Fill(&hub.Scopes)
		hub.ObjectMeta = metav1.ObjectMeta{Name: "s", UID: "u"}
		hub.SetGroupVersionKind(v2alpha1.GroupVersion.WithKind("Subscription"))
		if err := hub.To(shown); err != nil {
			t.Fatal(err)
		}
		if err := back.From(shown); err != nil {
			t.Fatal(err)
		}
		same(t, hub, back)
		old, again := &v1alpha1.Subscription{}, &v1alpha1.Subscription{}
		fill.Fill(&old.Spec)
		fill.Fill(&old.Scopes)
		old.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Subscription"))
		if err := (back).From(old); err != nil {
			t.Fatal(err)
		}
		if err := back.To(again); err != nil {
			t.Fatal(err)
		}
		same(t, old, again)
	})
}

func same(t *testing.T, want, got any) {
	t.Helper()
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if g, err := json.Marshal(got); err != nil || string(g) != string(w) {
		t.Errorf("became\n%s, was\n%s (%v)", g, w, err)
	}
}

// What somebody else wrote into the annotation does not stop a conversion.
func TestForeignAnnotation(t *testing.T) {
	old, s := &v1alpha1.Subscription{}, &v2alpha1.Subscription{}
	old.Annotations = map[string]string{v2alpha1.AnnotationRoutes: "{", "a": "b"}
	if err := s.From(old); err != nil || len(s.Spec.Routes.Rules) != 0 || len(s.Annotations) != 1 {
		t.Errorf("%+v, error %v", s, err)
	}
	if old.Annotations[v2alpha1.AnnotationRoutes] == "" {
		t.Error("the object that was converted has changed")
	}
}

package kedahttp_test

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run/cluster"
)

func TestNameTaken(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"fn", "fn-00009"} {
		if err := w.client.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	st := w.apply(service("fn-00001"))
	if st.Routed.Status != metav1.ConditionFalse || st.Routed.Reason != "NameTaken" || !st.Made["fn-00001"] {
		t.Errorf("another engine's name keeps the revision from starting, or is not told: %+v", st)
	}
	_, err := w.engine.Apply(t.Context(), service("fn-00009"))
	if r := (*cluster.Refused)(nil); !errors.As(err, &r) || r.Reason != "NameTaken" || !errors.As(err, new(*drift.Taken)) {
		t.Errorf("a revision's name that is somebody else's is not refused: %v", err)
	}
}

func TestRemove(t *testing.T) {
	w := newWorld(t)
	s := share(service("fn-00001"), cluster.Share{Revision: "fn-00001", Percent: 100, Tag: "t"})
	w.apply(s)
	w.proven(s, "fn-00001")
	other := owner()
	other.UID = "u2"
	for _, o := range []metav1.OwnerReference{other, owner()} {
		if err := w.engine.Remove(t.Context(), "a", "fn", o); err != nil {
			t.Fatal(err)
		}
		for _, k := range [][2]string{{"Deployment", "fn-00001"}, {"Service", "fn-00001"}, {"InterceptorRoute", "fn-00001"}, {"ScaledObject", "fn-00001"}, {"Service", "fn"}, {"Service", "t-fn"}} {
			if there := w.object(k[0], k[1]) != nil; there != (o.UID == "u2") {
				t.Errorf("removed for owner %s, %s %s is there: %v", o.UID, k[0], k[1], there)
			}
		}
	}
}

// An add-on that is upgraded begins to serve InterceptorRoute: what was made before is exchanged, and KEDA never sees two ScaledObjects
// of a Deployment.
func TestUpgradeOfTheAddOn(t *testing.T) {
	w := newWorld(t)
	w.routes = false
	s := service("fn-00001")
	w.apply(s)
	w.proven(s, "fn-00001")
	older := w.must("HTTPScaledObject", "fn-00001")
	made := &unstructured.Unstructured{}
	made.SetAPIVersion("keda.sh/v1alpha1")
	made.SetKind("ScaledObject")
	made.SetNamespace("a")
	made.SetName("fn-00001")
	made.SetLabels(older.GetLabels()) // as the add-on does
	made.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "http.keda.sh/v1alpha1", Kind: "HTTPScaledObject", Name: "fn-00001", UID: "h", Controller: new(true)}})
	if err := w.client.Create(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	w.routes = true
	w.apply(s)
	w.none("HTTPScaledObject", "fn-00001")
	w.must("InterceptorRoute", "fn-00001")
	if err := w.client.Delete(t.Context(), made); err != nil { // the garbage collector
		t.Fatal(err)
	}
	w.apply(s)
	if own := metav1.GetControllerOf(w.must("ScaledObject", "fn-00001")); own.UID != "u1" {
		t.Errorf("the ScaledObject is %v's", own)
	}
}

package apply_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	"github.com/openfunction/ofn/api/opaque"
	"github.com/openfunction/ofn/internal/control/component/apply"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/event"
)

var (
	name    = event.Name{Namespace: "ns", Name: "c"}
	ref     = event.Ref{Kind: event.KindComponent, Name: name}
	request = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "c"}}
)

// The whole life of a component: made, its secret missing, there, changed, gone, and the component deleted.
func TestLife(t *testing.T) {
	ctx := context.Background()
	object := &daprv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", Generation: 1}, Spec: daprv1.ComponentSpec{Type: "state.redis", Version: "v1",
		Metadata: []daprv1.MetadataItem{{Name: "redisHost", Value: opaque.Text("r:6379")}, {Name: "redisPassword", SecretKeyRef: &daprv1.SecretKeyRef{Name: "s", Key: "k"}}}}}
	c, e := controltest.New(t, object), &controltest.Engine{}
	k := apply.NewController(c, apply.Options{Engine: e, Clock: clocktesting.NewFakeClock(time.Unix(1e9, 0)), Resolver: &eventing.Resolver{Client: c, Engine: e}})
	rest := func() {
		t.Helper()
		for range 4 {
			writes := c.Writes
			if _, err := k.Reconcile(ctx, request); err != nil {
				t.Fatal(err)
			}
			if c.Writes == writes {
				return
			}
		}
		t.Fatal("the component does not come to rest")
	}
	want := func(ready metav1.ConditionStatus, reason, message, password string) {
		t.Helper()
		rest()
		s := controltest.Read(t, c.Raw, "ns", "c", &daprv1.Component{}).Status
		got := condition.Get(s.Conditions, daprv1.ConditionReady)
		if got == nil || got.Status != ready || got.Reason != reason || !strings.Contains(got.Message, message) || s.ObservedGeneration != 1 {
			t.Errorf("status is %+v, want %s %s %q", s, ready, reason, message)
		}
		if p := e.Components[name].Metadata["redisPassword"]; p != password {
			t.Errorf("password is %q, want %q", p, password)
		}
	}
	want("False", "MissingReference", `secret "s" is not in namespace "ns"`, "")
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Data: map[string][]byte{"k": []byte("one")}}
	if err := c.Raw.Create(ctx, s); err != nil {
		t.Fatal(err)
	}
	want("Unknown", "Connecting", "", "one")
	e.Set(ref, event.Status{Ready: true, Reason: "Ready"}, false)
	want("True", "Ready", "", "one")
	controltest.Write(t, c.Raw, s, func() { s.Data["k"] = []byte("two") })
	want("True", "Ready", "", "two")
	if err := c.Raw.Delete(ctx, s); err != nil {
		t.Fatal(err)
	}
	want("False", "MissingReference", `secret "s"`, "two")
	if err := c.Raw.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Data: map[string][]byte{"k": []byte("two")}}); err != nil {
		t.Fatal(err)
	}
	e.Set(ref, event.Status{Reason: "UnknownMetadata", Message: `metadata "redisHots" is not known`}, false)
	want("False", "UnknownMetadata", "redisHots", "two")
	e.Refuse = errors.New("too many")
	want("False", "Refused", "too many", "two")
	e.Refuse = nil
	if err := c.Raw.Delete(ctx, object); err != nil {
		t.Fatal(err)
	}
	if rest(); len(e.Components) != 0 {
		t.Errorf("components %v", e.Components)
	}
}

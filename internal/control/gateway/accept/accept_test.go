package accept_test

import (
	"context"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/gateway/accept"
)

var request = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "g"}}

func TestAccept(t *testing.T) {
	g := &networking.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "g", Generation: 3}}
	g.Spec.GatewaySpec.Listeners = []networking.Listener{{Name: "http", Port: 80, Protocol: "HTTP"}, {Name: "https", Port: 443, Protocol: "HTTPS"}}
	g.Status.Listeners = []networking.ListenerStatus{{Name: "http", AttachedRoutes: 2}, {Name: "removed"}}
	g.Status.Conditions = []metav1.Condition{{Type: "Scheduled", Status: "Unknown", Reason: "NotReconciled"}}
	c := controltest.New(t, g)
	k := accept.NewController(c, []string{"127.0.0.1", "gateway.local"})
	for range 2 {
		if _, err := k.Reconcile(context.Background(), request); err != nil {
			t.Fatal(err)
		}
	}
	if c.Writes != 1 {
		t.Errorf("%d writes", c.Writes)
	}
	s := controltest.Read(t, c.Raw, "ns", "g", g).Status
	if !slices.Equal(s.Addresses, []networking.GatewayAddress{{Type: "IPAddress", Value: "127.0.0.1"}, {Type: "Hostname", Value: "gateway.local"}}) || s.ObservedGeneration != 3 {
		t.Errorf("status is %+v", s)
	}
	for _, kind := range []string{networking.ConditionReady, networking.ConditionScheduled} {
		if got := condition.Get(s.Conditions, kind); got == nil || got.Status != "True" {
			t.Errorf("%s is %+v", kind, got)
		}
	}
	if len(s.Listeners) != 2 || s.Listeners[0].AttachedRoutes != 2 {
		t.Fatalf("listeners are %+v", s.Listeners)
	}
	if got := condition.Get(s.Listeners[0].Conditions, "Ready"); got.Status != "True" {
		t.Errorf("http is %+v", got)
	}
	if got := condition.Get(s.Listeners[1].Conditions, "Ready"); got.Status != "False" || got.Reason != "UnsupportedProtocol" || got.Message != "only HTTP listeners are served on one machine, not HTTPS" {
		t.Errorf("https is %+v", got)
	}
}

func TestGone(t *testing.T) {
	if _, err := accept.NewController(controltest.New(t), nil).Reconcile(context.Background(), request); err != nil {
		t.Error(err)
	}
}

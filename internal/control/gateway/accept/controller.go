// Package accept reports on Gateways that the embedded gateway serves: which listeners it takes and where it is reached.
package accept

import (
	"context"
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
)

// Controller accepts Gateways.
type Controller struct {
	client    client.Client
	addresses []string
}

// NewController reports the addresses the embedded gateway listens on.
func NewController(c client.Client, addresses []string) *Controller {
	return &Controller{client: c, addresses: addresses}
}

// Name is the controller's.
func (c *Controller) Name() string { return "gateway.accept" }

// Register watches Gateways.
func (c *Controller) Register(m ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).For(&networking.Gateway{}).Complete(c)
}

// Reconcile writes the status. HTTP listeners are served; others are not yet, and say so.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	g := &networking.Gateway{}
	if err := c.client.Get(ctx, req.NamespacedName, g); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	before := g.DeepCopy()
	s := &g.Status
	s.ObservedGeneration = g.Generation
	s.Addresses = nil
	for _, a := range c.addresses {
		kind := "Hostname"
		if _, err := netip.ParseAddr(a); err == nil {
			kind = "IPAddress"
		}
		s.Addresses = append(s.Addresses, networking.GatewayAddress{Type: kind, Value: a})
	}
	s.Listeners = listeners(g)
	condition.Set(&s.Conditions, g.Generation, networking.ConditionScheduled, "True", "Scheduled", "")
	condition.Set(&s.Conditions, g.Generation, networking.ConditionReady, "True", "Ready", "")
	if equality.Semantic.DeepEqual(before.Status, g.Status) {
		return reconcile.Result{}, nil
	}
	if err := c.client.Status().Patch(ctx, g, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("writing status: %w", err)
	}
	return reconcile.Result{}, nil
}

func listeners(g *networking.Gateway) []networking.ListenerStatus {
	var out []networking.ListenerStatus
	for _, l := range g.Spec.GatewaySpec.Listeners {
		st := networking.ListenerStatus{Name: l.Name}
		for _, old := range g.Status.Listeners {
			if old.Name == l.Name {
				st = *old.DeepCopy()
			}
		}
		if l.Protocol == "HTTP" {
			condition.Set(&st.Conditions, g.Generation, "Ready", "True", "Ready", "")
		} else {
			condition.Set(&st.Conditions, g.Generation, "Ready", "False", "UnsupportedProtocol", "only HTTP listeners are served on one machine, not "+l.Protocol)
		}
		out = append(out, st)
	}
	return out
}

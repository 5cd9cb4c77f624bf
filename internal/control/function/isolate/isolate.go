// Package isolate is the phase of a Function on a cluster that puts its pods behind a NetworkPolicy: only the engines call them, and
// they reach neither the API of the cluster nor the metadata of its cloud. NetworkPolicies add up: with one of their own that selects
// the label openfunction.io/function, users open what they need.
package isolate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/drift"
)

// Options of the phase.
type Options struct {
	// Default is NetworkPolicyIsolated or NetworkPolicyOpen, for functions that say nothing; empty is open.
	Default string
	// From are the namespaces that requests come from: those of engines and gateways.
	From []string
	// API finds the addresses of the cluster's API.
	API func(context.Context) ([]netip.Addr, error)
	// Live reads what no cache holds.
	Live client.Reader
}

// Phase isolates functions.
type Phase struct {
	client  client.Client
	options Options
}

// New is the phase over a client that reads from a cache.
func New(c client.Client, o Options) *Phase { return &Phase{client: c, options: o} }

// Gone does nothing: the garbage collector removes what a deleted function owns.
func (p *Phase) Gone(context.Context, string, string) error { return nil }

// Watch queues Functions when their NetworkPolicy changes.
func (p *Phase) Watch(_ ctrl.Manager, b *builder.Builder) error {
	b.Watches(Kind(), handler.EnqueueRequestsFromMapFunc(engines.Labelled(v1beta2.LabelFunction)))
	return nil
}

// Kind is what the phase makes, in the form in which it is read.
func Kind() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"))
	return u
}

// Reconcile makes the policy of a function that is to be isolated, and takes it away from one that is not.
func (p *Phase) Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	mode := cmp.Or(fn.Annotations[v1beta2.AnnotationNetworkPolicy], p.options.Default, v1beta2.NetworkPolicyOpen)
	switch {
	case fn.Spec.Serving == nil || mode == v1beta2.NetworkPolicyOpen:
		condition.Remove(&fn.Status.Conditions, v1beta2.ConditionIsolated)
		return reconcile.Result{}, p.open(ctx, fn)
	case mode != v1beta2.NetworkPolicyIsolated:
		set(fn, metav1.ConditionFalse, "InvalidAnnotation", fmt.Sprintf("annotation %s is %q: it may be %s or %s",
			v1beta2.AnnotationNetworkPolicy, mode, v1beta2.NetworkPolicyIsolated, v1beta2.NetworkPolicyOpen))
		return reconcile.Result{}, nil // what was made before stays
	}
	addresses, err := p.options.API(ctx)
	if err == nil {
		err = p.ensure(ctx, policy(fn, p.options.From, addresses))
	}
	if taken := (*drift.Taken)(nil); errors.As(err, &taken) {
		set(fn, metav1.ConditionFalse, "NameTaken", err.Error())
		return reconcile.Result{}, nil
	}
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		set(fn, metav1.ConditionFalse, "Refused", err.Error())
	} else if err == nil {
		set(fn, metav1.ConditionTrue, "NetworkPolicy", "its pods are called by the engines alone, if the cluster's network keeps NetworkPolicies")
	}
	return reconcile.Result{}, err
}

func set(fn *v1beta2.Function, status metav1.ConditionStatus, reason, message string) {
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionIsolated, status, reason, message)
}

func (p *Phase) ensure(ctx context.Context, n *networkingv1.NetworkPolicy) error {
	o, err := drift.Object(n)
	if err != nil {
		return err
	}
	_, err = drift.Ensure(ctx, p.client, p.options.Live, o)
	return err
}

func (p *Phase) open(ctx context.Context, fn *v1beta2.Function) error {
	o, err := drift.Object(named(fn))
	if err != nil {
		return err
	}
	return drift.Delete(ctx, p.client, o)
}

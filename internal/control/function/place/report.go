package place

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// report writes what the engine says of a revision into its Serving, when that is new.
func (p *Phase) report(ctx context.Context, s *v1beta2.Serving, r run.Status, objects map[string]string) error {
	before := s.DeepCopy()
	st := &s.Status
	st.ObservedGeneration, st.Phase, st.Service = s.Generation, v1beta2.PhaseServing, s.Name
	st.Reason, st.Message = r.Reason, r.Message
	if objects != nil {
		st.ResourceRef = objects
	}
	st.Replicas, st.ReadyReplicas = int32(max(r.Desired, r.Ready)), int32(r.Ready)
	if r.ImageDigest != "" {
		st.ImageDigest = r.ImageDigest
	}
	ready := metav1.ConditionUnknown
	switch r.Phase {
	case run.Ready:
		st.State, ready = v1beta2.StateRunning, metav1.ConditionTrue
	case run.Failed:
		st.State, ready = v1beta2.StateFailed, metav1.ConditionFalse
		if r.TimedOut() {
			st.State = v1beta2.StateTimeout
		}
	default:
		st.State = v1beta2.StateStarting
	}
	condition.Set(&st.Conditions, s.Generation, v1beta2.ConditionReady, ready, r.Reason, r.Message)
	if equality.Semantic.DeepEqual(before.Status, s.Status) {
		return nil
	}
	if err := p.client.Status().Patch(ctx, s, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing status of serving %s: %w", s.Name, err)
	}
	return nil
}

// route writes where the function is reached: as its engine arranges it, and by a route of its own.
func (p *Phase) route(ctx context.Context, fn *v1beta2.Function, st cluster.Status) error {
	if !called(fn) {
		return p.unroute(ctx, fn)
	}
	internal := cmp.Or(st.Internal, fmt.Sprintf("http://%s.%s.svc.%s/", fn.Name, fn.Namespace, p.options.ClusterDomain))
	fn.Status.Addresses = []v1beta2.FunctionAddress{{Type: v1beta2.AddressInternal, Value: internal}}
	if st.URL != "" {
		external := v1beta2.FunctionAddress{Type: v1beta2.AddressExternal, Value: st.URL}
		if !slices.Contains(fn.Status.Addresses, external) {
			fn.Status.Addresses = append([]v1beta2.FunctionAddress{external}, fn.Status.Addresses...)
		}
	}
	for i := range fn.Status.Traffic {
		t := &fn.Status.Traffic[i]
		t.URL = st.TagURLs[t.Tag]
	}
	routed, err := p.options.Exposer.Expose(ctx, fn, st)
	if err != nil {
		return fmt.Errorf("routing: %w", err)
	}
	if routed.Status == metav1.ConditionTrue && routed.Reason == "" {
		routed.Reason = "Routed"
	}
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionRouted, routed.Status, routed.Reason, routed.Message)
	return nil
}

// called is whether a function is called by an address.
func called(fn *v1beta2.Function) bool {
	t := fn.Spec.Serving.Triggers
	return t != nil && t.HTTP != nil
}

// unroute takes away what leads to a function that nobody calls by an address.
func (p *Phase) unroute(ctx context.Context, fn *v1beta2.Function) error {
	condition.Remove(&fn.Status.Conditions, v1beta2.ConditionRouted)
	return p.hide(ctx, fn)
}

// hide takes away the addresses of a function, and its route.
func (p *Phase) hide(ctx context.Context, fn *v1beta2.Function) error {
	fn.Status.Addresses, fn.Status.Route = nil, nil
	if err := p.options.Exposer.Hide(ctx, fn); err != nil {
		return fmt.Errorf("removing the route: %w", err)
	}
	return nil
}

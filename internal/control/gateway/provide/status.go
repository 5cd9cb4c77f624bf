package provide

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
)

// Conditions of a Gateway of the Gateway API.
const (
	conditionAccepted   = "Accepted"
	conditionProgrammed = "Programmed"
)

// observed is what is read of a Gateway.
type observed struct {
	Metadata struct {
		Generation int64 `json:"generation"`
	} `json:"metadata"`
	Status struct {
		Addresses  []networking.GatewayAddress `json:"addresses"`
		Conditions []metav1.Condition          `json:"conditions"`
		Listeners  []networking.ListenerStatus `json:"listeners"`
	} `json:"status"`
}

// mirror reports on a Gateway what the implementation says of the one that carries its traffic. Listeners are its own alone, without
// the times at which an implementation looked at them.
func mirror(g *networking.Gateway, given *unstructured.Unstructured) error {
	var o observed
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(given.Object, &o); err != nil {
		return fmt.Errorf("reading Gateway %s: %w", given.GetName(), err)
	}
	s := &g.Status
	s.Addresses = o.Status.Addresses
	pass(g, o.Status.Conditions, o.Metadata.Generation, conditionAccepted, networking.ConditionScheduled, given)
	pass(g, o.Status.Conditions, o.Metadata.Generation, conditionProgrammed, networking.ConditionReady, given)
	own := map[string]bool{networking.InternalListener: true}
	for _, l := range g.Spec.GatewaySpec.Listeners {
		own[l.Name] = true
	}
	former := s.Listeners
	s.Listeners = nil
	for _, l := range o.Status.Listeners {
		if !own[l.Name] {
			continue
		}
		next := networking.ListenerStatus{Name: l.Name, AttachedRoutes: l.AttachedRoutes}
		for _, f := range former {
			if f.Name == l.Name {
				next.Conditions = f.Conditions
			}
		}
		next.Conditions = those(next.Conditions, l.Conditions)
		for _, c := range l.Conditions {
			condition.Set(&next.Conditions, g.Generation, c.Type, c.Status, c.Reason, c.Message)
		}
		s.Listeners = append(s.Listeners, next)
	}
	return nil
}

// those are the conditions that there still are.
func those(have, said []metav1.Condition) []metav1.Condition {
	var out []metav1.Condition
	for _, c := range have {
		if condition.Get(said, c.Type) != nil {
			out = append(out, c)
		}
	}
	return out
}

// pass hands one condition on under OpenFunction's name for it.
func pass(g *networking.Gateway, said []metav1.Condition, generation int64, from, as string, given *unstructured.Unstructured) {
	at := given.GetNamespace() + "/" + given.GetName()
	switch c := condition.Get(said, from); {
	case c == nil || c.ObservedGeneration == 0 && c.Status == metav1.ConditionUnknown: // the default of the API
		condition.Set(&g.Status.Conditions, g.Generation, as, metav1.ConditionUnknown, "Waiting", fmt.Sprintf("nobody has taken Gateway %s yet: the controller that implements its class is asked to", at))
	case c.ObservedGeneration < generation:
		condition.Set(&g.Status.Conditions, g.Generation, as, metav1.ConditionUnknown, "Reconciling", fmt.Sprintf("the last change of Gateway %s has not been seen yet", at))
	case c.Status == metav1.ConditionTrue:
		condition.Set(&g.Status.Conditions, g.Generation, as, c.Status, c.Reason, "")
	default:
		condition.Set(&g.Status.Conditions, g.Generation, as, c.Status, c.Reason, fmt.Sprintf("Gateway %s: %s", at, c.Message))
	}
}

package gatewayapi

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/internal/route/cluster"
)

// Conditions of an HTTPRoute. The last is there only when it is True, which is bad.
const (
	conditionAccepted         = "Accepted"
	conditionResolved         = "ResolvedRefs"
	conditionPartiallyInvalid = "PartiallyInvalid"
)

// observed is what is read of an HTTPRoute.
type observed struct {
	Metadata struct {
		Generation int64 `json:"generation"`
	} `json:"metadata"`
	Status struct {
		Parents []observedParent `json:"parents"`
	} `json:"status"`
}

type observedParent struct {
	ParentRef  parentRef          `json:"parentRef"`
	Controller string             `json:"controllerName"`
	Conditions []metav1.Condition `json:"conditions"`
}

// statusOf is what the implementation of the Gateway says of a route.
func statusOf(r *cluster.Route, current *unstructured.Unstructured) (cluster.Status, error) {
	var o observed
	if err := convert(current.Object, &o); err != nil {
		return cluster.Status{}, fmt.Errorf("reading HTTPRoute %s: %w", r.Name, err)
	}
	gateway := r.Parent.Namespace + "/" + r.Parent.Name
	for i := range o.Status.Parents {
		p := &o.Status.Parents[i]
		if p.ParentRef.Namespace == "" {
			p.ParentRef.Namespace = r.Namespace
		}
		if p.ParentRef.Name != r.Parent.Name || p.ParentRef.Namespace != r.Parent.Namespace {
			continue
		}
		st := p.status(o.Metadata.Generation, r)
		st.Conditions = p.Conditions
		return st, nil
	}
	return cluster.Status{Routed: metav1.ConditionUnknown, Reason: "Waiting",
		Message: fmt.Sprintf("nobody has taken HTTPRoute %s/%s yet: the controller that implements the class of Gateway %s is asked to", r.Namespace, r.Name, gateway)}, nil
}

func (p *observedParent) status(generation int64, r *cluster.Route) cluster.Status {
	for _, kind := range []string{conditionAccepted, conditionResolved} {
		c := find(p.Conditions, kind)
		switch {
		case c == nil || c.ObservedGeneration < generation:
			return cluster.Status{Routed: metav1.ConditionUnknown, Reason: "Reconciling", Message: fmt.Sprintf("%s has not seen the last change of HTTPRoute %s/%s yet", p.Controller, r.Namespace, r.Name)}
		case c.Status != metav1.ConditionTrue:
			return p.says(c, r)
		}
	}
	if c := find(p.Conditions, conditionPartiallyInvalid); c != nil && c.Status == metav1.ConditionTrue {
		st := p.says(c, r)
		st.Routed = metav1.ConditionFalse
		return st
	}
	return cluster.Status{Routed: metav1.ConditionTrue, Reason: "Routed"}
}

// says hands on the words of the implementation.
func (p *observedParent) says(c *metav1.Condition, r *cluster.Route) cluster.Status {
	return cluster.Status{Routed: c.Status, Reason: c.Reason,
		Message: fmt.Sprintf("%s says of HTTPRoute %s/%s: %s=%s: %s", p.Controller, r.Namespace, r.Name, c.Type, c.Status, c.Message)}
}

func find(all []metav1.Condition, kind string) *metav1.Condition {
	for i := range all {
		if all[i].Type == kind {
			return &all[i]
		}
	}
	return nil
}

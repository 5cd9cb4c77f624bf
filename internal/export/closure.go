package export

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	eventsv1 "github.com/openfunction/ofn/api/events/v1alpha1"
)

// closing finds what belongs to some functions among all objects.
type closing struct {
	all   []*unstructured.Unstructured
	taken map[named]bool
	// apps are the functions as Dapr names them.
	apps map[string]bool
}

// closure is the functions of these names with what leads to them and what they use: triggers and event sources whose sink they are
// and the buses between, gateways, components, and what Dapr and KEDA need for them.
func closure(all []*unstructured.Unstructured, names []string, namespace string) ([]*unstructured.Unstructured, error) {
	c := &closing{all: all, taken: map[named]bool{}, apps: map[string]bool{}}
	for _, name := range names {
		n := 0
		for _, o := range c.kind("Function") {
			if o.GetName() == name {
				c.take(o)
				c.apps[name+"-"+o.GetNamespace()] = true
				n++
			}
		}
		if n == 0 {
			where := "in namespace " + namespace
			if namespace == "" {
				where = "in any namespace"
			}
			return nil, fmt.Errorf("there is no function %q %s", name, where)
		}
	}
	for _, step := range []func() error{c.events, c.sources, c.buses, c.gateways, c.dapr, c.authentications} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(o *unstructured.Unstructured) bool { return !c.taken[keyOf(o)] }), nil
}

func keyOf(o *unstructured.Unstructured) named {
	return named{o.GetKind(), o.GetNamespace(), o.GetName()}
}

func (c *closing) take(o *unstructured.Unstructured) { c.taken[keyOf(o)] = true }

func (c *closing) kind(kind string) []*unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(c.all), func(o *unstructured.Unstructured) bool { return o.GetKind() != kind })
}

// leads tells whether a sink of an object of the namespace is one of the functions.
func (c *closing) leads(s *eventsv1.SinkSpec, namespace string) bool {
	if s == nil || s.Ref == nil || s.Ref.Kind != "Function" {
		return false
	}
	if s.Ref.Namespace != "" {
		namespace = s.Ref.Namespace
	}
	return c.taken[named{"Function", namespace, s.Ref.Name}]
}

// events takes triggers to the functions, and the sources that they listen to.
func (c *closing) events() error {
	for _, o := range c.kind("Trigger") {
		var t eventsv1.Trigger
		if err := decode(o, &t); err != nil {
			return err
		}
		if !slices.ContainsFunc(t.Spec.Subscribers, func(s *eventsv1.Subscriber) bool {
			return s != nil && (c.leads(s.Sink, t.Namespace) || c.leads(s.DeadLetterSink, t.Namespace))
		}) {
			continue
		}
		c.take(o)
		for _, in := range t.Spec.Inputs {
			if in == nil || in.EventSource == "" {
				continue
			}
			namespace := in.Namespace
			if namespace == "" {
				namespace = t.Namespace
			}
			c.taken[named{"EventSource", namespace, in.EventSource}] = true
		}
	}
	return nil
}

func (c *closing) sources() error {
	for _, o := range c.kind("EventSource") {
		var s eventsv1.EventSource
		if err := decode(o, &s); err != nil {
			return err
		}
		if c.leads(s.Spec.Sink, s.Namespace) || c.leads(s.Spec.DeadLetterSink, s.Namespace) {
			c.take(o)
		}
	}
	return nil
}

// buses takes those of the triggers and sources: a bus of the namespace comes before one of the cluster.
func (c *closing) buses() error {
	for _, o := range slices.Concat(c.kind("Trigger"), c.kind("EventSource")) {
		bus, _, _ := unstructured.NestedString(o.Object, "spec", "eventBus")
		if bus != "" && c.taken[keyOf(o)] {
			c.taken[named{"EventBus", o.GetNamespace(), bus}] = true
			c.taken[named{"ClusterEventBus", "", bus}] = true
		}
	}
	return nil
}

func (c *closing) functions(each func(*v1beta2.Function)) error {
	for _, o := range c.kind("Function") {
		if !c.taken[keyOf(o)] {
			continue
		}
		var fn v1beta2.Function
		if err := decode(o, &fn); err != nil {
			return err
		}
		if fn.Spec.Serving != nil {
			each(&fn)
		}
	}
	return nil
}

func (c *closing) gateways() error {
	return c.functions(func(fn *v1beta2.Function) {
		if t := fn.Spec.Serving.Triggers; t != nil && t.HTTP != nil && t.HTTP.Route != nil && t.HTTP.Route.GatewayRef != nil {
			c.taken[named{"Gateway", t.HTTP.Route.GatewayRef.Namespace, t.HTTP.Route.GatewayRef.Name}] = true
		}
	})
}

// dapr takes the components that the functions name, the buses' and their secret stores, and what is scoped to the functions.
func (c *closing) dapr() error {
	err := c.functions(func(fn *v1beta2.Function) {
		s := fn.Spec.Serving
		use := func(name string) { c.taken[named{"Component", fn.Namespace, name}] = true }
		if s.Triggers != nil {
			for _, t := range s.Triggers.Dapr {
				if t != nil {
					use(t.Name)
				}
			}
			for _, in := range s.Triggers.Inputs {
				if in != nil && in.Dapr != nil {
					use(in.Dapr.Name)
				}
			}
		}
		for _, out := range s.Outputs {
			if out != nil && out.Dapr != nil {
				use(out.Dapr.Name)
			}
		}
		for name := range s.States {
			use(name)
		}
		if config := s.Annotations["dapr.io/config"]; config != "" {
			c.taken[named{"Configuration", fn.Namespace, config}] = true
		}
	})
	for _, o := range c.kind("Component") {
		if store, _, _ := unstructured.NestedString(o.Object, "auth", "secretStore"); store != "" && c.taken[keyOf(o)] {
			c.taken[named{"Component", o.GetNamespace(), store}] = true
		}
	}
	for _, o := range slices.Concat(c.kind("Subscription"), c.kind("Resiliency")) {
		scopes, _, _ := unstructured.NestedStringSlice(o.Object, "scopes")
		pubsub, _, _ := unstructured.NestedString(o.Object, "spec", "pubsubname")
		switch {
		case slices.ContainsFunc(scopes, func(s string) bool { return c.apps[s] }),
			len(scopes) == 0 && pubsub != "" && c.taken[named{"Component", o.GetNamespace(), pubsub}],
			len(scopes) == 0 && pubsub == "" && c.inNamespace(o.GetNamespace()):
			c.take(o)
		}
	}
	return err
}

func (c *closing) inNamespace(namespace string) bool {
	for app := range c.apps {
		if strings.HasSuffix(app, "-"+namespace) {
			return true
		}
	}
	return false
}

func (c *closing) authentications() error {
	for _, o := range c.all {
		if !c.taken[keyOf(o)] {
			continue
		}
		for _, ref := range references(o) {
			c.taken[ref] = true // of other kinds there is nothing to take here
		}
	}
	return nil
}

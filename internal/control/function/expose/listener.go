package expose

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	run "github.com/openfunction/ofn/internal/run/cluster"
)

// Reasons of a route for which there is no listener, or none that takes it.
const (
	reasonNoListener  = "NoMatchingListener"
	reasonNotAllowed  = "NotAllowedByListeners"
	reasonNotListened = "ListenerNotReady"
)

// labelNamespace is on every namespace, and has its name.
const labelNamespace = "kubernetes.io/metadata.name"

// listener is one of a Gateway's, as it is to the routes of a namespace.
type listener struct {
	listenerSpec
	// reason and message are why it takes no requests for the function; empty is that it does, as far as can be seen.
	reason, message string
}

// listenerSpec is what is read of it.
type listenerSpec struct {
	Name          string `json:"name"`
	Hostname      string `json:"hostname"`
	Port          int    `json:"port"`
	Protocol      string `json:"protocol"`
	AllowedRoutes struct {
		Namespaces struct {
			From     string                `json:"from"`
			Selector *metav1.LabelSelector `json:"selector"`
		} `json:"namespaces"`
		Kinds []routeKind `json:"kinds"`
	} `json:"allowedRoutes"`
}

type routeKind struct {
	Kind string `json:"kind"`
}

// gatewayObject is what is read of a Gateway of the Gateway API.
type gatewayObject struct {
	Spec struct {
		Listeners []listenerSpec `json:"listeners"`
	} `json:"spec"`
	Status struct {
		Listeners []listenerStatus `json:"listeners"`
	} `json:"status"`
}

type listenerStatus struct {
	Name       string             `json:"name"`
	Conditions []metav1.Condition `json:"conditions"`
}

func read(u *unstructured.Unstructured) (*gatewayObject, error) {
	has := &gatewayObject{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, has); err != nil {
		return nil, fmt.Errorf("reading Gateway %s/%s: %w", u.GetNamespace(), u.GetName(), err)
	}
	return has, nil
}

// listenersOf are those of a Gateway that are for HTTP, as they are to the routes of a namespace.
func listenersOf(u *unstructured.Unstructured, namespace string) ([]listener, error) {
	has, err := read(u)
	if err != nil {
		return nil, err
	}
	var all []listener
	for _, spec := range has.Spec.Listeners {
		if spec.Protocol != "HTTP" && spec.Protocol != "HTTPS" {
			continue
		}
		l := listener{listenerSpec: spec}
		if !l.allows(u.GetNamespace(), namespace) {
			l.reason, l.message = reasonNotAllowed, fmt.Sprintf("it takes no HTTPRoutes of namespace %s: change its allowedRoutes", namespace)
		} else if c := has.broken(l.Name, u.GetGeneration()); c != nil {
			l.reason, l.message = reasonNotListened, fmt.Sprintf("%s=%s, %s: %s", c.Type, c.Status, c.Reason, c.Message)
		}
		all = append(all, l)
	}
	return all, nil
}

// broken is the condition that says that nobody listens; nil is none.
func (g *gatewayObject) broken(name string, generation int64) *metav1.Condition {
	for i := range g.Status.Listeners {
		if s := &g.Status.Listeners[i]; s.Name == name {
			return s.broken(generation)
		}
	}
	return nil
}

// allows is whether routes of a namespace may use a listener. A selector of other labels than the namespace's name may choose
// anything: only the implementation knows.
func (l *listenerSpec) allows(gateway, namespace string) bool {
	if kinds := l.AllowedRoutes.Kinds; len(kinds) > 0 && !slices.ContainsFunc(kinds, func(k routeKind) bool { return k.Kind == "HTTPRoute" }) {
		return false
	}
	switch of := l.AllowedRoutes.Namespaces; of.From {
	case "Same":
		return gateway == namespace
	case "None":
		return false
	case "Selector":
		selector, err := metav1.LabelSelectorAsSelector(of.Selector)
		if err != nil {
			return false
		}
		all, _ := selector.Requirements()
		return !slices.ContainsFunc(all, func(r labels.Requirement) bool {
			return r.Key() == labelNamespace && !r.Matches(labels.Set{labelNamespace: namespace})
		})
	}
	return true
}

// broken is the condition that says that nobody listens, of this generation; nil is none. One that is pending comes by itself.
func (s *listenerStatus) broken(generation int64) *metav1.Condition {
	for i := range s.Conditions {
		c := &s.Conditions[i]
		bad := c.Status == metav1.ConditionFalse && (c.Type == "Accepted" || c.Type == "Programmed") || c.Status == metav1.ConditionTrue && c.Type == "Conflicted"
		if bad && c.Reason != "Pending" && c.ObservedGeneration >= generation {
			return c
		}
	}
	return nil
}

// standing is what a Gateway says of its listeners, without the number of their routes.
func standing(u *unstructured.Unstructured) string {
	has, err := read(u)
	if err != nil {
		return ""
	}
	var out []string
	for _, s := range has.Status.Listeners {
		if c := s.broken(u.GetGeneration()); c != nil {
			out = append(out, strings.Join([]string{s.Name, c.Type, c.Reason, c.Message}, " "))
		}
	}
	return strings.Join(out, "\n")
}

// listener is one that answers for a host, best one with TLS; nil when there is none.
func (p *plan) listener(host string) *listener {
	var found *listener
	for i := range p.listeners {
		l := &p.listeners[i]
		if l.reason == "" && l.answers(host) && (found == nil || found.Protocol != "HTTPS" && l.Protocol == "HTTPS") {
			found = l
		}
	}
	return found
}

// named is a listener for a host, whether it takes requests for the function or not; nil when there is none.
func (p *plan) named(host string) *listener {
	for i := range p.listeners {
		if p.listeners[i].answers(host) {
			return &p.listeners[i]
		}
	}
	return nil
}

// refusal is why no listener answers for the hosts that are unheard.
func (p *plan) refusal() run.Condition {
	for _, host := range p.unheard {
		if l := p.named(host); l != nil {
			return unrouted(l.reason, "listener %s of Gateway %s/%s, which is for %s, does not answer: %s", l.Name, p.parent.Namespace, p.parent.Name, host, l.message)
		}
	}
	return unrouted(reasonNoListener, "no listener of Gateway %s/%s answers for %s: it has %s; add a listener to that Gateway, or give hostnames under its domain",
		p.parent.Namespace, p.parent.Name, list(p.unheard), p.heard())
}

// answers is whether the names of a listener and of a route have one in common.
func (l *listenerSpec) answers(host string) bool {
	return l.Hostname == "" || covers(l.Hostname, host) || covers(host, l.Hostname)
}

// covers is whether a name, which may be a wildcard for any number of labels, has the other in it.
func covers(name, other string) bool {
	suffix, wild := strings.CutPrefix(name, "*")
	return name == other || wild && strings.HasSuffix(strings.TrimPrefix(other, "*"), suffix)
}

// heard are the names that the listeners answer for, for people.
func (p *plan) heard() string {
	var out []string
	for _, l := range p.listeners {
		if !slices.Contains(out, l.Hostname) {
			out = append(out, l.Hostname)
		}
	}
	return list(out)
}

func (l *listenerSpec) url(host, path string) string {
	scheme, usual := "http", 80
	if l.Protocol == "HTTPS" {
		scheme, usual = "https", 443
	}
	if l.Port != usual {
		host = net.JoinHostPort(host, strconv.Itoa(l.Port))
	}
	return scheme + "://" + host + path
}

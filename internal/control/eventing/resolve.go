package eventing

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/event"
)

// Resolver finds what manifests name. What is not there is a *secret.Missing: the user's to mend.
type Resolver struct {
	Client client.Client
	Engine event.Engine
	// ClusterDomain of the names of services; cluster.local when empty.
	ClusterDomain string
	// Stores reads secrets of secret store components; nil: only secrets of Kubernetes are known.
	Stores Stores
	// OnCluster is whether there are Services beside those of functions.
	OnCluster bool
	// Namespaced is whether only the namespaces' own buses are looked after, and "default".
	Namespaced bool
}

// Stores reads secrets of secret store components.
type Stores interface {
	// Secret reads one secret of a store of a namespace.
	Secret(ctx context.Context, namespace, store, name string) (map[string]string, error)
}

// MissingBus says that no bus has a name.
type MissingBus struct{ Namespace, Name string }

func (m *MissingBus) Error() string {
	return fmt.Sprintf("there is no EventBus %q in namespace %q and no ClusterEventBus of that name: make one, or name the bus %q, which is always there",
		m.Name, m.Namespace, events.DefaultEventBus)
}

// Bus is the bus that a name means in a namespace: an EventBus, else a ClusterEventBus, else "default", which is there without
// being declared. No name is no bus.
func (r *Resolver) Bus(ctx context.Context, namespace, name string) (event.Name, error) {
	if name == "" {
		return event.Name{}, nil
	}
	for _, try := range []struct {
		object    client.Object
		namespace string
	}{{&events.EventBus{}, namespace}, {&events.ClusterEventBus{}, ""}} {
		if try.namespace == "" && r.Namespaced {
			continue
		}
		err := r.Client.Get(ctx, types.NamespacedName{Namespace: try.namespace, Name: name}, try.object)
		if err == nil {
			return event.Name{Namespace: try.namespace, Name: name}, nil
		}
		if !apierrors.IsNotFound(err) {
			return event.Name{}, fmt.Errorf("reading event bus %s: %w", name, err)
		}
	}
	if name != events.DefaultEventBus {
		return event.Name{}, &MissingBus{namespace, name}
	}
	bus := DefaultBus()
	return bus.Name, r.Engine.ApplyBus(ctx, bus)
}

// DefaultBus is the bus that is there without being declared.
func DefaultBus() event.Bus {
	return event.Bus{Name: event.Name{Name: events.DefaultEventBus}, Kind: events.BusEmbedded}
}

// Sink is where a sink of an object in a namespace leads to. With a *secret.Missing there may be a sink all the same: what it
// names may come.
func (r *Resolver) Sink(ctx context.Context, namespace string, s *events.SinkSpec) (*event.Sink, error) {
	switch {
	case s == nil:
		return nil, nil
	case s.Ref == nil:
		if s.URI == nil {
			return nil, nil
		}
		return &event.Sink{URI: *s.URI}, nil
	}
	ref := *s.Ref
	if ref.Namespace == "" {
		ref.Namespace = namespace
	}
	name := event.Name{Namespace: ref.Namespace, Name: ref.Name}
	there, err := r.function(ctx, name)
	if err != nil {
		return nil, err
	}
	function := &event.Sink{Function: &name, Path: ref.Path}
	switch {
	case r.OnCluster && ref.Target() == events.TargetService && (!there || ref.Port != 0):
		return &event.Sink{URI: r.service(&ref)}, nil
	case there:
		return function, nil // its name is the service's too
	case ref.Target() == events.TargetFunction:
		return function, missing("Function %q is not in namespace %q", ref.Name, ref.Namespace)
	case ref.Target() == events.TargetUnknown:
		return nil, missing("%s %s cannot be sent events: name a Function, or give uri", ref.APIVersion, ref.Kind)
	}
	return &event.Sink{URI: r.service(&ref)}, missing("Service %q is not in namespace %q: on one machine services are those of functions; name a Function, or give uri",
		ref.Name, ref.Namespace)
}

func (r *Resolver) function(ctx context.Context, n event.Name) (bool, error) {
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: n.Namespace, Name: n.Name}, &v1beta2.Function{})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("reading function %s: %w", n, err)
	}
	return err == nil, nil
}

// service is the address of a Service inside a cluster.
func (r *Resolver) service(ref *events.Reference) string {
	domain := r.ClusterDomain
	if domain == "" {
		domain = "cluster.local"
	}
	port := ""
	if ref.Port != 0 && ref.Port != 80 {
		port = fmt.Sprintf(":%d", ref.Port)
	}
	return fmt.Sprintf("http://%s.%s.svc.%s%s/%s", ref.Name, ref.Namespace, domain, port, strings.TrimPrefix(ref.Path, "/"))
}

func missing(format string, args ...any) error {
	return &secret.Missing{Message: fmt.Sprintf(format, args...)}
}

// Policy is a retry policy of a manifest; nil is the default.
func Policy(p *events.RetryPolicy) event.Policy {
	var out event.Policy
	if p == nil {
		return out
	}
	if p.Attempts != nil {
		out.Attempts = int(*p.Attempts)
	}
	if p.InitialInterval != nil {
		out.Initial = p.InitialInterval.Duration
	}
	if p.MaxInterval != nil {
		out.Max = p.MaxInterval.Duration
	}
	if p.MaxAge != nil {
		out.MaxAge = p.MaxAge.Duration
	}
	return out
}

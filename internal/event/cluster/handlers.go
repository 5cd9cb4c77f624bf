package cluster

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/event"
)

// AnnotationAccount on an EventSource names the service account of its namespace that its pods of kind "kubernetes" have.
const AnnotationAccount = "openfunction.io/service-account"

// ApplySource implements event.Engine.
func (e *Engine) ApplySource(ctx context.Context, s event.Source) error {
	if s.Kind == events.KindFile {
		return fmt.Errorf("event %s of %s: files of one machine are not seen by a cluster: use s3, or run this source with `ofn up`", s.Event, s.Name)
	}
	ref := event.Ref{Kind: event.KindSource, Name: s.Name, Event: s.Event}
	object := &events.EventSource{}
	if err := e.o.Manifests.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.Name.Name}, object); err != nil {
		return fmt.Errorf("reading EventSource %s: %w", s.Name, err)
	}
	m := &maker{engine: e, ref: ref, namespace: s.Namespace, owner: *owner("EventSource", object)}
	if err := m.prune(ctx, object); err != nil {
		return err
	}
	next := part{bus: s.Bus}
	plan := Plan{Sources: []event.Source{s}, Owner: string(object.UID)}
	ready, err := e.free(ctx, &next, object)
	if ready && err == nil {
		ready, err = e.complete(ctx, &next, &plan, s.Bus, s.Sink, s.DeadLetter)
	}
	if err != nil || !ready {
		e.settle(ref, next)
		return err
	}
	scale := sourceScale(object, s)
	called := s.Kind == events.KindWebhook || s.Kind == events.KindCloudEvents
	h := handler{replicas: scale.replicas, several: scale.several || called, http: called}
	if called {
		h.replicas = -1 // an autoscaler of the user may mind it
		if _, err := m.ensure(ctx, m.service(map[string]any{"ports": []corev1.ServicePort{
			{Name: "http", Port: 80, TargetPort: intstr.FromInt32(PortHTTP), Protocol: corev1.ProtocolTCP}}})); err != nil {
			return err
		}
	}
	if s.Kind == events.KindKubernetes {
		if h.account = object.Annotations[AnnotationAccount]; h.account == "" {
			h.account = "default"
		}
	}
	return e.run(ctx, m, next, plan, h, scale)
}

// ApplyTrigger implements event.Engine.
func (e *Engine) ApplyTrigger(ctx context.Context, t event.Trigger) error {
	ref := event.Ref{Kind: event.KindTrigger, Name: t.Name}
	object := &events.Trigger{}
	if err := e.o.Manifests.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: t.Name.Name}, object); err != nil {
		return fmt.Errorf("reading Trigger %s: %w", t.Name, err)
	}
	m := &maker{engine: e, ref: ref, namespace: t.Namespace, owner: *owner("Trigger", object)}
	next := part{bus: t.Bus, trigger: &t}
	plan := Plan{Triggers: []event.Trigger{t}}
	var sinks []*event.Sink
	for _, s := range t.Subscribers {
		sinks = append(sinks, s.Sink, s.DeadLetter)
	}
	ready, err := e.free(ctx, &next, object)
	if ready && err == nil {
		ready, err = e.complete(ctx, &next, &plan, t.Bus, sinks...)
	}
	if err != nil || !ready {
		e.settle(ref, next)
		return err
	}
	scale, err := e.triggerScale(ctx, t)
	if err != nil {
		return err
	}
	plan.Triggers[0].Shared = scale.several && scale.option != nil
	return e.run(ctx, m, next, plan, handler{replicas: scale.replicas, several: scale.several}, scale)
}

// ReasonHeld is that of what OpenFunction's own handlers still do.
const ReasonHeld = "HeldByOpenFunction"

// free says whether nobody does the work of an EventSource or Trigger yet: OpenFunction made Functions for that, which go on when its
// operator has ended, and two would handle every event twice.
func (e *Engine) free(ctx context.Context, next *part, object client.Object) (bool, error) {
	var all v1beta2.FunctionList
	if err := e.o.Manifests.List(ctx, &all, client.InNamespace(object.GetNamespace())); err != nil {
		return false, fmt.Errorf("listing functions: %w", err)
	}
	for i := range all.Items {
		fn := &all.Items[i]
		if by := metav1.GetControllerOf(fn); by != nil && by.UID == object.GetUID() {
			next.status = event.Status{Reason: ReasonHeld, Lag: -1, Message: fmt.Sprintf("OpenFunction's handler works for it; `kubectl -n %s delete function %s` hands it over", fn.Namespace, fn.Name)}
			return false, nil
		}
	}
	return true, nil
}

// complete gives a plan the bus, the place of dead letters and the functions that it needs. false means that something is not known
// yet, which the status says.
func (e *Engine) complete(ctx context.Context, next *part, plan *Plan, bus event.Name, sinks ...*event.Sink) (bool, error) {
	if e.o.Image == "" {
		return false, errNoImage
	}
	var used reach
	if bus.Name != "" {
		var known bool
		if used, known = e.bus(bus); !known {
			next.status = pending("event bus %s is not there yet", bus)
			return false, nil
		}
		plan.Buses = []event.Bus{used.bus}
	}
	letters, err := e.letters(ctx, used)
	if err != nil {
		return false, err
	}
	plan.Letters = letters
	next.calls = map[event.Name]string{}
	for _, s := range sinks {
		if s == nil || s.Function == nil {
			continue
		}
		host, err := e.host(ctx, *s.Function)
		if err != nil {
			return false, err
		}
		next.calls[*s.Function] = host
		if plan.Functions == nil {
			plan.Functions = map[string]string{}
		}
		plan.Functions[s.Function.String()] = host
	}
	return true, nil
}

// letters are kept by the bus itself where that is a NATS server, otherwise by the bus "default" of the cluster if that is one.
func (e *Engine) letters(ctx context.Context, used reach) (*Letters, error) {
	if used.bus.Kind != events.BusJetStream {
		name := event.Name{Name: events.DefaultEventBus}
		var known bool
		if used, known = e.bus(name); !known {
			err := e.o.Manifests.Get(ctx, client.ObjectKey{Name: name.Name}, &events.ClusterEventBus{})
			if err == nil {
				return nil, nil //nolint:nilnil // its controller makes it, and this is done again then
			}
			if !apierrors.IsNotFound(err) {
				return nil, fmt.Errorf("reading cluster event bus %s: %w", name, err)
			}
			if err := e.ApplyBus(ctx, event.Bus{Name: name, Kind: events.BusEmbedded}); err != nil {
				return nil, err
			}
			used, _ = e.bus(name)
		}
	}
	if used.bus.Kind != events.BusJetStream {
		return nil, nil //nolint:nilnil // there is no such place
	}
	server := used.bus
	server.Retention = event.Retention{}
	return &Letters{Server: server, MaxBytes: used.letters}, nil
}

// host is where a function is called inside the cluster: what its status says, or what most engines give it.
func (e *Engine) host(ctx context.Context, fn event.Name) (string, error) {
	object := &v1beta2.Function{}
	err := e.o.Manifests.Get(ctx, client.ObjectKey{Namespace: fn.Namespace, Name: fn.Name}, object)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("reading function %s: %w", fn, err)
	}
	return hostOf(object, fn, e.o.ClusterDomain), nil
}

func hostOf(object *v1beta2.Function, fn event.Name, domain string) string {
	for _, a := range object.Status.Addresses {
		if u, err := url.Parse(a.Value); a.Type == v1beta2.AddressInternal && err == nil && u.Host != "" {
			return u.Host
		}
	}
	return fn.Name + "." + fn.Namespace + ".svc." + domain
}

// run makes the objects of a plan.
func (e *Engine) run(ctx context.Context, m *maker, next part, plan Plan, h handler, s scale) error {
	text, hash, err := plan.encode()
	if err != nil {
		return err
	}
	h.hash = hash
	if _, err := m.ensure(ctx, m.secret(map[string][]byte{PlanFile: text})); err != nil {
		return err
	}
	if s.object, err = e.scaled(ctx, m, s); err != nil {
		return err
	}
	if s.object != nil {
		if h.replicas, err = m.awake(ctx, hash); err != nil {
			return err
		}
	}
	workload, err := m.ensure(ctx, m.deployment(h))
	if err != nil {
		return err
	}
	if next.status, err = e.observed(ctx, m.ref, workload); err != nil {
		return err
	}
	e.settle(m.ref, next)
	return nil
}

// awake is how many copies KEDA finds: its own number, which is negative here. Only a handler that it has at zero runs once when its
// plan has become another: the consumers that KEDA then asks for are made by it, and what is wrong with the plan is found by it.
func (m *maker) awake(ctx context.Context, hash string) (int, error) {
	wanted, err := drift.Object(m.object("apps/v1", "Deployment", nil))
	if err != nil {
		return 0, err
	}
	there, err := drift.Read(ctx, m.engine.o.Objects, wanted)
	if err != nil || there == nil {
		return -1, err
	}
	copies, set, _ := unstructured.NestedInt64(there.Object, "spec", "replicas")
	before, _, _ := unstructured.NestedString(there.Object, "spec", "template", "metadata", "annotations", annotationPlan)
	if set && copies == 0 && before != hash {
		return 1, nil
	}
	return -1, nil
}

// prune takes away what was made for events that an EventSource no longer has.
func (m *maker) prune(ctx context.Context, s *events.EventSource) error {
	wanted := map[string]bool{}
	for one := range s.Spec.Sources() {
		wanted[identity(event.Ref{Kind: event.KindSource, Name: event.Name{Namespace: s.Namespace, Name: s.Name}, Event: one.Event})] = true
	}
	kinds := []metav1.TypeMeta{{APIVersion: "apps/v1", Kind: "Deployment"}, {APIVersion: "v1", Kind: "Service"}, {APIVersion: "v1", Kind: "Secret"}}
	keda, err := m.engine.keda(ctx)
	if err != nil {
		return err
	}
	if keda { // first, or it would scale what is no longer there
		kinds = slices.Insert(kinds, 0, metav1.TypeMeta{APIVersion: kedaAPI, Kind: kindScaledObject})
	}
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion(kind.APIVersion)
		list.SetKind(kind.Kind + "List")
		if err := m.engine.o.Objects.List(ctx, list, client.InNamespace(s.Namespace), client.HasLabels{LabelEvents}); err != nil {
			return fmt.Errorf("listing what events have: %w", err)
		}
		gone := slices.DeleteFunc(list.Items, func(o unstructured.Unstructured) bool {
			by := metav1.GetControllerOf(&o)
			return by == nil || by.UID != s.UID || wanted[o.GetLabels()[LabelEvents]]
		})
		for i := range gone {
			if err := drift.Delete(ctx, m.engine.o.Objects, &gone[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

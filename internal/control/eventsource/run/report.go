package run

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/eventing"
)

// report writes the status, and says when figures that were held back may be written.
func (c *Controller) report(s *events.EventSource, wrong problems) (again time.Duration) {
	before := map[string]events.EventStatus{}
	for _, e := range s.Status.Events {
		before[e.Name] = e
	}
	key := client.ObjectKeyFromObject(s)
	status, reason, message := metav1.ConditionTrue, events.ReasonEventSourceIsReady, ""
	s.Status.Events = nil
	for source := range s.Spec.Sources() {
		said, known := c.options.Engine.Status(ref(key, source.Event))
		e := events.EventStatus{Name: source.Event, Kind: source.Kind}
		if s.Spec.EventBus != "" {
			e.Topic = events.Topic(s.Namespace, s.Name, source.Event)
		}
		var left time.Duration
		e.Flow, left = eventing.Flow(before[source.Event].Flow, said, c.options.Clock.Now())
		again = sooner(again, left)
		one, why, text := eventing.Stands(said, known, events.ReasonEventSourceIsReady)
		if p, ok := wrong.of[source.Event]; ok {
			one, why, text = metav1.ConditionFalse, p.reason, p.message
		}
		if e.Ready = one == metav1.ConditionTrue; !e.Ready {
			e.Reason = why
		}
		e.Message = text
		s.Status.Events = append(s.Status.Events, e)
		if worse(one, status) {
			status, reason, message = one, why, source.Event+": "+text
		}
	}
	slices.SortFunc(s.Status.Events, func(a, b events.EventStatus) int { return cmp.Compare(a.Name, b.Name) })
	if wrong.all.reason != "" {
		status, reason, message = metav1.ConditionFalse, wrong.all.reason, wrong.all.message
	}
	eventing.SetReady(&s.Status.Conditions, s.Generation, status, reason, message)
	s.Status.ObservedGeneration = s.Generation
	return again
}

// worse says whether a is worse than b: False is worse than Unknown is worse than True.
func worse(a, b metav1.ConditionStatus) bool {
	rank := map[metav1.ConditionStatus]int{metav1.ConditionTrue: 0, metav1.ConditionUnknown: 1, metav1.ConditionFalse: 2}
	return rank[a] > rank[b]
}

func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// watch queues the EventSources that use what changed.
func (c *Controller) watch(b *builder.Builder) *builder.Builder {
	list := func() client.ObjectList { return &events.EventSourceList{} }
	bus := eventing.Users(c.client, list, usesBus)
	function := eventing.Users(c.client, list, func(s *events.EventSource, changed client.Object) bool {
		return sinkIs(s, s.Spec.Sink, changed) || sinkIs(s, s.Spec.DeadLetterSink, changed)
	})
	if !c.options.WithoutComponents {
		b = b.Watches(&daprv1.Component{}, eventing.Users(c.client, list, usesComponent))
	}
	return b.Watches(&events.EventBus{}, bus, builder.WithPredicates(eventing.ComesOrGoes())).
		Watches(&events.ClusterEventBus{}, bus, builder.WithPredicates(eventing.ComesOrGoes())).
		Watches(&v1beta2.Function{}, function, builder.WithPredicates(eventing.ComesOrGoes())).
		WatchesMetadata(&corev1.Secret{}, eventing.Users(c.client, list, usesSecret))
}

func usesBus(s *events.EventSource, changed client.Object) bool {
	return s.Spec.EventBus == changed.GetName() && (changed.GetNamespace() == "" || changed.GetNamespace() == s.Namespace)
}

func sinkIs(s *events.EventSource, sink *events.SinkSpec, changed client.Object) bool {
	if sink == nil || sink.Ref == nil || sink.Ref.Name != changed.GetName() {
		return false
	}
	return sink.Ref.Namespace == changed.GetNamespace() || sink.Ref.Namespace == "" && s.Namespace == changed.GetNamespace()
}

func usesComponent(s *events.EventSource, changed client.Object) bool {
	if s.Namespace != changed.GetNamespace() {
		return false
	}
	for _, d := range s.Spec.Dapr {
		if d != nil && d.Component == changed.GetName() {
			return true
		}
	}
	return false
}

// usesSecret says yes to too many rather than too few: secrets of components that are named elsewhere count for all of kind dapr.
func usesSecret(s *events.EventSource, changed client.Object) bool {
	if s.Namespace != changed.GetNamespace() {
		return false
	}
	for source := range s.Spec.Sources() {
		if source.Options == nil {
			continue
		}
		for _, ref := range source.Options.SecretRefs {
			if ref.Name == changed.GetName() {
				return true
			}
		}
		if source.Kind == events.KindDapr {
			return true
		}
	}
	return false
}

package subscribe

import (
	"cmp"
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/event"
)

// longestError is how much of a last error is kept, in bytes.
const longestError = 1024

// parts are the components that call a revision, then those that it names to call, each once.
func parts(s *v1beta2.Serving) []event.Ref {
	app := event.Name{Namespace: s.Namespace, Name: s.Labels[v1beta2.LabelFunction]}
	var out []event.Ref
	add := func(kind event.Kind, component string) {
		if ref := (event.Ref{Kind: kind, Name: app, Event: component}); component != "" && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	for _, in := range daprapp.App(s, nil, nil).Inputs {
		add(event.KindInput, in.Component)
	}
	for _, o := range s.Spec.Outputs {
		if o != nil && o.Dapr != nil {
			add(event.KindOutput, daprapp.Name(&s.Spec.ServingTemplate, &o.Dapr.DaprComponentRef))
		}
	}
	return out
}

// report writes what passed through the parts, and says when figures that were held back may be written.
func (p *Phase) report(fn *v1beta2.Function, parts []event.Ref) (again time.Duration) {
	before := fn.Status.Events
	fn.Status.Events = nil
	now := p.options.Clock.Now()
	for _, ref := range parts {
		said, known := p.options.Engine.Status(ref)
		if !known {
			continue
		}
		is := flow(ref, said)
		i := slices.IndexFunc(before, func(f v1beta2.EventFlow) bool { return f.Component == is.Component && f.Direction == is.Direction })
		if i >= 0 {
			var left time.Duration
			is, left = settle(before[i], is, now)
			again = sooner(again, left)
		} else {
			is.ObservedTime = &metav1.Time{Time: now}
		}
		fn.Status.Events = append(fn.Status.Events, is)
	}
	return again
}

// settle is what should be said, given what is said: figures change at most once in eventing.Rarely, and how it stands at once.
func settle(said, is v1beta2.EventFlow, now time.Time) (v1beta2.EventFlow, time.Duration) {
	is.ObservedTime = said.ObservedTime
	if equality.Semantic.DeepEqual(said, is) {
		return said, 0
	}
	if said.ObservedTime != nil && said.Ready == is.Ready && said.Reason == is.Reason {
		if left := eventing.Rarely - now.Sub(said.ObservedTime.Time); left > 0 && left <= eventing.Rarely {
			return said, left
		}
	}
	is.ObservedTime = &metav1.Time{Time: now}
	return is, 0
}

func flow(ref event.Ref, s event.Status) v1beta2.EventFlow {
	out := v1beta2.EventFlow{Component: ref.Event, Direction: v1beta2.DirectionInput, Ready: s.Ready,
		Handled: s.Handled, Failed: s.Failed, DeadLetters: s.DeadLetters, PerMinute: int64(math.Round(s.PerSecond * 60)),
		LastError: condition.Shorten(s.LastError, longestError)}
	if ref.Kind == event.KindOutput {
		out.Direction = v1beta2.DirectionOutput
	}
	if !s.Ready {
		out.Reason, out.Message = s.Reason, condition.Shorten(s.Message, longestError)
	}
	if !s.LastEvent.IsZero() {
		out.LastEventTime = &metav1.Time{Time: s.LastEvent.Truncate(time.Second)}
	}
	return out
}

func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return cmp.Or(a, b)
	}
	return min(a, b)
}

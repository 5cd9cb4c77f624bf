package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	eventsv1 "github.com/openfunction/ofn/api/events/v1alpha1"
)

// eventObject is what describe shows of every kind of events.
type eventObject struct {
	Kind     string
	Metadata metav1.ObjectMeta
	Spec     json.RawMessage
	Status   struct {
		Kind       string // of buses
		Conditions []eventsv1.Condition
		Flow       *eventsv1.Flow
		Events     []eventsv1.EventStatus // of sources
	}
}

// feeds are the flows of an object: of each event, or of the whole.
func (o *eventObject) feeds() (out []feed) {
	for _, e := range o.Status.Events {
		problem := ""
		if !e.Ready {
			problem = strings.TrimSpace(e.Reason + ": " + e.Message)
		}
		out = append(out, feed{e.Name + " (" + e.Kind + ")", problem, e.Flow})
	}
	if o.Status.Flow != nil {
		out = append(out, feed{flow: o.Status.Flow})
	}
	return out
}

// ofEvents tells kinds of events, and Dapr's components, from others.
func (r *resource) ofEvents() bool {
	return r.group == eventsv1.GroupVersion.Group || r.group == daprv1.GroupVersion.Group
}

// describeEvents shows an event source, an event bus or a trigger.
func (s *session) describeEvents(ctx context.Context, r resource, name, output string) error {
	data, err := raw(ctx, s.REST.Get().AbsPath(r.path(s.Namespace, name)))
	if err != nil {
		return err
	}
	if output != "" {
		var whole unstructured.Unstructured
		if err := whole.UnmarshalJSON(data); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		return s.show(output, &whole, nil)
	}
	var o eventObject
	if err := json.Unmarshal(data, &o); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	o.Kind = r.kind
	o.write(s.app.env.Out, time.Now())
	return nil
}

func (o *eventObject) write(out io.Writer, now time.Time) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("Name:", "%s", o.Metadata.Name)
	row("Kind:", "%s", o.Kind)
	if o.Metadata.Namespace != "" {
		row("Namespace:", "%s", o.Metadata.Namespace)
	}
	row("Created:", "%s ago", duration.HumanDuration(now.Sub(o.Metadata.CreationTimestamp.Time)))
	for _, line := range o.ways() {
		row(line[0], "%s", line[1])
	}
	w.Flush()
	fmt.Fprintf(out, "\nConditions:\n")
	if len(o.Status.Conditions) == 0 {
		fmt.Fprintf(out, "  none yet\n")
	}
	for _, c := range o.Status.Conditions {
		first, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
		fmt.Fprintf(w, "  %s\t%s\t%s ago\t%s\t%s\n", c.Type, c.Status, duration.HumanDuration(now.Sub(c.LastTransitionTime.Time)), c.Reason, visible(first))
	}
	w.Flush()
	dead := int64(0)
	for _, f := range o.feeds() {
		fmt.Fprintf(out, "\nEvents %ssince the platform started:\n", strings.TrimPrefix("of "+f.name+" ", "of  "))
		f.write(w, now)
		w.Flush()
		if f.flow != nil {
			dead += f.flow.DeadLetters
		}
	}
	if dead > 0 {
		fmt.Fprintf(out, "\nWhat to do:\n  - see what could not be delivered with `ofn deadletters list --from %s`, mend the cause, then `ofn deadletters redrive`\n", o.Metadata.Name)
	}
}

// writeFlow shows lag, rates and the last error.
func writeFlow(w io.Writer, f *eventsv1.Flow, now time.Time) {
	if f.Lag != nil {
		fmt.Fprintf(w, "  Waiting:\t%d\n", *f.Lag)
	}
	fmt.Fprintf(w, "  Handled:\t%d, %d in the last minute\n  Failed attempts:\t%d\n  Dead letters:\t%d\n", f.Handled, f.PerMinute, f.Failed, f.DeadLetters)
	if f.LastEventTime != nil {
		fmt.Fprintf(w, "  Last event:\t%s ago\n", duration.HumanDuration(now.Sub(f.LastEventTime.Time)))
	}
	if f.LastError != "" {
		fmt.Fprintf(w, "  Last error:\t%s\n", visible(f.LastError))
	}
}

// ways are what comes in and where it goes. What cannot be read of a spec is not shown.
func (o *eventObject) ways() (out [][2]string) {
	switch o.Kind {
	case "EventSource":
		out = append(out, o.sourceWays()...)
	case "Trigger":
		out = append(out, o.triggerWays()...)
	case "Component":
		out = append(out, o.componentWays()...)
	case "EventBus", "ClusterEventBus":
		out = append(out, [2]string{"Bus:", orDash(o.Status.Kind)})
	}
	return out
}

func (o *eventObject) sourceWays() (out [][2]string) {
	var kinds map[string]json.RawMessage
	if json.Unmarshal(o.Spec, &kinds) != nil {
		return nil
	}
	var spec eventsv1.EventSourceSpec
	if json.Unmarshal(o.Spec, &spec) != nil {
		return nil
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		var named map[string]json.RawMessage
		if kind == "sink" || kind == "deadLetterSink" || json.Unmarshal(kinds[kind], &named) != nil {
			continue
		}
		for _, event := range slices.Sorted(maps.Keys(named)) {
			if len(named[event]) > 0 && named[event][0] == '{' {
				out = append(out, [2]string{"Event:", event + " (" + kind + ")"})
			}
		}
	}
	if spec.EventBus != "" {
		out = append(out, [2]string{"Event bus:", spec.EventBus})
	}
	if s := sinkText(spec.Sink); s != "" {
		out = append(out, [2]string{"Sink:", s})
	}
	return out
}

func (o *eventObject) triggerWays() (out [][2]string) {
	var spec eventsv1.TriggerSpec
	if json.Unmarshal(o.Spec, &spec) != nil {
		return nil
	}
	out = append(out, [2]string{"Event bus:", spec.EventBus})
	for _, name := range slices.Sorted(maps.Keys(spec.Inputs)) {
		in := spec.Inputs[name]
		if in == nil {
			continue
		}
		from := in.Topic
		if from == "" {
			from = in.EventSource + "/" + in.Event
		}
		out = append(out, [2]string{"Input:", name + " of " + from})
	}
	for _, sub := range spec.Subscribers {
		if sub == nil {
			continue
		}
		to := sinkText(sub.Sink)
		if sub.Topic != "" {
			to = strings.TrimPrefix(to+", topic "+sub.Topic, ", ")
		}
		out = append(out, [2]string{"Subscriber:", orDash(sub.Condition) + " → " + orDash(to)})
	}
	return out
}

func (o *eventObject) componentWays() [][2]string {
	var spec daprv1.ComponentSpec
	if json.Unmarshal(o.Spec, &spec) != nil {
		return nil
	}
	out := [][2]string{{"Type:", spec.Type + " " + spec.Version}}
	for _, m := range spec.Metadata {
		if m.SecretKeyRef != nil && m.SecretKeyRef.Name != "" {
			out = append(out, [2]string{"Secret:", m.Name + " from " + m.SecretKeyRef.Name})
		}
	}
	return out
}

func sinkText(s *eventsv1.SinkSpec) string {
	switch {
	case s == nil:
		return ""
	case s.URI != nil:
		return *s.URI
	case s.Ref != nil:
		return strings.ToLower(s.Ref.Kind) + " " + s.Ref.Name
	}
	return ""
}

// leadsTo tells whether a sink is the function.
func leadsTo(s *eventsv1.SinkSpec, of string, function, namespace string) bool {
	return s != nil && s.Ref != nil && s.Ref.Kind == "Function" && s.Ref.Name == function && (s.Ref.Namespace == namespace || s.Ref.Namespace == "" && of == namespace)
}

// feed is something that events pass through.
type feed struct {
	name    string
	problem string // why it is not ready
	flow    *eventsv1.Flow
}

func (f *feed) write(w io.Writer, now time.Time) {
	if f.problem != "" {
		fmt.Fprintf(w, "  Not ready:\t%s\n", visible(f.problem))
	}
	if f.flow == nil {
		fmt.Fprintf(w, "  none yet\n")
		return
	}
	writeFlow(w, f.flow, now)
}

// feeds are those of the function's namespace. A control plane without event kinds, or that does not show them, has none.
func (s *session) feeds(ctx context.Context, function, namespace string) ([]feed, error) {
	var out []feed
	var sources eventsv1.EventSourceList
	var triggers eventsv1.TriggerList
	for plural, into := range map[string]any{"eventsources": &sources, "triggers": &triggers} {
		data, err := raw(ctx, s.REST.Get().AbsPath("/apis/"+eventsv1.GroupVersion.String()+"/namespaces/"+namespace+"/"+plural))
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, into); err != nil {
			return nil, fmt.Errorf("reading the %s: %w", plural, err)
		}
	}
	for i := range sources.Items {
		if o := &sources.Items[i]; leadsTo(o.Spec.Sink, o.Namespace, function, namespace) {
			for _, e := range o.Status.Events {
				out = append(out, feed{name: "eventsource/" + o.Name + ", " + e.Name, flow: e.Flow})
			}
		}
	}
	for i := range triggers.Items {
		o := &triggers.Items[i]
		if slices.ContainsFunc(o.Spec.Subscribers, func(sub *eventsv1.Subscriber) bool {
			return sub != nil && leadsTo(sub.Sink, o.Namespace, function, namespace)
		}) {
			out = append(out, feed{name: "trigger/" + o.Name, flow: o.Status.Flow})
		}
	}
	return out, nil
}

// own are the flows of the function's Dapr components.
func own(fn *v1beta2.Function) (out []feed) {
	for _, e := range fn.Status.Events {
		f := feed{name: strings.ToLower(e.Direction) + " " + e.Component, flow: &eventsv1.Flow{Handled: e.Handled, Failed: e.Failed,
			DeadLetters: e.DeadLetters, PerMinute: e.PerMinute, LastError: e.LastError, LastEventTime: e.LastEventTime}}
		if !e.Ready {
			f.problem = strings.TrimSpace(e.Reason + ": " + e.Message)
		}
		out = append(out, f)
	}
	return out
}

// flows shows what calls the function with events, and what it sends.
func (d *description) flows(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range append(own(d.function), d.feeds...) {
		fmt.Fprintf(out, "\nEvents by %s:\n", f.name)
		f.write(w, d.now)
		w.Flush()
	}
}

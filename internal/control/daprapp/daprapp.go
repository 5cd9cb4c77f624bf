// Package daprapp says what a revision is to Dapr: whether it is an application at all, which components it has, by which
// names, and what calls it.
package daprapp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv2 "github.com/openfunction/ofn/api/dapr/v2alpha1"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/event"
)

// Annotations of Dapr that mean something without a sidecar. Those of logging and of the sidecar's container are passed over.
const (
	AnnotationAppID          = "dapr.io/app-id"
	AnnotationAppPort        = "dapr.io/app-port"
	AnnotationAppProtocol    = "dapr.io/app-protocol"
	AnnotationMaxConcurrency = "dapr.io/app-max-concurrency"
)

// Annotation is one of the revision's template, or of the Function.
func Annotation(s *v1beta2.Serving, name string) string {
	if v, ok := s.Spec.Annotations[name]; ok {
		return v
	}
	return s.Annotations[name]
}

// Enabled says whether the revision is an application of Dapr: as its annotation says, else when it has something to do with
// components.
func Enabled(s *v1beta2.Serving) bool {
	if v := Annotation(s, v1beta2.AnnotationEnableDapr); v != "" {
		return v != "false"
	}
	t := s.Spec.Triggers
	return t != nil && (len(t.Dapr) > 0 || len(t.Inputs) > 0) || len(s.Spec.Outputs) > 0 || len(s.Spec.States) > 0
}

// group is one of the maps in which a function defines components. The names of one are those of the user; where an earlier
// group has the name already, the later component is called after its group, too.
type group struct {
	name string
	of   map[string]*v1beta2.Component
}

func groups(t *v1beta2.ServingTemplate) []group {
	states := map[string]*v1beta2.Component{}
	for name, s := range t.States {
		if s != nil && s.Spec != nil {
			states[name] = s.Spec
		}
	}
	return []group{{"binding", t.Bindings}, {"pubsub", t.Pubsub}, {"state", states}}
}

// name is what the i-th group's component of a name is called.
func name(all []group, i int, name string) string {
	for _, earlier := range all[:i] {
		if earlier.of[name] != nil {
			return name + "-" + all[i].name
		}
	}
	return name
}

// Name is what a component is called that a trigger, an input or an output refers to.
func Name(t *v1beta2.ServingTemplate, ref *v1beta2.DaprComponentRef) string {
	if t.Pubsub[ref.Name] != nil && strings.HasPrefix(t.ComponentType(ref), "pubsub.") {
		return name(groups(t), 1, ref.Name)
	}
	return ref.Name
}

// StateName is what a state store is called.
func StateName(t *v1beta2.ServingTemplate, store string) string {
	all := groups(t)
	if all[2].of[store] == nil {
		return store
	}
	return name(all, 2, store)
}

// Components are those that the function defines for itself, with their secrets, ordered by name.
func Components(ctx context.Context, r *eventing.Resolver, s *v1beta2.Serving) ([]event.Component, error) {
	var out []event.Component
	all := groups(&s.Spec.ServingTemplate)
	for i, g := range all {
		for _, key := range slices.Sorted(maps.Keys(g.of)) {
			if g.of[key] == nil {
				continue
			}
			c, err := r.Own(ctx, event.Name{Namespace: s.Namespace, Name: name(all, i, key)}, g.of[key])
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b event.Component) int { return strings.Compare(a.Name.Name, b.Name.Name) })
	return out, nil
}

// App is the application that a revision is. Components come from Components; subscriptions are those of its namespace.
func App(s *v1beta2.Serving, components []event.Component, subscriptions []daprv2.Subscription) event.App {
	fn := s.Labels[v1beta2.LabelFunction]
	app := event.App{Name: event.Name{Namespace: s.Namespace, Name: fn}, ID: Annotation(s, AnnotationAppID), Revision: s.Name, Port: Port(s),
		Protocol: protocol(Annotation(s, AnnotationAppProtocol)), Components: components, Sidecar: HasSidecar(s), MaxConcurrency: number(s, AnnotationMaxConcurrency)}
	if t := s.Spec.Triggers; t != nil {
		for _, d := range t.Dapr {
			if d == nil {
				continue
			}
			in := event.Input{Name: d.InputName, Component: Name(&s.Spec.ServingTemplate, &d.DaprComponentRef), Type: s.Spec.ComponentType(&d.DaprComponentRef), Topic: d.Topic}
			if in.Name == "" {
				in.Name = d.Name
			}
			in.DeadLetterTopic = d.DeadLetterTopic
			if d.Retry != nil {
				policy := eventing.Policy(d.Retry)
				in.Retry = &policy
			}
			app.Inputs = append(app.Inputs, in)
		}
	}
	for i := range subscriptions {
		if x := &subscriptions[i]; scoped(x.Scopes, &app) {
			app.Subscriptions = append(app.Subscriptions, subscription(x))
		}
	}
	slices.SortFunc(app.Subscriptions, func(a, b event.Subscription) int { return strings.Compare(a.Name, b.Name) })
	return app
}

// Sinks finds where the dead letters of the inputs of an App of the revision go. With a *secret.Missing the application is whole all the
// same: what a sink names may come.
func Sinks(ctx context.Context, r *eventing.Resolver, s *v1beta2.Serving, app *event.App) error {
	if s.Spec.Triggers == nil {
		return nil
	}
	var absent error
	i := 0
	for _, d := range s.Spec.Triggers.Dapr {
		if d == nil {
			continue
		}
		sink, err := r.Sink(ctx, s.Namespace, d.DeadLetterSink)
		if err != nil {
			err = fmt.Errorf("dapr trigger %q: deadLetterSink: %w", d.Name, err)
			if wrong := (*secret.Missing)(nil); !errors.As(err, &wrong) {
				return err
			}
			absent = errors.Join(absent, err)
		}
		app.Inputs[i].DeadLetter = sink
		i++
	}
	return absent
}

// Port is where the function listens for everything: its http trigger's, else that of an annotation.
func Port(s *v1beta2.Serving) int {
	if t := s.Spec.Triggers; t != nil && t.HTTP != nil {
		if t.HTTP.Port != nil && *t.HTTP.Port != 0 {
			return int(*t.HTTP.Port)
		}
	} else if n := number(s, AnnotationAppPort); n > 0 && n < 1<<16 {
		return n
	}
	return int(v1beta2.DefaultPort)
}

// number is that of an annotation; 0 when it is none.
func number(s *v1beta2.Serving, annotation string) int {
	n, err := strconv.Atoi(Annotation(s, annotation))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// protocol is that of the channel to the application; what is not known is found out by asking.
func protocol(s string) string {
	switch strings.ToLower(s) {
	case "http", "https":
		return "http"
	case "grpc", "grpcs":
		return "grpc"
	default:
		return ""
	}
}

// scoped says whether scopes let an application in. It is known by its id, by its function's name, and by the id that
// OpenFunction gave it.
func scoped(scopes []string, a *event.App) bool {
	if len(scopes) == 0 {
		return true
	}
	for _, s := range scopes {
		if s == a.Name.Name || s == a.Name.Name+"-"+a.Namespace || a.ID != "" && s == a.ID {
			return true
		}
	}
	return false
}

func subscription(s *daprv2.Subscription) event.Subscription {
	out := event.Subscription{Name: s.Name, Component: s.Spec.Pubsubname, Topic: s.Spec.Topic, Default: s.Spec.Routes.Default,
		DeadLetterTopic: s.Spec.DeadLetterTopic, Metadata: s.Spec.Metadata}
	for _, r := range s.Spec.Routes.Rules {
		out.Routes = append(out.Routes, event.Route{Match: r.Match, Path: r.Path})
	}
	if b := s.Spec.BulkSubscribe; b.Enabled {
		out.Bulk, out.BulkMessages, out.BulkAwait = true, int(b.MaxMessagesCount), time.Duration(b.MaxAwaitDurationMs)*time.Millisecond
	}
	return out
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/dapr/components-contrib/secretstores"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	"github.com/openfunction/ofn/internal/control/admission"
	componentapply "github.com/openfunction/ofn/internal/control/component/apply"
	eventbusrun "github.com/openfunction/ofn/internal/control/eventbus/run"
	control "github.com/openfunction/ofn/internal/control/eventing"
	eventsourcerun "github.com/openfunction/ofn/internal/control/eventsource/run"
	"github.com/openfunction/ofn/internal/control/function/subscribe"
	triggerrun "github.com/openfunction/ofn/internal/control/trigger/run"
	"github.com/openfunction/ofn/internal/dapr"
	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/event"
)

// resolver finds what manifests of events name.
func (p *platform) resolver(c client.Client) *control.Resolver {
	return &control.Resolver{Client: c, Engine: p.events.controlled(), ClusterDomain: p.settings.clusterDomain, Stores: secretStores{p.events.dapr}}
}

// busMeant is the bus that a name means in a namespace, once the controllers can tell.
func (p *platform) busMeant(ctx context.Context, namespace, name string) (event.Name, error) {
	c := p.objects.Load()
	if c == nil || p.events == nil {
		return event.Name{}, errStarting
	}
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	return p.resolver(*c).Bus(ctx, namespace, name)
}

var errStarting = errors.New("the platform is starting")

// secretStores reads the secrets that components have in a store of their namespace.
type secretStores struct{ runtime *dapr.Runtime }

// Secret implements eventing.Stores.
func (s secretStores) Secret(ctx context.Context, namespace, store, name string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	l, err := s.runtime.Acquire(ctx, event.Name{Namespace: namespace}, store)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	if l.Secrets == nil {
		return nil, fmt.Errorf("component %q is of type %s, which keeps no secrets", store, l.Spec.Type)
	}
	got, err := l.Secrets.GetSecret(ctx, secretstores.GetSecretRequest{Name: name, Metadata: map[string]string{"namespace": namespace}})
	return got.Data, err
}

// subscribe is the phase of Functions that lets events call them.
func (p *platform) subscribe(c client.Client) *subscribe.Phase {
	return subscribe.New(c, subscribe.Options{Engine: p.events.controlled(), Resolver: p.resolver(c), Clock: clock.RealClock{}})
}

// eventControllers are those of events and of Dapr's components.
func (p *platform) eventControllers(c client.Client) []registrable {
	e, r, k := p.events.controlled(), p.resolver(c), clock.RealClock{}
	buses := eventbusrun.Options{Engine: e, Resolver: r, Clock: k}
	return []registrable{
		componentapply.NewController(c, componentapply.Options{Engine: e, Resolver: r, Clock: k}),
		eventbusrun.NewController(c, buses),
		eventbusrun.NewClusterController(c, buses),
		&listening{eventsourcerun.NewController(c, eventsourcerun.Options{Engine: e, Resolver: r, Clock: k}), c, e, p.events.hooks},
		triggerrun.NewController(c, triggerrun.Options{Engine: e, Resolver: r, Clock: k}),
		&sweeper{c, p.events, p.log},
	}
}

// admission says what webhooks can ask beyond the object they are shown.
func (p *platform) admission() admission.Options {
	return admission.Options{Components: componentTypes{log: p.log}, Defined: p.componentDefined, InProcess: true}
}

// lookup bounds how long an admission waits for the controllers' cache, which may still be filling, and a component for the
// store of its secrets.
const lookup = time.Second

// componentDefined says whether a Component is there, once the controllers can tell.
func (p *platform) componentDefined(ctx context.Context, namespace, name string) (defined, known bool) {
	c := p.objects.Load()
	if c == nil {
		return false, false
	}
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	err := (*c).Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &daprv1.Component{})
	return err == nil, err == nil || apierrors.IsNotFound(err)
}

// componentTypes tells admission what is known of types of components.
type componentTypes struct{ log *slog.Logger }

// untold are metadata that components read although their descriptions do not name them: OpenFunction's manifests are full of them.
var untold = []string{"authRequired", "consumerID", "username", "password", "qos", "retain", "cleanSession"}

// Check implements admission.Components.
func (t componentTypes) Check(kind, version string, metadata map[string]string) []string {
	ignored, err := (&components.Factory{Log: t.log}).Check(event.Component{Type: kind, Version: version, Metadata: metadata})
	if err != nil {
		if wrong := (*components.Invalid)(nil); errors.As(err, &wrong) {
			return []string{wrong.Message}
		}
		return []string{err.Error()}
	}
	var out []string
	for _, name := range ignored {
		if slices.Contains(untold, name) {
			continue
		}
		out = append(out, "metadata "+strconv.Quote(name)+" is not known to "+kind+" and ignored")
	}
	return out
}

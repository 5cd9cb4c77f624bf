package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/dapr"
	daprruntime "github.com/openfunction/ofn/internal/dapr/runtime"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/deliver/letters"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/source"
	triggerrun "github.com/openfunction/ofn/internal/event/trigger/run"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/telemetry"
)

// eventing is the event half of the platform: the store of events, Dapr, sources, buses and triggers.
type eventing struct {
	store   *jetstream.Embedded
	letters *letters.Store
	hooks   *hooks // where sources that are called over HTTP listen
	dapr    *dapr.Runtime
	engine  *embedded.Engine
	metrics *telemetry.Events
}

// openEvents makes it ready. The store is started by whoever needs it first; what functions left there waits for them, so one
// that is there already is started with the platform.
func (p *platform) openEvents(ctx context.Context) (err error) {
	dir := filepath.Join(p.settings.dataDir, "events")
	e := &eventing{hooks: newHooks(), store: jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: filepath.Join(dir, "store"), Log: p.log})}
	p.onClose(func(context.Context) error { return e.store.Close() })
	e.letters = letters.New(e.store, letters.Options{})
	e.metrics = p.metrics.Events(e.observed, e.kept)
	if e.store.Exists() {
		if err := e.store.Open(ctx); err != nil {
			return fmt.Errorf("opening the store of events: %w", err)
		}
	}
	e.dapr, err = dapr.New(dapr.Options{
		Log: p.log, Caller: copiesOf{p}, Invoker: p.toGateway(), ClusterDomain: p.settings.clusterDomain, Secrets: secretsOf{p}, Version: version,
		DeadLetters: deadInputs{e}, Tracer: p.traces.dapr(), Timeout: p.settings.requestTimeout, Files: p.filesDir(),
		Metrics: inputMetrics{e.metrics},
	})
	if err != nil {
		return fmt.Errorf("preparing Dapr's runtime: %w", err)
	}
	p.onClose(func(context.Context) error { return e.dapr.Close() })
	state := source.State{Dir: filepath.Join(dir, "sources")}
	e.engine, err = embedded.New(embedded.Options{
		Dapr: e.dapr, Sources: p.sources(e, state), State: state, Buses: busKinds(e, p.log), Triggers: triggerrun.New(nil), Log: p.log, Drain: p.settings.drain,
		Deliver: deliver.Options{Functions: p.toGateway(), HostOf: p.hostOf, URIs: p.outside(), Letters: e.letters, Timeout: p.settings.requestTimeout,
			SigningKey: p.calls.signingKey, Redrive: e.again, Metrics: deliveryMetrics{e.metrics}},
	})
	if err != nil {
		return err
	}
	p.events = e
	return nil
}

// toGateway takes requests for any host to the platform's own gateway.
func (p *platform) toGateway() *http.Transport {
	address := p.gatewayListener.Addr().String()
	var d net.Dialer
	return &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) },
		MaxIdleConnsPerHost: 64, MaxIdleConns: 256, IdleConnTimeout: time.Minute, DisableCompression: true,
	}
}

// hostOf is where the gateway knows a function.
func (p *platform) hostOf(fn event.Name) string {
	return fn.Name + "." + fn.Namespace + ".svc." + p.settings.clusterDomain
}

// copiesOf lets Dapr's runtime call copies of functions, started where there are none.
type copiesOf struct{ p *platform }

// Call implements runtime.Caller.
func (c copiesOf) Call(ctx context.Context, namespace, revision string, use func(context.Context, string, func(context.Context) (net.Conn, error)) error) error {
	r := c.p.node.Revision(run.Key{Namespace: namespace, Name: revision})
	if r == nil {
		return fmt.Errorf("revision %s/%s is not on this machine", namespace, revision)
	}
	return r.Do(ctx, func(e *activator.Endpoint) error { return use(ctx, e.ID(), e.Dial) })
}

// Serve implements node.Dapr.
func (e *eventing) Serve(ctx context.Context, namespace, function string, grpc, http net.Listener) error {
	return e.dapr.Serve(ctx, event.Name{Namespace: namespace, Name: function}, grpc, http)
}

// secretsOf reads secrets for Dapr's store "kubernetes".
type secretsOf struct{ p *platform }

func (s secretsOf) client() (*kubernetes.Clientset, error) {
	if s.p.api == nil {
		return nil, errors.New("the control plane is not up yet")
	}
	return kubernetes.NewForConfig(s.p.api.Config())
}

// Secret implements runtime.Secrets.
func (s secretsOf) Secret(ctx context.Context, namespace, name string) (map[string]string, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	found, err := c.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return values(found), nil
}

// Secrets implements runtime.Secrets.
func (s secretsOf) Secrets(ctx context.Context, namespace string) (map[string]map[string]string, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	found, err := c.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	out := make(map[string]map[string]string, len(found.Items))
	for i := range found.Items {
		out[found.Items[i].Name] = values(&found.Items[i])
	}
	return out, nil
}

func values(s *corev1.Secret) map[string]string {
	out := make(map[string]string, len(s.Data))
	for k, v := range s.Data {
		out[k] = string(v)
	}
	return out
}

// busLag tells internal/lag how many events wait on a bus.
type busLag struct{ p *platform }

// Lag implements lag.Bus.
func (b busLag) Lag(ctx context.Context, namespace, name, consumer string) (int64, error) {
	meant, err := b.p.busMeant(ctx, namespace, name)
	if err != nil {
		return 0, err
	}
	on, release, err := b.p.events.engine.Bus(meant)
	if err != nil {
		return 0, err
	}
	defer release()
	return on.Lag(ctx, consumer)
}

// deadInputs keeps what no function could handle.
type deadInputs struct{ e *eventing }

// What a letter of an input says beside the event, so that it can be given to its function again.
const (
	letterComponent = "component"
	letterType      = "type"
	letterTopic     = "topic"
	letterPath      = "path"
	letterRevision  = "revision"
	letterWrapped   = "wrapped"   // "true": the event was made around what came, which was none
	letterMetadata  = "metadata." // and the key
)

// Put implements runtime.DeadLetters.
func (d deadInputs) Put(ctx context.Context, l daprruntime.DeadLetter) error {
	letter := deliver.Letter{
		From: event.Ref{Kind: event.KindApp, Name: l.App}, Part: l.Input, Cause: l.Cause, Code: l.Code, Attempts: l.Attempts,
		Accepted: l.First, Last: l.Last,
		Context: map[string]string{letterComponent: l.Component, letterType: l.Type, letterTopic: l.Topic, letterPath: l.Path, letterRevision: l.Revision},
	}
	for k, v := range l.Metadata {
		letter.Context[letterMetadata+k] = v
	}
	var whole bool
	if letter.Event, whole = eventOf(l); !whole {
		letter.Context[letterWrapped] = "true"
	}
	if l.Sink == nil {
		return d.e.letters.Put(ctx, letter)
	}
	to := deliver.Delivery{Event: letter.Told(), Sink: *l.Sink, From: letter.From, Part: letter.Part, Retry: event.Policy{Attempts: 3}}
	_, err := d.e.engine.Deliverer().Deliver(ctx, to) // which keeps a letter itself when the sink does not take it
	return err
}

// eventOf is the event as it came: the CloudEvent that a topic carries, or, and then whole is false, one around what came.
func eventOf(l daprruntime.DeadLetter) (e cloudevent.Event, whole bool) {
	if l.Topic != "" {
		if e, err := cloudevent.FromJSON(l.Data); err == nil {
			return e, true
		}
	}
	id := source.Identity{Namespace: l.App.Namespace, Name: l.App.Name, Event: l.Component, Kind: l.Type}
	return id.Make(l.ID, l.ContentType, l.Data, l.First), false
}

// again gives a dead letter of a function's input to the function again.
func (e *eventing) again(ctx context.Context, l deliver.Letter) error {
	if l.From.Kind != event.KindApp {
		return fmt.Errorf("dead letter %s names nothing that it could go to", l.ID)
	}
	back := daprruntime.DeadLetter{App: l.From.Name, Input: l.Part, Component: l.Context[letterComponent], Type: l.Context[letterType], Topic: l.Context[letterTopic],
		Path: l.Context[letterPath], Data: l.Event.Data, ContentType: l.Event.DataContentType, Metadata: map[string]string{}}
	for k, v := range l.Context {
		if name, ok := strings.CutPrefix(k, letterMetadata); ok {
			back.Metadata[name] = v
		}
	}
	if l.Context[letterWrapped] == "" {
		data, err := l.Event.JSON()
		if err != nil {
			return fmt.Errorf("encoding the event of dead letter %s: %w", l.ID, err)
		}
		back.Data, back.ContentType = data, "application/cloudevents+json"
	}
	return e.dapr.Redrive(ctx, back)
}

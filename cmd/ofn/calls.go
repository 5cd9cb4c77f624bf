package main

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	eventsapi "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/calls"
	"github.com/openfunction/ofn/internal/calls/callhttp"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/nodeapi"
	"github.com/openfunction/ofn/internal/telemetry"
)

// asyncCalls are the asynchronous calls of the platform, opened by the first that needs them.
type asyncCalls struct {
	p       *platform
	front   *callhttp.Front
	metrics calls.Metrics

	mu     sync.Mutex
	events *eventing // nil before the platform has them
	opened *calls.Calls
	closed bool

	keyLock sync.Mutex
}

func newCalls(p *platform) *asyncCalls {
	a := &asyncCalls{p: p}
	a.metrics = callMetrics{p.metrics.Calls(a.waiting)}
	a.front = callhttp.New(callhttp.Options{Open: a.open, HostOf: a.hostOf, Log: p.log})
	return a
}

// start makes them ready. Those that wait from an earlier run go on at once.
func (a *asyncCalls) start(ctx context.Context, e *eventing) error {
	a.mu.Lock()
	a.events = e
	a.mu.Unlock()
	if !e.store.Exists() {
		return nil
	}
	_, err := a.open(ctx)
	return err
}

func (a *asyncCalls) hostOf(fn calls.Name) string { return a.p.hostOf(event.Name(fn)) }

// eventing is where calls, buses and dead letters are kept.
func (a *asyncCalls) eventing() (*eventing, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.events == nil {
		return nil, errStarting
	}
	return a.events, nil
}

func (a *asyncCalls) open(ctx context.Context) (*calls.Calls, error) {
	e, err := a.eventing()
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, calls.ErrClosed
	case a.opened != nil:
		return a.opened, nil
	}
	js, err := e.store.JetStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the asynchronous calls: %w", err)
	}
	opened, err := calls.Open(ctx, calls.Options{
		JetStream: js, Transport: a.p.toGateway(), HostOf: a.hostOf, Callbacks: a.p.outside(), Topics: callTopics{a.p},
		SigningKey: a.signingKey, Room: e.store.Room, Mend: e.store.Heal, Log: a.p.log, Metrics: a.metrics,
	})
	if err != nil {
		return nil, err
	}
	a.opened = opened
	return opened, nil
}

// closeAfter begins nothing more when ctx ends, and breaks off what is under way shortly before the gateway would: it is run again
// by the next start.
func (a *asyncCalls) closeAfter(ctx context.Context) {
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.p.settings.drain*9/10)
	defer cancel()
	a.close(end)
}

func (a *asyncCalls) close(ctx context.Context) {
	a.mu.Lock()
	a.closed = true
	opened := a.opened
	a.opened = nil
	a.mu.Unlock()
	if opened != nil {
		opened.Close(ctx)
	}
}

// waiting is how many calls have not ended.
func (a *asyncCalls) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.opened == nil {
		return 0
	}
	return a.opened.Lag(calls.Name{})
}

// callMetrics is a calls.Metrics.
type callMetrics struct{ *telemetry.Calls }

func (m callMetrics) Accepted(f calls.Name) { m.Calls.Accepted(f.Namespace, f.Name) }

func (m callMetrics) Attempt(f calls.Name, code int, took time.Duration) {
	m.Calls.Attempt(f.Namespace, f.Name, code, took)
}

func (m callMetrics) Ended(f calls.Name, state calls.State, _ time.Duration) {
	m.Calls.Ended(f.Namespace, f.Name, string(state))
}

// callTopics publishes word of the end of calls.
type callTopics struct{ p *platform }

// Publish implements calls.Topics.
func (t callTopics) Publish(ctx context.Context, on calls.Name, topic, id string, header map[string]string, data []byte) error {
	meant, err := t.p.busMeant(ctx, on.Namespace, on.Name)
	if err == nil && meant.Namespace == "" {
		err = ownTopic(ctx, *t.p.objects.Load(), on.Namespace, topic)
	}
	if err != nil {
		return err
	}
	return t.p.events.engine.Publish(ctx, meant, bus.Message{Topic: topic, ID: id, Header: header, Data: data})
}

// ownTopic refuses topics that are of an EventSource of another namespace: whoever may call a function names the topic, and must
// not be taken for that source on a bus that all namespaces share.
func ownTopic(ctx context.Context, c client.Reader, namespace, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	var all eventsapi.EventSourceList
	if err := c.List(ctx, &all); err != nil {
		return fmt.Errorf("finding whose topic %s is: %w", topic, err)
	}
	for i := range all.Items {
		s := &all.Items[i]
		if s.Namespace == namespace {
			continue
		}
		for source := range s.Spec.Sources() {
			if eventsapi.Topic(s.Namespace, s.Name, source.Event) == topic {
				return fmt.Errorf("topic %s is of event source %s/%s: functions of namespace %s may not publish to it", topic, s.Namespace, s.Name, namespace)
			}
		}
	}
	return nil
}

// signingKey is what the webhooks of a namespace are signed with: made of a secret that this machine keeps with its events.
func (a *asyncCalls) signingKey(_ context.Context, namespace string) ([]byte, error) {
	a.keyLock.Lock()
	defer a.keyLock.Unlock()
	dir := filepath.Join(a.p.settings.dataDir, "events")
	path := filepath.Join(dir, "signing.key")
	secret, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
		err = errors.Join(os.MkdirAll(dir, 0o700), writeSecret(path, secret))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key of webhooks: %w", err)
	}
	return hkdf.Key(sha256.New, secret, nil, "webhooks of namespace "+namespace, 32)
}

// writeSecret leaves no half of a file.
func writeSecret(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// shownBuses are the buses for nodeapi.
type shownBuses struct{ *asyncCalls }

// Bus implements nodeapi.Buses.
func (s shownBuses) Bus(ctx context.Context, namespace, name string) (bus.Bus, func(), error) {
	e, err := s.eventing()
	if err != nil {
		return nil, nil, err
	}
	meant, err := s.p.busMeant(ctx, namespace, name)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", nodeapi.ErrNoBus, err)
	}
	b, release, err := e.engine.Bus(meant)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", nodeapi.ErrNoBus, err)
	}
	return b, release, nil
}

// shownLetters are the dead letters for nodeapi.
type shownLetters struct{ *asyncCalls }

// List implements nodeapi.DeadLetters.
func (s shownLetters) List(ctx context.Context, q nodeapi.DeadLetterQuery) ([]nodeapi.DeadLetter, error) {
	e, err := s.eventing()
	if err != nil {
		return nil, err
	}
	f := deliver.Filter{Namespace: q.Namespace, After: q.After, Limit: q.Limit}
	f.From.Kind, f.From.Name.Name = event.Kind(q.Kind), q.From
	found, err := e.letters.List(ctx, f)
	if err != nil {
		return nil, err
	}
	out := make([]nodeapi.DeadLetter, 0, len(found))
	for _, l := range found {
		out = append(out, shownLetter(l))
	}
	return out, nil
}

// Get implements nodeapi.DeadLetters.
func (s shownLetters) Get(ctx context.Context, namespace, id string) (nodeapi.DeadLetter, error) {
	_, l, err := s.letter(ctx, namespace, id)
	if err != nil {
		return nodeapi.DeadLetter{}, err
	}
	out := shownLetter(l)
	shown := nodeapi.ShowEvent(bus.Stored{Message: bus.Message{ID: l.Event.ID, Header: l.Event.Header(), Data: l.Event.Data}, Time: l.Accepted})
	out.Event = &shown
	return out, nil
}

// letter is one of the namespace, with where it is kept.
func (s shownLetters) letter(ctx context.Context, namespace, id string) (*eventing, deliver.Letter, error) {
	e, err := s.eventing()
	if err != nil {
		return nil, deliver.Letter{}, err
	}
	l, err := e.letters.Get(ctx, id)
	if errors.Is(err, deliver.ErrNoLetter) || err == nil && l.From.Namespace != namespace {
		err = nodeapi.ErrNoLetter
	}
	return e, l, err
}

// Redrive implements nodeapi.DeadLetters.
func (s shownLetters) Redrive(ctx context.Context, namespace, id string) error {
	e, _, err := s.letter(ctx, namespace, id)
	if err != nil {
		return err
	}
	if err := e.engine.Deliverer().Redrive(ctx, id); err != nil {
		return fmt.Errorf("%w: %w", nodeapi.ErrRefused, err)
	}
	return nil
}

// Delete implements nodeapi.DeadLetters.
func (s shownLetters) Delete(ctx context.Context, namespace, id string) error {
	e, _, err := s.letter(ctx, namespace, id)
	if err != nil {
		return err
	}
	return e.letters.Delete(ctx, id)
}

func shownLetter(l deliver.Letter) nodeapi.DeadLetter {
	out := nodeapi.DeadLetter{ID: l.ID, Kind: string(l.From.Kind), From: l.From.Name.Name, Part: l.Part, Cause: l.Cause, Code: l.Code, Answer: string(l.Answer),
		Attempts: l.Attempts, Accepted: l.Accepted, Last: l.Last}
	if l.From.Event != "" {
		out.From += "/" + l.From.Event
	}
	if l.Sink != nil {
		out.Sink = deliver.Describe(*l.Sink)
	}
	return out
}

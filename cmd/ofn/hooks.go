package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	eventsapi "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/source"
)

const (
	holdTime = 20 * time.Second // how long a caller waits for its source, and the start for its sources
	maxHeld  = 1000             // callers that wait at once
)

// hooks are the addresses of event sources for the gateway. While the platform starts, a call whose source is not there yet waits
// for it, and is not told that it does not exist.
type hooks struct {
	*source.Mux
	settled chan struct{} // closed when the sources there were listen again
	once    sync.Once
	waiting chan struct{}
}

func newHooks() *hooks {
	return &hooks{Mux: &source.Mux{}, settled: make(chan struct{}), waiting: make(chan struct{}, maxHeld)}
}

// settle ends the waiting.
func (h *hooks) settle() { h.once.Do(func() { close(h.settled) }) }

func (h *hooks) starting() bool {
	select {
	case <-h.settled:
		return false
	default:
		return true
	}
}

// Match implements gateway.Unmatched.
func (h *hooks) Match(path string) bool { return h.Mux.Match(path) || h.starting() }

// ServeHTTP implements gateway.Unmatched.
func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.Mux.Match(r.URL.Path) && !h.wait(r.Context()) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the platform is starting: send it again", http.StatusServiceUnavailable)
		return
	}
	h.Mux.ServeHTTP(w, r)
}

// wait is false when it took too long, or too many wait already.
func (h *hooks) wait(ctx context.Context) bool {
	select {
	case <-h.settled:
		return true
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, holdTime)
	defer cancel()
	select {
	case <-h.settled:
		return true
	case <-ctx.Done():
		return false
	}
}

// listening makes the sources that are called over HTTP listen again as soon as the caches are filled, before the queue of their
// controller would come to them. It is that controller, and something that the manager runs once.
type listening struct {
	sourceController
	client client.Client
	engine event.Engine
	hooks  *hooks
}

type sourceController interface {
	registrable
	reconcile.Reconciler
}

// Register implements registrable.
func (l *listening) Register(m ctrl.Manager) error {
	if err := l.sourceController.Register(m); err != nil {
		return err
	}
	return m.Add(l)
}

// Start waits until each of the sources listens or has said what is wrong with it.
func (l *listening) Start(ctx context.Context) error {
	defer l.hooks.settle()
	var all eventsapi.EventSourceList
	if err := l.client.List(ctx, &all); err != nil {
		return fmt.Errorf("listing event sources: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, holdTime)
	defer cancel()
	changed := make(chan struct{}, 1)
	var watching sync.WaitGroup
	watching.Go(func() {
		l.engine.Watch(ctx, func(event.Ref) {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	})
	defer watching.Wait()
	defer cancel()
	wanted := l.apply(ctx, all.Items)
	look := time.NewTicker(100 * time.Millisecond) // for what changed before the watch
	defer look.Stop()
	for l.silent(wanted) {
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// apply hands over the sources that are called over HTTP, with all the others of their objects. What fails is left to the controller.
func (l *listening) apply(ctx context.Context, sources []eventsapi.EventSource) (wanted []event.Ref) {
	for i := range sources {
		s, called := &sources[i], false
		for one := range s.Spec.Sources() {
			if one.Kind == eventsapi.KindWebhook || one.Kind == eventsapi.KindCloudEvents {
				called = true
				wanted = append(wanted, event.Ref{Kind: event.KindSource, Name: event.Name{Namespace: s.Namespace, Name: s.Name}, Event: one.Event})
			}
		}
		if called {
			_, _ = l.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(s)}) // its controller reports it
		}
	}
	return wanted
}

// silent tells whether one of the sources has not said anything yet.
func (l *listening) silent(wanted []event.Ref) bool {
	for _, ref := range wanted {
		if s, known := l.engine.Status(ref); known && !s.Ready && s.Reason == "Starting" {
			return true
		}
	}
	return false
}

package main

import (
	"context"
	"fmt"
	"log/slog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	eventsapi "github.com/openfunction/ofn/api/events/v1alpha1"
	control "github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/event"
)

// sweeper has the buses of the platform forget triggers that are gone. It begins when the caches are filled.
type sweeper struct {
	client client.Client
	events *eventing
	log    *slog.Logger
}

// Name implements registrable.
func (*sweeper) Name() string { return "trigger.sweep" }

// Register implements registrable.
func (s *sweeper) Register(m ctrl.Manager) error { return m.Add(s) }

// Start looks at every bus, until ctx ends.
func (s *sweeper) Start(ctx context.Context) error {
	if err := s.implied(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("what an event bus of an earlier life keeps is not looked at; the next start tries again", "err", err)
	}
	s.events.engine.Sweep(ctx, func(ctx context.Context, name event.Name) (bool, error) {
		err := s.client.Get(ctx, types.NamespacedName{Namespace: name.Namespace, Name: name.Name}, &eventsapi.Trigger{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	return nil
}

// implied brings back the bus that is there without being declared, where there may be something on it: nobody may name it any more.
func (s *sweeper) implied(ctx context.Context) error {
	if !s.events.store.Exists() {
		return nil
	}
	name := control.DefaultBus().Name
	err := s.client.Get(ctx, types.NamespacedName{Name: name.Name}, &eventsapi.ClusterEventBus{})
	if err == nil {
		return nil // its controller makes it
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading cluster event bus %s: %w", name.Name, err)
	}
	_, release, err := s.events.engine.Bus(name)
	if err != nil {
		return fmt.Errorf("opening event bus %s: %w", name.Name, err)
	}
	release()
	return nil
}

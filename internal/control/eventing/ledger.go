// Package eventing is what the controllers of events have in common: what they handed to the engine and what it says of it,
// which bus and sink a manifest means, the settings of components with their secrets, and how a status is written rarely.
package eventing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openfunction/ofn/internal/event"
)

// Rarely is how often figures are looked at, and how often they are written at most.
const Rarely = 15 * time.Second

// Ledger keeps what a controller has handed to the engine, by the object that asked for it, and queues the object when the
// engine knows something new of it. After a start of the platform it is as empty as the engine.
type Ledger struct {
	engine  event.Engine
	clock   clock.WithTicker
	object  func(types.NamespacedName) client.Object
	changed chan ctrlevent.GenericEvent
	some    chan struct{} // holds one while somebody waits

	mu      sync.Mutex
	refs    map[types.NamespacedName][]event.Ref
	owners  map[event.Ref]types.NamespacedName
	seen    map[event.Ref]event.Status
	waiting map[types.NamespacedName]struct{}
}

// NewLedger is an empty ledger. object makes an empty object of the controller's kind with a name.
func NewLedger(e event.Engine, c clock.WithTicker, object func(types.NamespacedName) client.Object) *Ledger {
	return &Ledger{engine: e, clock: c, object: object, changed: make(chan ctrlevent.GenericEvent), some: make(chan struct{}, 1),
		refs: map[types.NamespacedName][]event.Ref{}, owners: map[event.Ref]types.NamespacedName{},
		seen: map[event.Ref]event.Status{}, waiting: map[types.NamespacedName]struct{}{}}
}

// Keep says that these and no others belong to an object. What belonged to it until now is deleted from the engine.
func (l *Ledger) Keep(ctx context.Context, owner types.NamespacedName, refs ...event.Ref) error {
	var errs []error
	for _, gone := range l.replace(owner, refs) {
		if err := l.engine.Delete(ctx, gone); err != nil {
			l.restore(owner, gone)
			errs = append(errs, fmt.Errorf("removing %s %s: %w", gone.Kind, gone.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (l *Ledger) replace(owner types.NamespacedName, refs []event.Ref) (gone []event.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.refs[owner]
	for _, r := range refs {
		l.owners[r] = owner
	}
	if l.refs[owner] = refs; len(refs) == 0 {
		delete(l.refs, owner)
	}
	for _, r := range before {
		if !slices.Contains(refs, r) {
			gone = append(gone, r)
			delete(l.owners, r)
			delete(l.seen, r)
		}
	}
	return gone
}

// restore keeps what could not be deleted, so that the next Keep tries again.
func (l *Ledger) restore(owner types.NamespacedName, r event.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refs[owner] = append(l.refs[owner], r)
	l.owners[r] = owner
}

// Source is what the controller's queue reads.
func (l *Ledger) Source() source.Source {
	return source.Channel(l.changed, &handler.EnqueueRequestForObject{})
}

// Start passes on what the engine says until ctx ends. The engine is never held up: however often something changes, its object
// waits once.
func (l *Ledger) Start(ctx context.Context) error {
	var watching sync.WaitGroup
	watching.Go(func() { l.engine.Watch(ctx, l.told) })
	defer watching.Wait()
	l.wakeAll() // what changed before the watch was told to nobody
	ticker := l.clock.NewTicker(Rarely)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			l.compare()
		case <-l.some:
			if !l.pass(ctx) {
				return nil
			}
		}
	}
}

// told is called by the engine.
func (l *Ledger) told(r event.Ref) {
	l.mu.Lock()
	owner, ok := l.owners[r]
	if ok {
		l.waiting[owner] = struct{}{}
	}
	l.mu.Unlock()
	if ok {
		l.wake()
	}
}

func (l *Ledger) wakeAll() {
	l.mu.Lock()
	for owner := range l.refs {
		l.waiting[owner] = struct{}{}
	}
	l.mu.Unlock()
	l.wake()
}

func (l *Ledger) wake() {
	select {
	case l.some <- struct{}{}:
	default:
	}
}

// compare queues the objects whose figures have changed since they were last looked at.
func (l *Ledger) compare() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r, owner := range l.owners {
		now, ok := l.engine.Status(r)
		if ok && now != l.seen[r] {
			l.seen[r] = now
			l.waiting[owner] = struct{}{}
		}
	}
	l.wake()
}

// pass queues those that wait; false means that ctx ended.
func (l *Ledger) pass(ctx context.Context) bool {
	l.mu.Lock()
	now := l.waiting
	l.waiting = map[types.NamespacedName]struct{}{}
	l.mu.Unlock()
	for owner := range now {
		select {
		case l.changed <- ctrlevent.GenericEvent{Object: l.object(owner)}:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

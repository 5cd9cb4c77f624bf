package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
)

var errNoBus = errors.New("there is no such event bus")

// fallback is the bus that exists without an object.
var fallback = event.Bus{Name: event.Name{Name: "default"}, Kind: "embedded"}

// slot is one bus and its users. Users hold it while they use it, so that it is closed only after the last of them.
type slot struct {
	bus   bus.Bus
	print string
	own   bool          // nobody else has it
	gone  chan struct{} // closed when users should let go
	users sync.WaitGroup
	count *counter
	once  sync.Once
}

func (s *slot) close() error {
	var err error
	s.once.Do(func() {
		close(s.gone)
		s.users.Wait()
		err = s.bus.Close()
	})
	return err
}

// ApplyBus makes a bus, or another in place of one that is described differently now.
func (e *Engine) ApplyBus(_ context.Context, b event.Bus) error {
	print, err := fingerprint(b)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	old := e.buses[b.Name]
	if old != nil && old.print == print {
		return nil
	}
	s, err := e.makeBus(b, print)
	if err != nil {
		return err
	}
	if old != nil {
		e.retire(b.Name, old)
	}
	e.add(b.Name, s)
	e.watch.notify(event.Ref{Kind: event.KindBus, Name: b.Name})
	return nil
}

// add tells those who wait for buses; e.mu is held.
func (e *Engine) add(name event.Name, s *slot) {
	e.buses[name] = s
	close(e.came)
	e.came = make(chan struct{})
}

func (e *Engine) makeBus(b event.Bus, print string) (*slot, error) {
	newBus := e.o.Buses[b.Kind]
	if newBus == nil {
		return nil, fmt.Errorf("bus %s: this platform has no buses of kind %q", b.Name, b.Kind)
	}
	made, err := newBus(b)
	if err != nil {
		return nil, fmt.Errorf("bus %s: %w", b.Name, err)
	}
	s := &slot{bus: made, print: print, own: b.Kind == fallback.Kind, gone: make(chan struct{}), count: newCounter()}
	e.work.Go(func() { e.look(b.Name, s) })
	return s, nil
}

// look finds out now and then whether the bus can be reached, if it can tell.
func (e *Engine) look(name event.Name, s *slot) {
	ref := event.Ref{Kind: event.KindBus, Name: name}
	asked, _ := s.bus.(interface{ Ready(context.Context) error })
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var err error
		if asked != nil {
			ctx, cancel := context.WithTimeout(e.ctx, pollEvery)
			err = asked.Ready(ctx)
			cancel()
		}
		switch {
		case e.ctx.Err() != nil:
		case err != nil && s.count.trouble("Connecting", err), err == nil && s.count.ready():
			e.watch.notify(ref)
		}
		select {
		case <-e.ctx.Done():
			return
		case <-s.gone:
			return
		case <-tick.C:
		}
	}
}

func (e *Engine) retire(name event.Name, s *slot) {
	e.work.Go(func() {
		if err := s.close(); err != nil {
			e.o.Log.Warn("closing an event bus", "bus", name.String(), "err", err)
		}
	})
}

func (e *Engine) deleteBus(name event.Name) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.buses[name]; s != nil && !e.closed {
		delete(e.buses, name)
		e.retire(name, s)
	}
}

func (e *Engine) busStatus(name event.Name) (event.Status, bool) {
	e.mu.Lock()
	s := e.buses[name]
	e.mu.Unlock()
	if s == nil {
		return event.Status{}, false
	}
	return s.count.status(time.Now()), true
}

// hold is the bus of exactly that name: which bus the name of a manifest means was found out before, and while the platform
// starts another one may be there first. release must be called.
func (e *Engine) hold(name event.Name) (s *slot, release func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shut {
		return nil, nil, ErrClosed
	}
	s = e.buses[name]
	if s == nil && name == fallback.Name {
		print, err := fingerprint(fallback)
		if err != nil {
			return nil, nil, err
		}
		if s, err = e.makeBus(fallback, print); err != nil {
			return nil, nil, err
		}
		e.add(fallback.Name, s)
	}
	if s == nil {
		return nil, nil, fmt.Errorf("%w: %s", errNoBus, name)
	}
	s.users.Add(1)
	return s, s.users.Done, nil
}

// busPatience is how long what needs a bus waits for it before it says so: while the platform starts, buses come in any order.
const busPatience = 3 * time.Second

// await is hold for what can wait for its bus.
func (e *Engine) await(ctx context.Context, name event.Name) (*slot, func(), error) {
	late := time.NewTimer(busPatience)
	defer late.Stop()
	for {
		e.mu.Lock()
		came := e.came
		e.mu.Unlock()
		s, release, err := e.hold(name)
		if !errors.Is(err, errNoBus) {
			return s, release, err
		}
		select {
		case <-came:
		case <-late.C:
			return nil, nil, err
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// Publish publishes to a bus of this engine; it is a deliver.Topics.
func (e *Engine) Publish(ctx context.Context, on event.Name, m bus.Message) error {
	s, release, err := e.await(ctx, on)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.bus.Publish(ctx, m); err != nil {
		s.count.failed(err)
		return err
	}
	s.count.handled(time.Now())
	return nil
}

// Bus lends a bus, for those who read it. release must be called.
func (e *Engine) Bus(name event.Name) (b bus.Bus, release func(), err error) {
	s, release, err := e.hold(name)
	if err != nil {
		return nil, nil, err
	}
	return s.bus, release, nil
}

// Package run runs triggers: it consumes the events of their inputs from a bus, asks package trigger who gets which, and has
// them delivered. Every subscriber is a consumer of its own on the bus, so that a delivery that is tried again concerns nobody
// else, and what a subscriber has had is kept with the events.
package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/trigger"
)

// Runner is the embedded.Triggers of the platform.
type Runner struct {
	now        func() time.Time
	drainLeast time.Duration
}

var _ embedded.Triggers = (*Runner)(nil)

// New makes a Runner. A nil clock is the system's.
func New(now func() time.Time) *Runner {
	if now == nil {
		now = time.Now
	}
	return &Runner{now: now, drainLeast: drainLeast}
}

// Run implements embedded.Triggers. A trigger that does not compile is a source.Invalid: trying again would not help.
func (r *Runner) Run(ctx, work context.Context, t event.Trigger, env embedded.Env) error {
	subscribers, err := r.prepare(t, env)
	if err != nil {
		return err
	}
	if asked, ok := env.Bus.(interface{ Ready(context.Context) error }); ok {
		if err := asked.Ready(ctx); err != nil {
			return err
		}
	}
	if err := inherit(ctx, t, env.Bus, subscribers); err != nil {
		return err
	}
	if err := tidy(ctx, t, env.Bus); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running sync.WaitGroup
	for _, s := range subscribers {
		running.Go(func() {
			if err := s.run(ctx, work); err != nil {
				stop(err)
			}
		})
	}
	env.Connected()
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Forget implements embedded.Triggers.
func (r *Runner) Forget(ctx context.Context, t event.Trigger, on bus.Bus) error {
	var errs []error
	for _, name := range consumers(t) {
		errs = append(errs, on.Forget(ctx, name))
	}
	t.Subscribers = nil
	return errors.Join(append(errs, tidy(ctx, t, on))...)
}

// Lag implements embedded.Triggers: the subscriber that is furthest behind counts.
func (r *Runner) Lag(ctx context.Context, t event.Trigger, on bus.Bus) int64 {
	most := int64(-1)
	for _, name := range consumers(t) {
		if n, err := on.Lag(ctx, name); err == nil {
			most = max(most, n)
		}
	}
	return most
}

// prepare compiles everything.
func (r *Runner) prepare(t event.Trigger, env embedded.Env) ([]*subscriber, error) {
	in := &inputs{topics: map[string][]input{}}
	for _, name := range slices.Sorted(maps.Keys(t.Inputs)) {
		f, err := trigger.ParseFilter(t.Inputs[name].Filter)
		if err != nil {
			return nil, source.Invalid{Field: "inputs[" + name + "].filter", Problem: err.Error()}
		}
		in.names = append(in.names, name)
		in.topics[t.Inputs[name].Topic] = append(in.topics[t.Inputs[name].Topic], input{name: name, filter: f})
	}
	var all []*subscriber
	for i, name := range consumers(t) {
		s, err := r.subscriber(t, i, in, env)
		if err != nil {
			return nil, source.Invalid{Field: fmt.Sprintf("subscribers[%d]", i), Problem: err.Error()}
		}
		s.consumer = name
		all = append(all, s)
	}
	return all, nil
}

// consumers are the names of a trigger's consumers, one for each subscriber. They follow from where a subscriber sends events,
// so that one keeps its place when its condition is changed, or when others come and go.
func consumers(t event.Trigger) []string {
	seen := map[string]int{}
	names := make([]string, 0, len(t.Subscribers))
	for _, s := range t.Subscribers {
		text, _ := json.Marshal(s.Sink) // of strings only
		sum := sha256.Sum256(text)
		name := prefix(t) + hex.EncodeToString(sum[:8])
		if seen[name]++; seen[name] > 1 {
			name += "-" + strconv.Itoa(seen[name])
		}
		names = append(names, name)
	}
	return names
}

// Consumers are the names of a trigger's consumers on its bus, for those who ask how far behind they are.
func Consumers(t event.Trigger) []string { return consumers(t) }

func prefix(t event.Trigger) string { return "trigger/" + t.Namespace + "/" + t.Name.Name + "/" }

// inherit lets a subscriber whose sink was changed go on where it was, with what the former sink did not take: one subscriber
// is new then, and one is gone.
func inherit(ctx context.Context, t event.Trigger, on bus.Bus, all []*subscriber) error {
	heir, ok := on.(bus.Heir)
	if !ok {
		return nil
	}
	have, gone, err := known(ctx, t, on)
	if err != nil || len(gone) != 1 {
		return err
	}
	fresh := slices.DeleteFunc(slices.Clone(all), func(s *subscriber) bool { return slices.Contains(have, s.consumer) })
	if len(fresh) != 1 || fresh[0].spec.From != "" {
		return nil
	}
	return heir.Inherit(ctx, fresh[0].wish(), gone[0])
}

// tidy forgets the consumers of subscribers that the trigger no longer has: the bus would keep events for them.
func tidy(ctx context.Context, t event.Trigger, on bus.Bus) error {
	_, gone, err := known(ctx, t, on)
	if err != nil {
		return err
	}
	for _, name := range gone {
		if err := on.Forget(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// known are the consumers that the bus has for the trigger: those of its subscribers, and those of subscribers it has no more.
func known(ctx context.Context, t event.Trigger, on bus.Bus) (have, gone []string, err error) {
	l, ok := on.(bus.Lister)
	if !ok {
		return nil, nil, nil
	}
	all, err := l.Consumers(ctx)
	wanted := consumers(t)
	for _, name := range all {
		switch {
		case !strings.HasPrefix(name, prefix(t)):
		case slices.Contains(wanted, name):
			have = append(have, name)
		default:
			gone = append(gone, name)
		}
	}
	return have, gone, err
}

// from reads where a new subscriber begins.
func from(text string) (bus.From, error) {
	switch text {
	case "", "new":
		return bus.From{}, nil
	case "all":
		return bus.From{All: true}, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > 0 {
		return bus.From{Sequence: n}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return bus.From{}, fmt.Errorf("from %q is neither new, all, a time of RFC 3339 nor a sequence number", text)
	}
	return bus.From{Time: at}, nil
}

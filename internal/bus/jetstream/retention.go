package jetstream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
)

// makeRoom drops the oldest events that no consumer waits for: a tenth of what the bus may keep, or what there is.
func (b *Bus) makeRoom(ctx context.Context, js jetstream.JetStream) error {
	s, err := js.Stream(ctx, b.stream)
	if err != nil {
		return fmt.Errorf("making room on bus %s: %w", b.opts.Name, err)
	}
	info := s.CachedInfo()
	needed, who, err := firstNeeded(ctx, s, info.State.LastSeq+1)
	if err != nil {
		return fmt.Errorf("making room on bus %s: %w", b.opts.Name, err)
	}
	span := info.State.LastSeq - info.State.FirstSeq + 1
	upTo := min(needed, info.State.FirstSeq+max(span/10, 1))
	if upTo <= info.State.FirstSeq {
		return fmt.Errorf("%w: its %d MiB are events that consumer %s has not handled; let it catch up, or give the bus more",
			bus.ErrFull, info.Config.MaxBytes>>20, who)
	}
	return s.Purge(ctx, jetstream.WithPurgeSequence(upTo))
}

// firstNeeded is the lowest sequence that a durable consumer still has to handle, and which consumer.
func firstNeeded(ctx context.Context, s jetstream.Stream, end uint64) (uint64, string, error) {
	first, who := end, ""
	list := s.ListConsumers(ctx)
	for c := range list.Info() {
		if c.Config.Durable == "" || c.NumPending == 0 && c.NumAckPending == 0 {
			continue
		}
		if next := c.AckFloor.Stream + 1; next < first {
			first, who = next, c.Config.Description
		}
	}
	return first, who, list.Err()
}

// Forget implements bus.Bus.
func (b *Bus) Forget(ctx context.Context, name string) error {
	js, err := b.open(ctx)
	if err != nil {
		return err
	}
	err = js.DeleteConsumer(ctx, b.stream, token(name))
	if err != nil && code(err) != jetstream.JSErrCodeConsumerNotFound {
		return fmt.Errorf("forgetting consumer %s of bus %s: %w", name, b.opts.Name, err)
	}
	return nil
}

// Consumers implements bus.Lister.
func (b *Bus) Consumers(ctx context.Context) ([]string, error) {
	js, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	s, err := js.Stream(ctx, b.stream)
	if err != nil {
		return nil, fmt.Errorf("listing the consumers of bus %s: %w", b.opts.Name, err)
	}
	var names []string
	list := s.ListConsumers(ctx)
	for c := range list.Info() {
		if c.Config.Durable != "" && c.Config.Durable == token(c.Config.Description) { // not somebody else's
			names = append(names, c.Config.Description)
		}
	}
	return names, list.Err()
}

// Lag implements bus.Bus.
func (b *Bus) Lag(ctx context.Context, name string) (int64, error) {
	js, err := b.open(ctx)
	if err != nil {
		return 0, err
	}
	c, err := js.Consumer(ctx, b.stream, token(name))
	if err != nil {
		return 0, fmt.Errorf("asking for the lag of consumer %s of bus %s: %w", name, b.opts.Name, err)
	}
	info := c.CachedInfo()
	return int64(info.NumPending) + int64(info.NumAckPending), nil //nolint:gosec // counts of events
}

// Read implements bus.Bus.
func (b *Bus) Read(ctx context.Context, topics []string, from bus.From, follow bool, each func(bus.Stored) error) error {
	js, err := b.open(ctx)
	if err != nil {
		return err
	}
	s, err := js.Stream(ctx, b.stream)
	if err != nil {
		return fmt.Errorf("reading bus %s: %w", b.opts.Name, err)
	}
	last := s.CachedInfo().State.LastSeq
	if !follow && (last == 0 || from == (bus.From{})) {
		return nil
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: b.filters(topics)}
	cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = start(from)
	c, err := s.OrderedConsumer(ctx, cfg)
	if err != nil {
		return fmt.Errorf("reading bus %s: %w", b.opts.Name, explain(err))
	}
	if !follow && c.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := c.Messages()
	if err != nil {
		return fmt.Errorf("reading bus %s: %w", b.opts.Name, err)
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("reading bus %s: %w", b.opts.Name, err)
		}
		stored := b.stored(msg, meta)
		stored.Attempt = 1
		if !follow && stored.Sequence > last {
			return nil
		}
		if err := each(stored); err != nil {
			return err
		}
		if !follow && (meta.NumPending == 0 || stored.Sequence == last) {
			return nil
		}
	}
}

func (b *Bus) stored(msg jetstream.Msg, meta *jetstream.MsgMetadata) bus.Stored {
	return bus.Stored{
		Message:  b.decode(msg.Subject(), msg.Headers(), msg.Data()),
		Sequence: meta.Sequence.Stream, Time: meta.Timestamp, Attempt: int(meta.NumDelivered), //nolint:gosec // a count
	}
}

func start(f bus.From) (jetstream.DeliverPolicy, uint64, *time.Time) {
	switch {
	case f.All:
		return jetstream.DeliverAllPolicy, 0, nil
	case f.Sequence > 0:
		return jetstream.DeliverByStartSequencePolicy, f.Sequence, nil
	case !f.Time.IsZero():
		return jetstream.DeliverByStartTimePolicy, 0, &f.Time
	}
	return jetstream.DeliverNewPolicy, 0, nil
}

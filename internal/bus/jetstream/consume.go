package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
)

const (
	defaultAckWait = 30 * time.Second
	// Events taken at once, handled or waiting here for those of their key: unordered consumers need only enough to keep the
	// handlers busy, ordered ones enough to see past the keys that wait.
	takenPerHandler = 4
	takenLeast      = 1024
	takenOrdered    = 2048
	takenHeld       = 16384
	takenBytes      = 32 << 20 // on the way from the server

	claimTimeout = 5 * time.Second
)

// Consume implements bus.Bus. A consumer's name is to be used by one process at a time, unless it is shared: what a former one had
// taken and not handled is asked for again at once, in order.
//
// An event counts as delivered when it was taken, so one that waited for its turn at a stop has a higher Attempt.
func (b *Bus) Consume(ctx context.Context, c bus.Consumer, handle bus.Handler) error {
	c.Concurrency = max(c.Concurrency, 1)
	return b.consume(ctx, c, atOnce(c), func(ctx context.Context, m bus.Stored, answer func(bus.Verdict)) { answer(handle(ctx, m)) })
}

// atOnce is how many events are taken at once for a consumer.
func atOnce(c bus.Consumer) int {
	if c.Shared {
		return takenHeld // of all processes together; each has what its handlers are free for
	}
	most := max(takenLeast, takenPerHandler*c.Concurrency)
	if c.Ordered {
		most = max(most, takenOrdered)
	}
	return most
}

// Inherit implements bus.Heir.
func (b *Bus) Inherit(ctx context.Context, c bus.Consumer, former string) error {
	js, err := b.open(ctx)
	if err != nil {
		return err
	}
	old, err := js.Consumer(ctx, b.stream, token(former))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking where consumer %s of bus %s stopped: %w", former, b.opts.Name, err)
	}
	c.From = bus.From{Sequence: old.CachedInfo().AckFloor.Stream + 1}
	if c.AckWait == 0 {
		c.AckWait = defaultAckWait
	}
	if _, err := b.durable(ctx, js, c, atOnce(c)); err != nil {
		return explain(err)
	}
	return nil
}

// Hold implements bus.Holder.
func (b *Bus) Hold(ctx context.Context, c bus.Consumer, take func(bus.Stored, func(bus.Verdict))) error {
	most := c.Concurrency
	if most <= 0 {
		most = takenHeld
	}
	c.Concurrency, c.Ordered = 1, false
	return b.consume(ctx, c, most, func(_ context.Context, m bus.Stored, answer func(bus.Verdict)) { take(m, answer) })
}

func (b *Bus) consume(ctx context.Context, c bus.Consumer, most int, give giver) error {
	if c.AckWait == 0 {
		c.AckWait = defaultAckWait
	}
	in := newIntake(b, c, give)
	defer in.stop()
	in.run(ctx)
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 5*time.Second
	for {
		taken, err := b.take(ctx, c, most, in)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // being told to end is no failure
		}
		if errors.Is(err, ErrClosed) {
			return err
		}
		if taken {
			wait.Reset()
		}
		pause := wait.NextBackOff()
		b.opts.Log.Warn("events cannot be taken from the bus, trying again", "bus", b.opts.Name, "consumer", c.Name, "after", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// take fills the intake until ctx ends or the server fails; it tells whether anything came.
func (b *Bus) take(ctx context.Context, c bus.Consumer, most int, in *intake) (taken bool, err error) {
	js, err := b.open(ctx)
	if err != nil {
		return false, err
	}
	cons, err := b.durable(ctx, js, c, most)
	if err != nil {
		b.reopen()
		return false, explain(err)
	}
	if c.Shared {
		return share(ctx, cons, in)
	}
	if err := b.claim(ctx, js.Conn(), cons.CachedInfo(), in); err != nil {
		return false, err
	}
	// The client drops what it has no room for, after which it would come only when the server believes it lost. It makes room
	// for as much as is asked for: twice of what the server delivers without an answer is never filled.
	messages, err := cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(2*most, takenBytes), jetstream.PullExpiry(30*time.Second),
		jetstream.PullHeartbeat(10*time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(false))
	if err != nil {
		return false, err
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			if errors.Is(err, jetstream.ErrConsumerDeleted) {
				b.reopen()
			}
			return taken, err
		}
		taken = true
		in.receive(msg)
	}
}

// share takes what handlers are free for, so that the rest is there for other processes.
func share(ctx context.Context, cons jetstream.Consumer, in *intake) (taken bool, err error) {
	for {
		free := in.room()
		if free == 0 {
			return taken, ctx.Err()
		}
		batch, err := cons.Fetch(free, jetstream.FetchContext(ctx)) // ends after 30 s, to begin again
		if err != nil {
			return taken, err
		}
		for msg := range batch.Messages() {
			taken = true
			in.receive(msg)
		}
		if err := batch.Error(); err != nil {
			return taken, err
		}
	}
}

// durable finds or makes the consumer on the server.
func (b *Bus) durable(ctx context.Context, js jetstream.JetStream, c bus.Consumer, most int) (jetstream.Consumer, error) {
	name, filters := token(c.Name), b.filters(c.Topics)
	cons, err := js.Consumer(ctx, b.stream, name)
	if err == nil {
		cfg := cons.CachedInfo().Config
		if slices.Equal(cfg.FilterSubjects, filters) && cfg.MaxAckPending == most && cfg.AckWait == c.AckWait {
			return cons, nil
		}
		cfg.FilterSubject, cfg.FilterSubjects, cfg.MaxAckPending, cfg.AckWait = "", filters, most, c.AckWait
		return js.UpdateConsumer(ctx, b.stream, cfg)
	}
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, err
	}
	cfg := jetstream.ConsumerConfig{
		Durable: name, Description: c.Name, FilterSubjects: filters, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: c.AckWait, MaxAckPending: most, MaxDeliver: -1, ReplayPolicy: jetstream.ReplayInstantPolicy,
	}
	cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = start(c.From)
	return js.CreateConsumer(ctx, b.stream, cfg)
}

// claim asks for what was taken before and never answered, rather than wait until the server believes it lost. The server
// ignores what is said of events that do not wait for an answer.
func (b *Bus) claim(ctx context.Context, nc *nats.Conn, info *jetstream.ConsumerInfo, in *intake) error {
	if info.NumAckPending == 0 {
		return nil
	}
	from := info.AckFloor.Stream + 1
	if waiting := uint64(1 << 20); info.Delivered.Stream > waiting { // a bound for gaps left by other topics
		from = max(from, info.Delivered.Stream-waiting)
	}
	nak := func(seq uint64) *nats.Msg {
		m := nats.NewMsg(fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.0.0", b.stream, info.Name, seq, info.Delivered.Consumer))
		m.Data = []byte("-NAK")
		return m
	}
	for seq := from; seq <= info.Delivered.Stream; seq++ {
		if in.has(seq) {
			continue
		}
		if err := nc.PublishMsg(nak(seq)); err != nil {
			return fmt.Errorf("asking again for what was not handled: %w", err)
		}
	}
	// The server answers this one when it has seen those before it: what is new must not overtake them.
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	if _, err := nc.RequestMsgWithContext(ctx, nak(info.Delivered.Stream+1)); err != nil && ctx.Err() == nil {
		return fmt.Errorf("asking again for what was not handled: %w", err)
	}
	return nil
}

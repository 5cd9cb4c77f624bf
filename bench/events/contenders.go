package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/trigger/run"
)

// store is an embedded server in a directory of its own.
func store(o options) (*jetstream.Embedded, func(), error) {
	dir, err := os.MkdirTemp(o.dir, "ofn-bench-events-")
	if err != nil {
		return nil, nil, err
	}
	e := jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: dir})
	return e, func() { _ = e.Close(); _ = os.RemoveAll(dir) }, nil
}

// stream makes what a bare user of JetStream would: the same server, the same dedupe window, one subject.
func stream(ctx context.Context, e *jetstream.Embedded) (js.JetStream, js.Consumer, error) {
	j, err := e.JetStream(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := j.CreateStream(ctx, js.StreamConfig{Name: "BARE", Subjects: []string{"bare.>"}, Duplicates: 2 * time.Minute})
	if err != nil {
		return nil, nil, err
	}
	c, err := s.CreateConsumer(ctx, js.ConsumerConfig{Durable: "c", AckPolicy: js.AckExplicitPolicy, MaxAckPending: 1024})
	return j, c, err
}

// meter measures a stretch of work of this process.
type meter struct {
	wall time.Time
	cpu  time.Duration
}

func start() meter { return meter{wall: time.Now(), cpu: used()} }

func used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// figures are of n events since the start.
func (m meter) figures(n int) figures {
	return figures{rate: float64(n) / time.Since(m.wall).Seconds(), cpu: (used() - m.cpu) / time.Duration(n)}
}

// figures of one measurement: events per second, and processor time of each, which a busy machine changes less.
type figures struct {
	rate float64
	cpu  time.Duration
}

// bare publishes asynchronously, as the client's documentation does it, and consumes meanwhile.
func bare(ctx context.Context, o options) (f figures, err error) {
	e, clean, err := store(o)
	if err != nil {
		return f, err
	}
	defer clean()
	j, c, err := stream(ctx, e)
	if err != nil {
		return f, err
	}
	done := make(chan error, 1)
	m := start()
	go func() { done <- drain(c, o.events) }()
	if err := fill(ctx, j, o); err != nil {
		return f, err
	}
	err = <-done
	return m.figures(o.events), err
}

// bareConsumer consumes what is there already.
func bareConsumer(ctx context.Context, o options) (f figures, err error) {
	e, clean, err := store(o)
	if err != nil {
		return f, err
	}
	defer clean()
	j, c, err := stream(ctx, e)
	if err != nil {
		return f, err
	}
	if err := fill(ctx, j, o); err != nil {
		return f, err
	}
	m := start()
	err = drain(c, o.events)
	return m.figures(o.events), err
}

func fill(ctx context.Context, j js.JetStream, o options) error {
	for i := range o.events {
		if _, err := j.PublishMsgAsync(bareMessage(strconv.Itoa(i), o.size), js.WithStallWait(time.Minute)); err != nil {
			return err
		}
	}
	select {
	case <-j.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bareMessage is the same event as message's, in NATS's own terms.
func bareMessage(id string, size int) *nats.Msg {
	m := message(id, size)
	out := &nats.Msg{Subject: "bare.t", Data: m.Data, Header: nats.Header{nats.MsgIdHdr: {m.ID}}}
	for name, value := range m.Header {
		out.Header[name] = []string{value}
	}
	return out
}

func drain(c js.Consumer, n int) error {
	messages, err := c.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for range n {
		m, err := messages.Next()
		if err != nil {
			return err
		}
		if err := m.Ack(); err != nil {
			return err
		}
	}
	return nil
}

// platform is a bus with a trigger that calls f, after what before does to the bus.
func platform(ctx context.Context, o options, f *function, before func(*jetstream.Bus) error) (b *jetstream.Bus, stop func() error, err error) {
	e, clean, err := store(o)
	if err != nil {
		return nil, nil, err
	}
	b = jetstream.New(e, jetstream.Options{Name: "bench/default"})
	if before != nil {
		if err := before(b); err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	env := embedded.Env{
		Bus: b, Log: log, Connected: func() { once.Do(func() { close(ready) }) }, Handled: func() {}, Dead: func() {},
		Trouble: func(err error) { log.Warn("trouble", "err", err) }, Failed: func(err error) { log.Warn("failed", "err", err) },
		Deliver: deliver.New(deliver.Options{Functions: f, HostOf: func(event.Name) string { return "function" }, Log: log}),
	}
	tr := event.Trigger{
		Name: event.Name{Namespace: "bench", Name: "t"}, Bus: event.Name{Namespace: "bench", Name: "default"},
		Inputs:      map[string]event.TriggerInput{"a": {Topic: "events"}},
		Subscribers: []event.Subscriber{{Condition: "a", From: "all", Sink: &event.Sink{Function: &event.Name{Namespace: "bench", Name: "f"}}}},
	}
	go func() { ended <- run.New(nil).Run(ctx, ctx, tr, env) }()
	stop = func() error {
		cancel()
		err := <-ended
		_ = b.Close()
		clean()
		return err
	}
	select {
	case <-ready:
		return b, stop, nil
	case err := <-ended:
		ended <- err
		return nil, nil, fmt.Errorf("the trigger ended: %w", stop())
	}
}

func message(id string, size int) bus.Message {
	e := cloudevent.Event{ID: id, Source: "/bench", Type: "bench", DataContentType: "application/octet-stream", Data: make([]byte, size), Time: time.Now()}
	return deliver.Message(e, "events")
}

// ours publishes as sources do, each waiting for the receipt before the next, until all events were in the function. With
// prefilled, only what comes after the bus is measured.
func ours(ctx context.Context, o options, behindGateway, prefilled bool) (out figures, err error) {
	var entered atomic.Int64
	var m meter
	all := make(chan struct{})
	f, err := newFunction(ctx, behindGateway, func(string) {
		switch n := entered.Add(1); {
		case n == 1 && prefilled:
			m = start()
		case n == int64(o.events):
			out = m.figures(o.events)
			close(all)
		}
	})
	if err != nil {
		return out, err
	}
	defer f.close()
	var before func(*jetstream.Bus) error
	if prefilled {
		before = func(b *jetstream.Bus) error { return publish(ctx, b, o) }
	}
	b, stop, err := platform(ctx, o, f, before)
	if err != nil {
		return out, err
	}
	if !prefilled {
		m = start()
		if err := publish(ctx, b, o); err != nil {
			return out, err
		}
	}
	<-all
	return out, stop()
}

func publish(ctx context.Context, b *jetstream.Bus, o options) error {
	var publishers sync.WaitGroup
	var next atomic.Int64
	failures := make(chan error, o.publishers)
	for range o.publishers {
		publishers.Go(func() {
			for i := next.Add(1); i <= int64(o.events); i = next.Add(1) {
				if _, err := b.Publish(ctx, message(strconv.FormatInt(i, 10), o.size)); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	publishers.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

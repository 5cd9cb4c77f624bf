package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
)

// Server is where streams are: an Embedded or an External.
type Server interface {
	// Conn is a connection that mends itself when the server goes away and comes back.
	Conn(ctx context.Context) (*nats.Conn, error)
	// Room is nil while there is room for more.
	Room() error
	// heal is told of writes that failed for the server's own reasons.
	heal(ctx context.Context) error
	// failure is that of the server that runs now.
	failure() *failure
	// groups tells whether many events may be written with one sync.
	groups() bool
	// share is MaxBytes of a bus that says nothing of it; -1 is no limit.
	share() int64
}

// Options say how a bus keeps its events.
type Options struct {
	// Name is unique on the server: "namespace/name".
	Name string
	// Stream keeps the events; empty is a name made of Name. A stream that was not made by this package is used as it is.
	Stream string
	// Subject is what topics are appended to; empty is "ofn.STREAM".
	Subject string
	// MaxAge, MaxBytes and Duplicates are those of event.Retention, with its defaults; an external server, which reserves
	// MaxBytes, is bound only by its own limits by default. Events older than MaxAge are dropped. When
	// MaxBytes are reached, the oldest that no consumer waits for are dropped; when there are none, Publish answers bus.ErrFull.
	MaxAge     time.Duration
	MaxBytes   int64
	Duplicates time.Duration
	// Replicas of an external server; 0 is 1.
	Replicas int
	Log      *slog.Logger
}

// mark is metadata of streams that this package made, and therefore may change.
const mark = "ofn-bus"

// Bus is a bus.Bus over one stream. It reaches for the server when it is first used.
type Bus struct {
	opts   Options
	server Server
	stream string
	prefix string
	wait   time.Duration // for one write

	mu    sync.Mutex
	js    jetstream.JetStream
	ready bool // the stream is as wanted

	publisher publisher
}

var (
	_ bus.Bus    = (*Bus)(nil)
	_ bus.Holder = (*Bus)(nil)
	_ bus.Lister = (*Bus)(nil)
	_ bus.Heir   = (*Bus)(nil)
)

// New describes a bus; it needs no server yet.
func New(s Server, o Options) *Bus {
	if o.MaxAge == 0 {
		o.MaxAge = 7 * 24 * time.Hour
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = s.share()
	}
	if o.Duplicates == 0 {
		o.Duplicates = 2 * time.Minute
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Duplicates = min(o.Duplicates, o.MaxAge)
	b := &Bus{opts: o, server: s, stream: o.Stream, prefix: o.Subject, wait: writeTimeout}
	if b.stream == "" {
		b.stream = Stream(o.Name)
	}
	if b.prefix == "" {
		b.prefix = "ofn." + b.stream
	}
	b.prefix += "."
	b.publisher.init()
	return b
}

// Ready makes the stream if there is none, and tells what keeps the bus from working.
func (b *Bus) Ready(ctx context.Context) error {
	_, err := b.open(ctx)
	return err
}

// Close implements bus.Bus. The server stays.
func (b *Bus) Close() error {
	b.publisher.close()
	return nil
}

// open gives the server's JetStream with the stream in it.
func (b *Bus) open(ctx context.Context) (jetstream.JetStream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ready {
		return b.js, nil
	}
	nc, err := b.server.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if b.js == nil {
		// What the server does not answer is forgotten: of so many, the client would take no more, for as long as the connection lasts.
		if b.js, err = jetstream.New(nc, jetstream.WithPublishAsyncTimeout(b.wait)); err != nil {
			return nil, fmt.Errorf("opening bus %s: %w", b.opts.Name, err)
		}
	}
	if err := b.ensure(ctx); err != nil {
		return nil, fmt.Errorf("opening bus %s: %w", b.opts.Name, explain(err))
	}
	b.ready = true
	return b.js, nil
}

// reopen has the stream looked at again: somebody took it away.
func (b *Bus) reopen() {
	b.mu.Lock()
	b.ready = false
	b.mu.Unlock()
}

func (b *Bus) ensure(ctx context.Context) error {
	s, err := b.js.Stream(ctx, b.stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		_, err = b.js.CreateStream(ctx, b.config())
		return err
	case err != nil:
		return err
	}
	have := s.CachedInfo().Config
	if have.Metadata[mark] == "" {
		return covers(have, b.prefix)
	}
	want := b.config()
	want.Replicas = max(have.Replicas, 1)
	if b.opts.Replicas > 1 {
		want.Replicas = b.opts.Replicas
	}
	if same(have, want) {
		return nil
	}
	_, err = b.js.UpdateStream(ctx, want)
	return err
}

func (b *Bus) config() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: b.stream, Description: "Events of bus " + b.opts.Name, Subjects: []string{b.prefix + ">"},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage,
		MaxAge: b.opts.MaxAge, MaxBytes: b.opts.MaxBytes, Duplicates: b.opts.Duplicates, Replicas: b.opts.Replicas,
		AllowAtomicPublish: b.server.groups(), AllowDirect: true, Metadata: map[string]string{mark: b.opts.Name},
	}
}

func same(have, want jetstream.StreamConfig) bool {
	return have.MaxAge == want.MaxAge && have.MaxBytes == want.MaxBytes && have.Duplicates == want.Duplicates &&
		have.Replicas == want.Replicas && have.AllowAtomicPublish == want.AllowAtomicPublish &&
		len(have.Subjects) == 1 && have.Subjects[0] == want.Subjects[0]
}

// covers refuses a stream of somebody else that would not get our events.
func covers(have jetstream.StreamConfig, prefix string) error {
	for _, s := range have.Subjects {
		if base, ok := strings.CutSuffix(s, ">"); ok && strings.HasPrefix(prefix, base) {
			return nil
		}
	}
	return fmt.Errorf("stream %s is there already and does not take subjects %s>: add that subject to it, or give the bus another stream", have.Name, prefix)
}

// Codes of the server that the client has no names for.
const (
	codeInsufficient  jetstream.ErrorCode = 10023
	codeStorage       jetstream.ErrorCode = 10047
	codeTooLarge      jetstream.ErrorCode = 10054
	codeStoreFailed   jetstream.ErrorCode = 10077
	codeHeaderLarge   jetstream.ErrorCode = 10097
	codeStreamOffline jetstream.ErrorCode = 10118
)

func code(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	return 0
}

// explain gives errors of the server the seam's names.
func explain(err error) error {
	switch c := code(err); {
	case errors.Is(err, nats.ErrMaxPayload), c == codeTooLarge, c == codeHeaderLarge:
		return fmt.Errorf("%w: %w", bus.ErrTooLarge, err)
	case c == codeInsufficient, c == codeStorage:
		return fmt.Errorf("%w: %w", bus.ErrFull, err)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse),
		errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("the server has no JetStream for us: turn it on there, for this account: %w", err)
	}
	return err
}

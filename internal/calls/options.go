package calls

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Options steer Calls. Zero numbers and durations are the defaults named with each.
type Options struct {
	JetStream jetstream.JetStream // that writes to disk before it acknowledges
	// Transport reaches the gateway, whatever host a request names.
	Transport http.RoundTripper
	// HostOf is the name under which the gateway knows a function.
	HostOf func(Name) string
	// Callbacks reaches URLs of destinations, and refuses what they must not reach. Nil refuses such destinations.
	Callbacks http.RoundTripper
	// Topics gets what goes to topics. Nil refuses such destinations.
	Topics Topics
	// SigningKey signs the webhooks of a namespace. It is needed with Callbacks.
	SigningKey func(ctx context.Context, namespace string) ([]byte, error)
	// Room is nil as long as the disk of JetStream has room for more calls. Nil does not look.
	Room func() error
	// Mend is called after a write that failed, for a store that can be mended. Nil does nothing.
	Mend    func(context.Context) error
	Log     *slog.Logger // nil discards
	Metrics Metrics      // nil counts nothing
	Clock   Clock        // nil is that of the machine

	PerFunction    int           // calls of one function under way at once: 32
	Concurrent     int           // of all functions: 256
	InFlight       int64         // bytes of the requests under way at once: 64 MiB
	MaxWaiting     int           // calls that have not ended: 50,000
	MaxPerFunction int           // of one function: 10,000
	MaxBytes       int64         // of all requests on disk: 1 GiB
	MaxBody        int           // of one request: 4 MiB, or less where JetStream takes less
	MaxResult      int           // bytes kept of one result: 1 MiB, or less where JetStream takes less
	MaxEnded       int           // calls that have ended are kept: 20,000
	MaxResultBytes int64         // of all results on disk: 512 MiB
	Retention      time.Duration // of calls that have ended: 24 h
	KeyWindow      time.Duration // in which an idempotency key means the same call: 24 h
	AttemptTimeout time.Duration // of calls that say none: 10 min
}

// Topics publishes to a bus.
type Topics interface {
	// Publish returns when the event is durable. id makes duplicates known.
	Publish(ctx context.Context, bus Name, topic, id string, header map[string]string, data []byte) error
}

// Metrics is told what happens to calls. Its methods must not block.
type Metrics interface {
	Accepted(function Name)
	// Refused is told why: full, disk, invalid, too-large.
	Refused(reason string)
	// Attempt is told of each attempt; code is 0 when there was no answer.
	Attempt(function Name, code int, took time.Duration)
	// Ended is told the time since the call was accepted.
	Ended(function Name, state State, after time.Duration)
}

type noMetrics struct{}

func (noMetrics) Accepted(Name)                    {}
func (noMetrics) Refused(string)                   {}
func (noMetrics) Attempt(Name, int, time.Duration) {}
func (noMetrics) Ended(Name, State, time.Duration) {}

// Clock is time.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f, in a goroutine of its own, unless stop is called before.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }
func (machineClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	if o.Clock == nil {
		o.Clock = machineClock{}
	}
	or(&o.PerFunction, 32)
	or(&o.Concurrent, 256)
	or(&o.InFlight, 64<<20)
	or(&o.MaxWaiting, 50_000)
	or(&o.MaxPerFunction, 10_000)
	or(&o.MaxBytes, 1<<30)
	or(&o.MaxBody, 4<<20)
	or(&o.MaxResult, 1<<20)
	or(&o.MaxEnded, 20_000)
	or(&o.MaxResultBytes, 512<<20)
	or(&o.Retention, 24*time.Hour)
	or(&o.KeyWindow, 24*time.Hour)
	or(&o.AttemptTimeout, 10*time.Minute)
}

func or[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

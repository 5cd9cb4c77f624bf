package gateway

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// Options steer a gateway. Zero values are the defaults named with each.
type Options struct {
	Log     *slog.Logger // nil discards
	Metrics Metrics      // nil counts nothing
	// Unmatched answers those requests which no route leads to a function and whose path it has: event sources are called so. Nil
	// has none; every other request gets a 404 that says why.
	Unmatched Unmatched
	// Async takes requests that prefer not to be waited for (RFC 7240: respond-async), those below /async/ of hosts that lead to no
	// function, and what is asked of calls below /_ofn/calls/. Nil serves none of these.
	Async Async

	MaxHeaderBytes int           // of one request head: 64 KiB
	HeaderTimeout  time.Duration // from the first byte of a request to the end of its head: 10 s
	IdleTimeout    time.Duration // of a connection without a request: 2 min
	StallTimeout   time.Duration // without progress while the client sends a body or reads an answer: 1 min
	RequestTimeout time.Duration // of a whole request when neither rule nor revision has one; 0 is none
	DrainTimeout   time.Duration // for requests under way when Serve's context ends: 30 s
	MaxConnections int           // per listener; more are refused with 503: 16384

	// TrustForwarded keeps X-Forwarded-* and Forwarded of the client and adds to them. Otherwise they are replaced.
	TrustForwarded bool
	// Tracer is told of every request that is traced: those whose traceparent is sampled, and those without one. Nil traces nothing.
	Tracer Tracer
	// NoTrace leaves requests without traceparent as they are; otherwise they get one, not sampled.
	NoTrace bool
}

// Unmatched serves paths of its own under every host that leads to no function.
type Unmatched interface {
	// Match is whether it has the path. It is asked on the hot path, from many goroutines.
	Match(path string) bool
	http.Handler
}

// unmatched is whether a request that no route took, for the reason p, is one of Unmatched's.
func (g *Gateway) unmatched(p *problem, path string) bool {
	return p != nil && g.opt.Unmatched != nil && g.opt.Unmatched.Match(path)
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	orInt := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	orTime := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	orInt(&o.MaxHeaderBytes, 64<<10)
	orInt(&o.MaxConnections, 16384)
	orTime(&o.HeaderTimeout, 10*time.Second)
	orTime(&o.IdleTimeout, 2*time.Minute)
	orTime(&o.StallTimeout, time.Minute)
	orTime(&o.DrainTimeout, 30*time.Second)
}

// Metrics is told what happened. Its methods are called on the hot path from many goroutines.
type Metrics interface {
	// Request is called at the end of each request that reached a revision ("namespace/name"). code is what the client got,
	// 499 when it left before; took is the whole time, queued the part spent waiting for a copy, cold whether there was none.
	Request(revision string, code int, took, queued time.Duration, cold bool)
	// Function is called beside Request where the copy said which of its functions answered. The name is the copy's own, of any form.
	Function(revision, function string, code int, took time.Duration)
	// Refused is called for requests that reached no revision; reason is one word: malformed, slow, no-route, no-backend, reserved.
	Refused(reason string, code int)
	// Connections is called with 1 and -1 as client connections come and go.
	Connections(delta int)
}

type noMetrics struct{}

func (noMetrics) Request(string, int, time.Duration, time.Duration, bool) {}
func (noMetrics) Function(string, string, int, time.Duration)             {}
func (noMetrics) Refused(string, int)                                     {}
func (noMetrics) Connections(int)                                         {}

// Gateway forwards requests to revisions. Its methods may be called from any goroutine.
type Gateway struct {
	opt    Options
	table  atomic.Pointer[Table]
	glance glance
}

// New makes a gateway that knows no host.
func New(o Options) *Gateway {
	o.setDefaults()
	g := &Gateway{opt: o}
	g.table.Store(&Table{})
	return g
}

// Swap makes t the routes of every request that arrives from now on. Requests under way are not touched.
func (g *Gateway) Swap(t *Table) { g.table.Store(t) }

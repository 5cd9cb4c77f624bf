// Package relay lets several gateways take requests of which one serves: the others hand theirs on to it, and hold them while there is
// none. Nothing of a request leaves before the one that serves has said that it takes it, so that whatever fails until then is tried
// again.
//
// Between gateways a connection begins with a line that names the identity of who is meant and the address of the client, and goes on
// when that gateway answered with a line. Who does not know the identity of the one that serves is turned away.
package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// Options make a Relay. All but the durations and Most are required.
type Options struct {
	// Public has the connections of clients, Peers those of other gateways.
	Public, Peers net.Listener
	// Identity is this gateway's own.
	Identity string
	// Patience is how long a request waits for a gateway that serves: 30 s.
	Patience time.Duration
	// Drain is how long requests that are handed on may go on in the end: 30 s.
	Drain time.Duration
	// Most bounds the requests that are handed on or held; more are refused with 503: 10000.
	Most int
	Log  *slog.Logger
}

// Leader is the gateway that serves: who it is, and where it listens for the others.
type Leader struct{ Identity, Address string }

// Relay is one gateway's. Make it with New, run it with Run, and tell it who serves with Follow and Lead.
type Relay struct {
	opt    Options
	slots  chan struct{}
	proxy  *httputil.ReverseProxy
	server *http.Server

	mu      sync.Mutex
	own     *taker // what serves here; nil while nothing does
	leader  Leader
	changed chan struct{} // closed and made anew with leader
	lines   map[net.Conn]*line
}

// New is a relay that knows of nobody who serves.
func New(o Options) *Relay {
	if o.Patience <= 0 {
		o.Patience = 30 * time.Second
	}
	if o.Drain <= 0 {
		o.Drain = 30 * time.Second
	}
	if o.Most <= 0 {
		o.Most = 10000
	}
	r := &Relay{opt: o, slots: make(chan struct{}, o.Most), changed: make(chan struct{}), lines: map[net.Conn]*line{}}
	r.proxy = &httputil.ReverseProxy{Rewrite: rewrite, Transport: roundTripper{}, FlushInterval: -1, ErrorHandler: r.failed, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	r.server = &http.Server{Handler: http.HandlerFunc(r.handOn), Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ConnContext: r.begun, ConnState: r.state, ErrorLog: r.proxy.ErrorLog}
	return r
}

// Lead is a listener of the connections that come from now on, until it is closed: this gateway serves.
func (r *Relay) Lead() net.Listener {
	t := newTaker(r.opt.Public.Addr())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own = t
	return t
}

// Follow says who serves.
func (r *Relay) Follow(l Leader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader == l {
		return
	}
	r.leader = l
	close(r.changed)
	r.changed = make(chan struct{})
}

// Leader is who serves, as far as is known, and what is closed when it is another.
func (r *Relay) Leader() (l Leader, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leader, r.changed
}

// serving is what takes connections here; nil when nothing does.
func (r *Relay) serving() *taker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.own
}

// Leave has clients come with new connections for what they ask next, which go elsewhere once nobody is led here any more.
func (r *Relay) Leave() { r.server.SetKeepAlivesEnabled(false) }

// Run takes connections until ctx ends, and returns when the requests that are handed on ended, after Drain at the latest.
func (r *Relay) Run(ctx context.Context) error {
	relayed := newTaker(r.opt.Public.Addr())
	var work sync.WaitGroup
	unhook := context.AfterFunc(ctx, func() { r.opt.Public.Close(); r.opt.Peers.Close() })
	defer unhook()
	work.Go(func() { _ = r.server.Serve(relayed) })
	work.Go(func() {
		greeting := make(chan struct{}, mostGreeted)
		r.accept(ctx, r.opt.Peers, func(c net.Conn) {
			greeting <- struct{}{}
			work.Go(func() { r.welcome(c); <-greeting })
		})
	})
	r.accept(ctx, r.opt.Public, func(c net.Conn) {
		if own := r.serving(); own == nil || !own.give(c) {
			relayed.give(c)
		}
	})
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opt.Drain)
	defer cancel()
	err := r.server.Shutdown(end)
	if err != nil {
		err = errors.Join(errors.New("requests that were handed on were broken off in the end"), r.server.Close())
		r.opt.Log.Warn("the gateway stopped before all requests ended", "err", err)
	}
	relayed.Close()
	work.Wait()
	return nil
}

// mostGreeted bounds the connections that have not said who they are.
const mostGreeted = 256

// accept gives every connection of l to one until ctx ends.
func (r *Relay) accept(ctx context.Context, l net.Listener, to func(net.Conn)) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			to(c)
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default: // out of file descriptors, or a client that was gone at once
			r.opt.Log.Warn("cannot accept a connection", "listener", l.Addr().String(), "err", err)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return
			}
		}
	}
}

// taker is a listener that is given its connections.
type taker struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}
}

func newTaker(a net.Addr) *taker {
	return &taker{addr: a, conns: make(chan net.Conn), over: make(chan struct{})}
}

// give is whether the connection was taken.
func (t *taker) give(c net.Conn) bool {
	select {
	case <-t.over:
		return false
	default:
	}
	select {
	case t.conns <- c:
		return true
	case <-t.over:
		return false
	}
}

// Accept implements net.Listener.
func (t *taker) Accept() (net.Conn, error) {
	select {
	case c := <-t.conns:
		return c, nil
	case <-t.over:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (t *taker) Close() error {
	t.once.Do(func() { close(t.over) })
	return nil
}

// Addr implements net.Listener.
func (t *taker) Addr() net.Addr { return t.addr }

package relay

import (
	"bufio"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	greeting = "OFN-RELAY/1"
	taken    = "+\n"
	// mostLine bounds the first line, in bytes; within is how long saying and answering it may take.
	mostLine = 512
	within   = 2 * time.Second
)

// The waits between attempts to reach the one that serves.
const (
	firstAgain = 5 * time.Millisecond
	lastAgain  = 500 * time.Millisecond
)

var (
	errNobody  = errors.New("no gateway serves now")
	errRefused = errors.New("it does not serve")
)

// line is a client's connection: what it asks goes on by connections of its own, which tell whose they are.
type line struct{ one, two *http.Transport }

type lineKey struct{}

// begun prepares a client's connection.
func (r *Relay) begun(ctx context.Context, c net.Conn) context.Context {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return r.dial(ctx, c.RemoteAddr().String()) }
	var one, two http.Protocols
	one.SetHTTP1(true)
	two.SetUnencryptedHTTP2(true)
	// A connection for each request of HTTP/1: one that was kept may be closed at the other end when the next request is on its way, and what
	// has left cannot be sent again. HTTP/2 tells which requests were not taken.
	l := &line{
		one: &http.Transport{DialContext: dial, Protocols: &one, DisableCompression: true, DisableKeepAlives: true},
		two: &http.Transport{DialContext: dial, Protocols: &two, DisableCompression: true, IdleConnTimeout: time.Minute},
	}
	r.mu.Lock()
	r.lines[c] = l
	r.mu.Unlock()
	return context.WithValue(ctx, lineKey{}, l)
}

// state ends what belongs to a client's connection with it.
func (r *Relay) state(c net.Conn, s http.ConnState) {
	if s != http.StateClosed && s != http.StateHijacked {
		return
	}
	r.mu.Lock()
	l := r.lines[c]
	delete(r.lines, c)
	r.mu.Unlock()
	if l != nil {
		l.two.CloseIdleConnections()
	}
}

// roundTripper sends a request by its client's line, in the protocol that the client speaks.
type roundTripper struct{}

// RoundTrip implements http.RoundTripper.
func (roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	l, ok := req.Context().Value(lineKey{}).(*line)
	if !ok {
		return nil, errors.New("a request without a connection")
	}
	if req.ProtoMajor == 2 {
		return l.two.RoundTrip(req)
	}
	return l.one.RoundTrip(req)
}

// rewrite leaves a request as it is.
func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host, p.Out.URL.RawQuery = "http", "gateway", p.In.URL.RawQuery
	p.Out.Host = p.In.Host
}

func (r *Relay) handOn(w http.ResponseWriter, req *http.Request) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
		r.proxy.ServeHTTP(w, req)
	default:
		r.failed(w, req, errNobody)
	}
}

// failed answers a request that could not be handed on.
func (r *Relay) failed(w http.ResponseWriter, req *http.Request, err error) {
	if req.Context().Err() != nil {
		return // nobody waits for it
	}
	r.opt.Log.Warn("a request was not handed on", "host", req.Host, "err", err)
	if errors.Is(err, errNobody) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "no gateway serves now; try again", http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "the gateway that serves ended before it answered", http.StatusBadGateway)
}

// dial is a connection to the gateway that serves, as soon as there is one.
func (r *Relay) dial(ctx context.Context, client string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.opt.Patience, errNobody)
	defer cancel()
	again := backoff.NewExponentialBackOff()
	again.InitialInterval, again.MaxInterval = firstAgain, lastAgain
	for {
		to, changed := r.Leader()
		if to.Address != "" {
			c, err := reach(ctx, to, client)
			if err == nil {
				return c, nil
			}
			r.opt.Log.Debug("the gateway that serves was not reached", "address", to.Address, "err", err)
		}
		t := time.NewTimer(again.NextBackOff())
		select {
		case <-changed:
			again.Reset()
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, context.Cause(ctx)
		}
		t.Stop()
	}
}

// reach connects to a gateway that takes requests.
func reach(ctx context.Context, to Leader, client string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", to.Address)
	if err != nil {
		return nil, err
	}
	unhook := context.AfterFunc(ctx, func() { c.Close() })
	_, err = fmt.Fprintf(c, "%s %s %s\n", greeting, to.Identity, client)
	answer := make([]byte, len(taken))
	for n := 0; err == nil && n < len(answer); {
		var m int
		m, err = c.Read(answer[n:])
		n += m
	}
	if !unhook() && err == nil {
		err = ctx.Err()
	}
	if err == nil && string(answer) != taken {
		err = errRefused
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// welcome takes a connection of another gateway, which speaks for a client.
func (r *Relay) welcome(c net.Conn) {
	from, err := r.greeted(c)
	own := r.serving()
	if err != nil || own == nil {
		c.Close()
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		c = &spokenFor{tcp, from}
	}
	// The other side begins after the answer, so that it is not lost when this gateway stops taking connections meanwhile.
	if !own.give(c) {
		c.Close()
		return
	}
	if _, err := c.Write([]byte(taken)); err != nil {
		c.Close()
	}
}

// greeted reads the first line, after which nothing comes before it is answered.
func (r *Relay) greeted(c net.Conn) (net.Addr, error) {
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(c, mostLine)
	text, err := in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(text))
	if len(words) != 3 || words[0] != greeting || in.Buffered() > 0 || subtle.ConstantTimeCompare([]byte(words[1]), []byte(r.opt.Identity)) != 1 {
		return nil, errRefused
	}
	client, err := netip.ParseAddrPort(words[2])
	if err != nil {
		return nil, err
	}
	return net.TCPAddrFromAddrPort(client), c.SetDeadline(time.Time{})
}

// spokenFor is a connection of another gateway that stands for one of a client.
type spokenFor struct {
	*net.TCPConn
	client net.Addr
}

// RemoteAddr implements net.Conn: the client's.
func (s *spokenFor) RemoteAddr() net.Addr { return s.client }

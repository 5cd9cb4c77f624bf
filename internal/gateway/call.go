package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// call is one request that net/http received; the counterpart of exchange.
type call struct {
	h       *httpSide
	w       http.ResponseWriter
	r       *http.Request
	body    *watchedBody
	entry   *entry
	backend *backend
	ep      *activator.Endpoint
	h2c     bool
	queued  time.Duration
	cold    bool
	err     error
	code    int
}

type callKey struct{}

func callOf(r *http.Request) *call { return r.Context().Value(callKey{}).(*call) }

type httpHeader http.Header

func (h httpHeader) lookup(name string) (string, bool) {
	v := http.Header(h).Values(name)
	return strings.Join(v, ","), len(v) > 0
}

// ServeHTTP routes like serveRequest.
func (h *httpSide) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.calls.Add(1)
	defer h.calls.Done()
	a := asked{host: r.Host, path: r.URL.EscapedPath(), query: r.URL.RawQuery, method: r.Method, header: httpHeader(r.Header)}
	if !validHost([]byte(r.Host)) {
		h.refuse(w, errHost)
		return
	}
	e, p := h.s.g.table.Load().find(&a)
	switch {
	case p != nil && h.s.g.opt.Unmatched != nil:
		h.s.g.opt.Unmatched.ServeHTTP(w, r)
		return
	case p != nil:
		h.refuse(w, p)
		return
	}
	if d := e.rule.filters.Redirect; d != nil {
		peer := r.Context().Value(peerKey{}).(peer)
		w.Header().Set("Location", e.location(d, peer.scheme, a.host, a.path, a.query))
		w.WriteHeader(d.code())
		return
	}
	b := e.rule.pick()
	if b == nil {
		h.refuse(w, errNoBackend)
		return
	}
	c := &call{h: h, w: w, r: r, entry: e, backend: b}
	c.run()
}

func (h *httpSide) refuse(w http.ResponseWriter, p *problem) {
	h.s.g.opt.Metrics.Refused(p.reason, p.code)
	writeProblem(w, p)
}

func writeProblem(w http.ResponseWriter, p *problem) {
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	http.Error(w, p.text, p.code)
}

// run forwards the request and reports it, also when the reverse proxy panics because an answer broke off.
func (c *call) run() {
	started := time.Now()
	opt := c.backend.revision.Options()
	c.h2c = opt.H2C
	ctx := c.r.Context()
	if d := c.h.s.g.timeout(c.entry.rule.timeout, opt.Timeout); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	c.body = watchBody(c.w, c.r)
	defer func() {
		c.h.s.g.opt.Metrics.Request(c.backend.label, c.code, time.Since(started), c.queued, c.cold)
	}()
	err := c.attempts(ctx)
	switch {
	case err == nil:
	case c.r.Context().Err() != nil:
		c.code = statusClientGone
	default:
		p := asProblem(err)
		c.code = p.code
		if c.body.unfinished() && c.r.ProtoMajor == 1 {
			c.w.Header().Set("Connection", "close")
		}
		writeProblem(c.w, p)
	}
}

func (c *call) attempts(ctx context.Context) error {
	r := c.r.WithContext(context.WithValue(ctx, callKey{}, c))
	if c.body != nil {
		r.Body = c.body
	}
	c.r, ctx = r, r.Context()
	for n := 1; ; n++ {
		c.err = nil
		err := c.backend.revision.Serve(ctx, c)
		if err == nil || n == maxAttempts || ctx.Err() != nil || !c.again(err) {
			return err
		}
	}
}

// again reports whether the failed request may be sent to another copy.
func (c *call) again(err error) bool {
	return errors.Is(err, activator.ErrUnreachable) && (c.body == nil || !c.body.touched.Load())
}

// Handle is called by the activator with a copy.
func (c *call) Handle(ep *activator.Endpoint, w activator.Wait) error {
	c.ep = ep
	c.queued += w.For
	c.cold = c.cold || w.Cold
	c.h.proxy.ServeHTTP(c.w, c.r)
	return c.err
}

// rewriteCall makes the request as the copy gets it.
func rewriteCall(p *httputil.ProxyRequest) {
	c := callOf(p.In)
	out, f := p.Out, &c.entry.rule.filters
	path := p.In.URL.EscapedPath()
	out.URL = &url.URL{Scheme: "http", Host: "copy", RawQuery: p.In.URL.RawQuery}
	out.Host = p.In.Host
	if f.Rewrite != nil {
		path = c.entry.newPath(f.Rewrite.Path, path)
		if f.Rewrite.Hostname != "" {
			out.Host = f.Rewrite.Hostname
		}
	}
	out.URL.Path, out.URL.RawPath = path, path
	if plain, err := url.PathUnescape(path); err == nil {
		out.URL.Path = plain
	}
	if c.body != nil {
		out.Body = c.body // that of the reverse proxy cannot be closed, and its owner waits for the end of a read
	}
	c.forwarded(p)
	if trace := out.Header.Get("Traceparent"); !validTraceparent([]byte(trace)) {
		out.Header.Del("Traceparent")
		if !c.h.s.g.opt.NoTrace {
			out.Header.Set("Traceparent", string(appendTraceparent(nil)))
		}
	}
	f.Request.apply(out.Header)
}

func (c *call) forwarded(p *httputil.ProxyRequest) {
	peer := p.In.Context().Value(peerKey{}).(peer)
	out := p.Out.Header
	if c.h.s.g.opt.TrustForwarded {
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
			if v := p.In.Header.Values(name); len(v) > 0 {
				out[name] = append([]string(nil), v...)
			}
		}
	}
	out.Add("X-Forwarded-For", peer.ip)
	if out.Get("X-Forwarded-Proto") == "" {
		out.Set("X-Forwarded-Proto", peer.scheme)
	}
	if out.Get("X-Forwarded-Host") == "" {
		out.Set("X-Forwarded-Host", p.In.Host)
	}
	out.Add("Forwarded", string(appendForwardedElement(nil, &peer, p.In.Host)))
}

func (f *HeaderFilter) apply(h http.Header) {
	for _, n := range f.Remove {
		h.Del(n)
	}
	for _, s := range f.Set {
		h.Set(s.Name, s.Value)
	}
	for _, a := range f.Add {
		h.Add(a.Name, a.Value)
	}
}

// answerCall changes the answer on its way to the client.
func answerCall(p *http.Response) error {
	c := callOf(p.Request)
	c.code = p.StatusCode
	if p.ContentLength > 0 {
		// The reverse proxy flushes at once only what has no known length; the header still tells it. An answer without a
		// body must not be flushed: gRPC wants its status and the end of the stream in one frame.
		p.ContentLength = -1
	}
	if c.body.unfinished() && c.r.ProtoMajor == 1 {
		p.Header.Set("Connection", "close") // what is left of the body must not be taken for a request
	}
	if len(p.Trailer) > 0 && c.r.ProtoMajor == 1 {
		p.Header.Del("Content-Length") // HTTP/1.1 has trailers only after chunks
	}
	c.entry.rule.filters.Response.apply(p.Header)
	return nil
}

// callTransport sends a request to the copy that its call has.
type callTransport struct{}

// RoundTrip implements http.RoundTripper.
func (callTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c := callOf(r)
	t := c.ep.Aux(func() io.Closer { return newCopyTransport(c.ep, c.h2c) }).(*copyTransport)
	return t.RoundTrip(r)
}

// copyTransport has the connections of net/http to one copy.
type copyTransport struct{ *http.Transport }

// Close ends the idle ones.
func (t *copyTransport) Close() error {
	t.CloseIdleConnections()
	return nil
}

func newCopyTransport(ep *activator.Endpoint, h2c bool) *copyTransport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2c)
	protocols.SetUnencryptedHTTP2(h2c)
	return &copyTransport{&http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			limited, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			nc, err := ep.Dial(limited)
			if err != nil && ctx.Err() != nil {
				return nil, err // it was not the copy that failed
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %w", activator.ErrUnreachable, err)
			}
			return nc, nil
		},
		Protocols:           protocols,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     time.Minute,
	}}
}

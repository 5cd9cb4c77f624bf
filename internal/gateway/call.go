package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// call is one request that net/http received; the counterpart of exchange.
type call struct {
	h        *httpSide
	w        http.ResponseWriter
	r        *http.Request
	ctx      context.Context // ends with the client or at the deadline
	client   *client
	path     string // escaped
	body     *watchedBody
	upgrade  string // the protocol an HTTP/1.1 client wants to change to
	pump     callPump
	entry    *entry
	backend  *backend
	h2c      bool
	queued   time.Duration
	function string // that answered, as the copy says
	cold     bool
	retry    bool // a copy broke off before it answered, and another may be asked
	broken   int  // copies that broke off
	code     int
	begun    bool  // the client may have seen a part of the answer
	span     *Span // nil is not traced
}

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
	if p := checkCall(r); p != nil {
		h.refuse(w, p)
		return
	}
	e, p := h.s.g.table.Load().find(&a)
	switch {
	case h.s.g.async(a.path, callPrefersAsync(r), e, p):
		h.serveAsync(w, r, e, a.path)
		return
	case h.s.g.unmatched(p, a.path):
		h.s.g.opt.Unmatched.ServeHTTP(w, r)
		return
	case p != nil:
		h.refuse(w, p)
		return
	}
	from := r.Context().Value(clientKey{}).(*client)
	if d := e.rule.filters.Redirect; d != nil {
		w.Header().Set("Location", e.location(d, from.scheme, a.host, a.path, a.query))
		w.WriteHeader(d.code())
		return
	}
	if e.reserved(a.path) {
		h.refuse(w, errReserved)
		return
	}
	b := e.rule.pick()
	if b == nil {
		h.refuse(w, errNoBackend)
		return
	}
	c := &call{h: h, w: w, r: r, client: from, path: a.path, entry: e, backend: b}
	if c.run() {
		panic(http.ErrAbortHandler) // the client must see that the answer is not complete
	}
}

// checkCall finds what net/http lets through and HTTP/1.1 cannot carry.
func checkCall(r *http.Request) *problem {
	switch {
	case !validHost([]byte(r.Host)):
		return errHost
	case r.Method == http.MethodConnect:
		return errConnect
	case !isToken([]byte(r.Method)):
		return errStartLine
	}
	for i := range len(r.URL.RawQuery) {
		if b := r.URL.RawQuery[i]; b <= ' ' || b == 0x7f || b == '#' {
			return errTarget
		}
	}
	return nil
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

// run forwards the request and reports it. It is true when an answer was begun and broke off.
func (c *call) run() (brokeOff bool) {
	started := time.Now()
	c.span = c.h.s.g.span(c.parent(), c.r.Method, c.r.Host, c.path)
	opt := c.backend.revision.Options()
	c.h2c = opt.H2C
	c.ctx = c.r.Context()
	if d := c.h.s.g.timeout(c.entry.rule.timeout, opt.Timeout); d > 0 {
		var cancel context.CancelFunc
		c.ctx, cancel = context.WithTimeout(c.ctx, d)
		defer cancel()
	}
	c.body = watchBody(c.w, c.r)
	c.upgrade = upgradeOf(c.r)
	defer func() {
		took := time.Since(started)
		c.h.s.g.opt.Metrics.Request(c.backend.label, c.code, took, c.queued, c.cold)
		if c.function != "" {
			c.h.s.g.opt.Metrics.Function(c.backend.label, c.function, c.code, took)
		}
		if s := c.span; s != nil {
			s.Function, s.Code, s.Queued, s.Cold = c.function, c.code, c.queued, c.cold
			c.h.s.g.end(s, c.backend, started, took)
		}
	}()
	err := c.attempts()
	if c.r.ProtoMajor == 1 && c.body.unfinished() {
		c.client.conn.linger.Store(true)
	}
	switch {
	case err == nil:
	case c.r.Context().Err() != nil, errors.Is(err, errClientGone):
		c.code = statusClientGone
		return c.begun
	case c.begun:
		c.h.s.g.opt.Log.Debug("an answer broke off", "revision", c.backend.label, "error", err)
		return true
	default:
		p := asProblem(err)
		c.code = p.code
		c.h.s.g.opt.Log.Debug("a request failed", "revision", c.backend.label, "code", p.code, "error", err)
		c.closeAfter()
		writeProblem(c.w, p)
	}
	return false
}

// closeAfter ends an HTTP/1.1 connection with the answer when the request is not at its end: what is left of the body must
// not be taken for a request.
func (c *call) closeAfter() {
	if c.r.ProtoMajor == 1 && c.body.unfinished() {
		c.w.Header().Set("Connection", "close")
	}
}

func (c *call) attempts() error {
	for n := 1; ; n++ {
		c.retry = false
		err := c.backend.revision.Serve(c.ctx, c)
		if err == nil || n == maxAttempts || c.ctx.Err() != nil || !c.again(err) {
			return err
		}
	}
}

// again reports whether the failed request may be sent to another copy.
func (c *call) again(err error) bool {
	return c.retry || errors.Is(err, activator.ErrUnreachable) && (c.body == nil || !c.body.touched.Load())
}

// Handle is called by the activator with a copy.
func (c *call) Handle(ep *activator.Endpoint, w activator.Wait) error {
	c.queued += w.For
	c.cold = c.cold || w.Cold
	if c.h2c && c.upgrade == "" {
		return c.overHTTP2(ep)
	}
	return c.overHTTP1(ep) // HTTP/2 knows no Upgrade
}

// host and target are those of the rule's rewrite, or the client's.
func (c *call) rewritten() (host, target string) {
	host, target = c.r.Host, c.path
	if target == "" {
		target = "/"
	}
	if w := c.entry.rule.filters.Rewrite; w != nil {
		target = c.entry.newPath(w.Path, target)
		if w.Hostname != "" {
			host = w.Hostname
		}
	}
	return host, target
}

// flush shows the client what was written.
func (c *call) flush() error {
	if f, ok := c.w.(interface{ FlushError() error }); ok && f.FlushError() != nil {
		return errClientGone
	}
	return nil
}

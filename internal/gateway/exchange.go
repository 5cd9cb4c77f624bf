package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// maxAttempts bounds how often one request is sent to copies that turn out to be gone. The waits between, see the activator, add up to more
// than two seconds: the end of a copy is known only when all that it used was given back.
const maxAttempts = 7

// statusClientGone is what metrics are told when the client did not wait.
const statusClientGone = 499

// exchange is one request on its way and its answer on the way back.
type exchange struct {
	entry    *entry
	backend  *backend
	started  time.Time
	deadline time.Time // zero is none
	function string    // that answered, as the copy says
	queued   time.Duration
	cold     bool
	small    []byte // the whole request body, when it came with the head
	streamed bool   // the request body was begun to be read
	again    bool   // the failed request may be sent to another copy
	broken   int    // copies that broke off
	code     int    // of the answer
	begun    bool   // the client may have seen a part of the answer
	span     *Span  // nil is not traced
}

// serveRequest finds who answers. It reports whether the connection goes on.
func (c *conn) serveRequest() bool {
	q := &c.req
	a := asked{host: str(q.host), path: q.pathOrRoot(), query: str(q.query), method: str(q.method), header: &q.head}
	e, p := c.s.g.table.Load().find(&a)
	if c.s.g.unmatched(p, a.path) || c.s.g.async(a.path, q.async && q.upgrade == nil, e, p) {
		c.handOver()
		return false
	}
	if p != nil {
		return c.refuse(p)
	}
	if d := e.rule.filters.Redirect; d != nil {
		c.in.skip(len(q.raw))
		return c.redirect(d.code(), e.location(d, c.peer.scheme, a.host, a.path, a.query))
	}
	if e.reserved(a.path) {
		return c.refuse(errReserved)
	}
	b := e.rule.pick()
	if b == nil {
		return c.refuse(errNoBackend)
	}
	opt := b.revision.Options()
	if opt.H2C && q.upgrade == nil { // HTTP/2 knows no Upgrade
		c.handOver()
		return false
	}
	return c.forward(e, b, opt.Timeout)
}

func (q *request) pathOrRoot() string {
	if len(q.path) == 0 {
		return "/"
	}
	return str(q.path)
}

// forward sends the request to a copy of b's revision.
func (c *conn) forward(e *entry, b *backend, timeout time.Duration) bool {
	q := &c.req
	c.in.skip(len(q.raw))
	c.x = exchange{entry: e, backend: b, started: time.Now(), span: c.s.g.span(str(q.parent), str(q.method), str(q.host), q.pathOrRoot())}
	if q.length > 0 && int64(c.in.len()) >= q.length {
		c.x.small = c.in.bytes()[:q.length]
	}
	c.phase.Store(int32(phaseRequest))
	timeout = c.s.g.timeout(e.rule.timeout, timeout)
	if timeout > 0 {
		c.x.deadline = c.x.started.Add(timeout)
	}
	c.set(alarmPhase, timeout)
	c.watch.Store(c.s.clock.in(0))
	pooled := writeBuffers.Get().(*[]byte)
	c.out = (*pooled)[:0]
	err := c.attempts(b.revision)
	c.watch.Store(0)
	inTime := c.set(alarmPhase, 0)
	keep := c.conclude(err) && inTime
	if cap(c.out) == writeBuffer {
		*pooled = c.out[:0]
	}
	writeBuffers.Put(pooled)
	c.out = nil
	return keep
}

// timeout is that of the rule, the revision or the gateway: the first two together mean the shorter.
func (g *Gateway) timeout(rule, revision time.Duration) time.Duration {
	switch {
	case rule > 0 && revision > 0:
		return min(rule, revision)
	case rule > 0 || revision > 0:
		return max(rule, revision)
	}
	return g.opt.RequestTimeout
}

func (c *conn) attempts(r *activator.Revision) error {
	for n := 1; ; n++ {
		c.x.again = false
		err := r.Serve(c.ctx, c)
		if err == nil || !c.x.again || n == maxAttempts || c.cause() != nil {
			return err
		}
	}
}

// Handle is called by the activator with a copy, of which this request has a slot until Handle returns.
func (c *conn) Handle(ep *activator.Endpoint, w activator.Wait) error {
	x := &c.x
	x.queued += w.For
	x.cold = x.cold || w.Cold
	replayable := c.req.length == 0 || x.small != nil
	for fresh := false; ; fresh = true {
		u, err := c.reach(ep, fresh, !c.req.safe || !replayable)
		if err != nil {
			if cause := c.cause(); cause != nil {
				return cause // it was not the copy that failed
			}
			x.again = true
			return fmt.Errorf("%w: %w", activator.ErrUnreachable, err)
		}
		reused := u.reused
		err = c.converse(ep, u)
		if err == nil || !errors.Is(err, errNoAnswer) || !c.req.safe || !replayable || c.cause() != nil {
			return err
		}
		if !reused {
			x.broken++
			x.again = x.broken == 1
			return err
		}
	}
}

func (c *conn) reach(ep *activator.Endpoint, fresh, careful bool) (*upstream, error) {
	if fresh {
		return dial(c.ctx, ep)
	}
	return connectTo(c.ctx, ep, careful)
}

// converse has the whole exchange over u and gives u back or closes it.
func (c *conn) converse(ep *activator.Endpoint, u *upstream) error {
	if err := c.attach(u.nc); err != nil {
		u.Close()
		return err
	}
	err := c.talk(u)
	clean := c.stopPump(u)
	if c.detach() && clean && err == nil && u.usable {
		ep.Keep(u, c.x.started)
	} else {
		u.Close()
	}
	return err
}

// talk sends the request and forwards the answer.
func (c *conn) talk(u *upstream) error {
	x, q := &c.x, &c.req
	host, target := str(q.host), q.pathOrRoot()
	if w := x.entry.rule.filters.Rewrite; w != nil {
		if w.Hostname != "" {
			host = w.Hostname
		}
		target = x.entry.newPath(w.Path, target)
	}
	c.out = c.appendRequest(c.out[:0], host, target)
	sendErr := c.send(u)
	if sendErr == nil && q.length != 0 && x.small == nil {
		c.startPump(u)
	}
	if err := c.answerHead(u); err != nil {
		// A copy may answer without reading everything, so the answer matters more than what became of the request.
		return err
	}
	return c.forwardAnswer(u)
}

// send writes out and the body that came with the head.
func (c *conn) send(u *upstream) error {
	var err error
	if len(c.out)+len(c.x.small) <= cap(c.out) {
		c.out = append(c.out, c.x.small...)
		_, err = u.nc.Write(c.out)
	} else {
		parts := net.Buffers{c.out, c.x.small}
		_, err = parts.WriteTo(u.nc)
	}
	c.out = c.out[:0]
	return err
}

// answerHead reads heads up to the final one, and forwards those before it that the client wants.
func (c *conn) answerHead(u *upstream) error {
	c.s.g.glance.before(u)
	for range maxInterim {
		if err := u.readHead(c.req.headOnly); err != nil {
			return err
		}
		p := &u.resp
		if p.code == http.StatusSwitchingProtocols && c.req.upgrade == nil {
			return badAnswer("it switches protocols without having been asked to")
		}
		if p.code >= 200 || p.code == http.StatusSwitchingProtocols {
			u.in.skip(len(p.raw))
			c.x.function = p.function()
			return nil
		}
		if c.req.minor == 1 && (p.code != http.StatusContinue || c.req.expect) {
			c.out = p.appendInterim(c.out[:0])
			if err := c.flush(); err != nil {
				return err
			}
		}
		u.in.skip(len(p.raw))
	}
	return badAnswer("too many interim answers")
}

// conclude tells the client what went wrong, if something did, and metrics how it went.
func (c *conn) conclude(err error) bool {
	x := &c.x
	if cause := c.cause(); err != nil && cause != nil {
		err = cause
	}
	keep := false
	switch {
	case err == nil:
		keep = !c.req.close
		c.in.skip(len(x.small))
	case errors.Is(err, errClientGone), errors.Is(err, context.Canceled):
		x.code = statusClientGone
	case x.begun:
		c.abort = true
		c.s.g.opt.Log.Debug("an answer broke off", "revision", x.backend.label, "error", err)
	default:
		p := asProblem(err)
		x.code = p.code
		c.s.g.opt.Log.Debug("a request failed", "revision", x.backend.label, "code", p.code, "error", err)
		keep = c.answerAfterBody(p)
	}
	took := time.Since(x.started)
	c.s.g.opt.Metrics.Request(x.backend.label, x.code, took, x.queued, x.cold)
	if x.function != "" {
		c.s.g.opt.Metrics.Function(x.backend.label, x.function, x.code, took)
	}
	if s := x.span; s != nil {
		s.Function, s.Code, s.Queued, s.Cold = x.function, x.code, x.queued, x.cold
		c.s.g.end(s, x.backend, x.started, took)
	}
	return keep
}

// refuse answers a request that reaches no revision.
func (c *conn) refuse(p *problem) bool {
	c.in.skip(len(c.req.raw))
	c.s.g.opt.Metrics.Refused(p.reason, p.code)
	return c.answerAfterBody(p)
}

// answerAfterBody answers in place of a copy. The connection goes on when the body, if any, is at hand.
func (c *conn) answerAfterBody(p *problem) bool {
	c.skipBody()
	return c.answer(p) && !c.req.close
}

// skipBody drops a request body that nobody reads; one that is not at hand ends the connection.
func (c *conn) skipBody() {
	n := c.req.length
	if n < 0 || n > int64(c.in.len()) || c.x.streamed || c.cause() != nil {
		c.req.close, c.linger = true, true
		return
	}
	c.in.skip(int(n))
}

// answer writes a short text.
func (c *conn) answer(p *problem) bool {
	c.req.close = c.req.close || c.s.draining.Load()
	out := append(c.out[:0], "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(p.code), 10)
	out = append(out, ' ')
	out = append(out, http.StatusText(p.code)...)
	out = append(out, "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(p.text)+1), 10)
	out = append(out, "\r\n"...)
	if p.retryAfter > 0 {
		out = appendField(out, "Retry-After", strconv.Itoa(p.retryAfter))
	}
	out = appendDate(out)
	out = append(c.appendConnection(out, c.req.close), "\r\n"...)
	if !c.req.headOnly {
		out = append(append(out, p.text...), '\n')
	}
	c.out = out
	return c.flush() == nil
}

// redirect answers with another place.
func (c *conn) redirect(code int, to string) bool {
	c.x = exchange{}
	c.skipBody()
	c.req.close = c.req.close || c.s.draining.Load()
	out := append(c.out[:0], "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(code), 10)
	out = append(out, ' ')
	out = append(out, http.StatusText(code)...)
	out = append(out, "\r\nContent-Length: 0\r\n"...)
	out = appendField(out, "Location", to)
	out = appendDate(out)
	c.out = append(c.appendConnection(out, c.req.close), "\r\n"...)
	return c.flush() == nil && !c.req.close
}

var _ io.Closer = (*upstream)(nil)

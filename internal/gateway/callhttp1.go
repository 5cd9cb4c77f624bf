package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// overHTTP1 has the exchange with the copy in HTTP/1.1, over the same connections that conn uses.
func (c *call) overHTTP1(ep *activator.Endpoint) error {
	_, idempotent := httpHeader(c.r.Header).lookup("Idempotency-Key")
	replayable := c.body == nil && (idempotent || safeMethod(c.r.Method))
	for fresh := false; ; fresh = true {
		var u *upstream
		var err error
		if fresh {
			u, err = dial(c.ctx, ep)
		} else {
			u, err = connectTo(c.ctx, ep, !replayable)
		}
		if err != nil {
			if cause := context.Cause(c.ctx); cause != nil {
				return cause // it was not the copy that failed
			}
			return fmt.Errorf("%w: %w", activator.ErrUnreachable, err)
		}
		reused := u.reused
		err = c.converse(ep, u)
		if err == nil || !errors.Is(err, errNoAnswer) || !replayable || c.ctx.Err() != nil {
			return err
		}
		if !reused {
			c.broken++
			c.retry = c.broken == 1
			return err
		}
	}
}

// converse has the whole exchange over u and gives u back or closes it.
func (c *call) converse(ep *activator.Endpoint, u *upstream) error {
	alone := context.AfterFunc(c.ctx, func() { u.nc.SetDeadline(past) })
	err := c.talk(u)
	clean := c.pump.stop(u)
	if alone() && clean && err == nil && u.usable {
		ep.Keep(u, time.Now())
	} else {
		u.Close()
	}
	switch {
	case err == nil:
	case c.ctx.Err() != nil:
		return context.Cause(c.ctx)
	case c.pump.lost.Load():
		return errClientGone
	}
	return err
}

// talk sends the request and forwards the answer.
func (c *call) talk(u *upstream) error {
	pooled := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(pooled)
	out := c.appendRequest((*pooled)[:0])
	_, err := u.nc.Write(out)
	if err == nil && c.body != nil {
		c.pump.start(c, u)
	}
	if err := c.answerHead(u); err != nil {
		// A copy may answer without reading everything, so the answer matters more than what became of the request.
		return err
	}
	if u.resp.code == http.StatusSwitchingProtocols {
		return c.tunnel(u)
	}
	c.head(u)
	return c.copyBody(u, (*pooled)[:cap(*pooled)])
}

// chunked reports whether the body goes to the copy in chunks.
func (c *call) chunked() bool {
	return c.body != nil && (c.r.ContentLength < 0 || len(c.r.Trailer) > 0)
}

// appendRequest writes the head of the request as the copy gets it.
func (c *call) appendRequest(out []byte) []byte {
	host, target := c.rewritten()
	out = append(append(out, c.r.Method...), ' ')
	out = append(out, target...)
	if c.r.URL.RawQuery != "" || c.r.URL.ForceQuery {
		out = append(append(out, '?'), c.r.URL.RawQuery...)
	}
	out = appendField(append(out, " HTTP/1.1\r\n"...), "Host", host)
	c.fields(func(name, value string) { out = appendField(out, name, value) })
	switch {
	case c.chunked():
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
		for name := range c.r.Trailer {
			out = appendField(out, "Trailer", name)
		}
	case c.r.ContentLength > 0, bodyExpected(c.r.Method):
		out = appendField(out, "Content-Length", strconv.FormatInt(c.r.ContentLength, 10))
	}
	if c.upgrade != "" {
		out = appendField(appendField(out, "Connection", "Upgrade"), "Upgrade", c.upgrade)
	}
	return append(out, "\r\n"...)
}

// answerHead reads heads up to the final one, and forwards those before it. Continue is what net/http says by itself.
func (c *call) answerHead(u *upstream) error {
	c.h.s.g.glance.before(u)
	for range maxInterim {
		if err := u.readHead(c.r.Method == http.MethodHead); err != nil {
			return err
		}
		p := &u.resp
		switch {
		case p.code == http.StatusSwitchingProtocols && c.upgrade == "":
			return badAnswer("it switches protocols without having been asked to")
		case p.code >= 200 || p.code == http.StatusSwitchingProtocols:
			u.in.skip(len(p.raw))
			c.function = p.function()
			return nil
		case p.code != http.StatusContinue && c.r.ProtoAtLeast(1, 1):
			h := c.w.Header()
			p.addTo(h)
			c.w.WriteHeader(p.code)
			clear(h)
		}
		u.in.skip(len(p.raw))
	}
	return badAnswer("too many interim answers")
}

// addTo gives the fields that concern more than the connection to h. They share one copy of the head.
func (p *response) addTo(h http.Header) {
	text := string(p.raw)
	values := make([]string, len(p.fields))
	for i := range p.fields {
		f := &p.fields[i]
		if f.id != other && hopByHop(f.id) || len(p.connection) > 0 && named(&p.head, p.connection, f) {
			continue
		}
		name := http.CanonicalHeaderKey(text[f.name:f.nameEnd])
		values[i] = text[f.value:f.valueEnd]
		if before := h[name]; before != nil {
			h[name] = append(before, values[i])
		} else {
			h[name] = values[i : i+1 : i+1]
		}
	}
}

// head begins the answer to the client.
func (c *call) head(u *upstream) {
	p, h := &u.resp, c.w.Header()
	p.addTo(h)
	if p.lengths > 0 && p.code != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.FormatInt(p.declared, 10)}
	}
	c.writeHead(p.code)
}

// writeHead begins the answer with what is in the header.
func (c *call) writeHead(code int) {
	h := c.w.Header()
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // net/http would guess
	}
	c.entry.rule.filters.Response.apply(h)
	c.closeAfter()
	c.code, c.begun = code, true
	c.w.WriteHeader(code)
}

// copyBody forwards the body of the answer. What is there goes together; nothing is held back while waiting for more.
func (c *call) copyBody(u *upstream, buf []byte) error {
	b := &u.body
	b.begin(&u.in, u.nc, u.resp.length)
	for {
		if !b.ready() { // there is something to show: the head, or data
			if err := c.flush(); err != nil {
				return err
			}
		}
		n, err := b.read(buf)
		switch {
		case n > 0:
			if _, err := c.w.Write(buf[:n]); err != nil {
				return errClientGone
			}
		case errors.Is(err, io.EOF):
			u.usable = !u.resp.close && u.in.len() == 0
			return c.trailers(&b.tail)
		default:
			return badAnswer(err.Error())
		}
	}
}

// trailers writes what followed the last chunk, but for fields that would change the message.
func (c *call) trailers(tail *head) error {
	for i := range tail.fields {
		f := &tail.fields[i]
		if f.id == other || f.id == hDate {
			c.trailer(http.CanonicalHeaderKey(string(tail.name(f))), string(tail.content(f)))
		}
	}
	if len(tail.fields) > 0 && c.r.ProtoMajor == 1 {
		return c.flush() // HTTP/1.1 has trailers only after chunks
	}
	return nil
}

// trailer adds one field after the body, announced or not.
func (c *call) trailer(name, value string) {
	h := c.w.Header()
	if !listed(h["Trailer"], name) {
		name = http.TrailerPrefix + name
	}
	h[name] = append(h[name], value)
}

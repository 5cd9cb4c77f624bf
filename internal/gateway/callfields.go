package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// fields gives each header field of the request as the copy gets it, but for those that frame the message.
func (c *call) fields(give func(name, value string)) {
	f := &c.entry.rule.filters.Request
	seen := seenFields{}
	connection := c.r.Header["Connection"]
	for name, values := range c.r.Header {
		if id := identify([]byte(name)); id != other && !c.passes(id, &seen) {
			continue
		}
		if len(connection) > 0 && listed(connection, name) || !f.keepsName(name) {
			continue
		}
		for _, v := range values {
			give(name, v)
		}
	}
	if listed(c.r.Header["Te"], "trailers") {
		give("Te", "trailers")
	}
	c.forwarded(give, &seen)
	for i := range f.Set {
		give(f.Set[i].Name, f.Set[i].Value)
	}
	for i := range f.Add {
		give(f.Add[i].Name, f.Add[i].Value)
	}
}

// passes decides about the fields that mean something to the gateway, as that of conn does. net/http answers expectations.
func (c *call) passes(id fieldID, seen *seenFields) bool {
	trust := c.h.s.g.opt.TrustForwarded
	switch id {
	case hForwarded, hForwardedFor:
		return trust
	case hForwardedProto:
		seen.proto = trust
		return trust
	case hForwardedHost:
		seen.host = trust
		return trust
	case hTraceparent:
		return c.traced() && c.span == nil
	case hTracestate:
		return keepsTracestate(len(c.r.Header["Traceparent"]), c.traced(), c.h.s.g.opt.NoTrace)
	case hTimeoutMs:
		seen.timeout = parseTimeout([]byte(c.r.Header.Get(timeoutField)))
	case hDate, hIdempotencyKey, hPrefer:
		return true
	}
	return false
}

// traced reports whether the client sent one valid traceparent.
func (c *call) traced() bool {
	parents := c.r.Header["Traceparent"]
	return len(parents) == 1 && validTraceparent([]byte(parents[0]))
}

// parent is the client's valid traceparent, or empty.
func (c *call) parent() string {
	if c.traced() {
		return c.r.Header["Traceparent"][0]
	}
	return ""
}

// forwarded tells the copy who asked, and under which name.
func (c *call) forwarded(give func(name, value string), seen *seenFields) {
	give("X-Forwarded-For", c.client.ip)
	if !seen.proto {
		give("X-Forwarded-Proto", c.client.scheme)
	}
	if !seen.host {
		give("X-Forwarded-Host", c.r.Host)
	}
	deadline, _ := c.ctx.Deadline()
	if left := timeLeft(deadline, time.Now(), seen.timeout); left > 0 {
		give(timeoutField, strconv.FormatInt(left, 10))
	}
	var room [128]byte
	give("Forwarded", string(appendForwardedElement(room[:0], &c.client.peer, c.r.Host)))
	switch {
	case c.span != nil:
		give("Traceparent", string(c.span.appendTo(room[:0])))
	case !c.traced() && !c.h.s.g.opt.NoTrace:
		give("Traceparent", string(appendTraceparent(room[:0])))
	}
}

// listed reports whether a comma-separated list has the token.
func listed(lists []string, token string) bool {
	for _, l := range lists {
		for one := range strings.SplitSeq(l, ",") {
			if strings.EqualFold(strings.Trim(one, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// keepsName reports whether the filter leaves fields of this name as they are.
func (f *HeaderFilter) keepsName(name string) bool {
	for _, n := range f.Remove {
		if strings.EqualFold(n, name) {
			return false
		}
	}
	for i := range f.Set {
		if strings.EqualFold(f.Set[i].Name, name) {
			return false
		}
	}
	return true
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

// upgradeOf is the protocol that an HTTP/1.1 request asks to change to, as request.interpret understands it.
func upgradeOf(r *http.Request) string {
	u := r.Header.Get("Upgrade")
	if r.ProtoMajor != 1 || r.ProtoMinor == 0 || u == "" || r.ContentLength != 0 || strings.EqualFold(u, "h2c") ||
		!listed(r.Header["Connection"], "upgrade") {
		return ""
	}
	return u
}

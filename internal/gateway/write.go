package gateway

import (
	"net/http"
	"strconv"
	"time"
)

func appendField(out []byte, name, value string) []byte {
	out = append(out, name...)
	out = append(out, ": "...)
	out = append(out, value...)
	return append(out, "\r\n"...)
}

// appendRequest writes the head of the request as the copy gets it. host and target are those of the rule's rewrite, or
// the client's.
func (c *conn) appendRequest(out []byte, host, target string) []byte {
	q, f := &c.req, &c.x.entry.rule.filters.Request
	out = append(out, q.method...)
	out = append(out, ' ')
	out = append(out, target...)
	if q.hasQuery {
		out = append(out, '?')
		out = append(out, q.query...)
	}
	out = append(out, " HTTP/1.1\r\n"...)
	out = appendField(out, "Host", host)
	seen := seenFields{}
	for i := range q.fields {
		fd := &q.fields[i]
		if fd.id != other && !c.passes(fd, &seen) ||
			len(q.connection) > 0 && q.dropped(fd) || !f.keeps(&q.head, fd) {
			continue
		}
		out = q.appendLine(out, fd)
	}
	switch {
	case q.length == chunkedLength:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	case q.lengths > 0, q.length == 0 && bodyExpected(str(q.method)):
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, q.length, 10)
		out = append(out, "\r\n"...)
	}
	if q.upgrade != nil {
		out = appendField(out, "Connection", "Upgrade")
		out = appendField(out, "Upgrade", str(q.upgrade))
	}
	if q.trailers {
		out = append(out, "TE: trailers\r\n"...)
	}
	out = c.appendForwarded(out, &seen)
	out = f.appendTo(out)
	return append(out, "\r\n"...)
}

// bodyExpected tells the methods whose requests say that they have no body.
func bodyExpected(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

// seenFields notes what the client sent of what the gateway may add.
type seenFields struct {
	proto, host bool
	timeout     int64 // milliseconds; 0 is none
}

// passes decides about the fields that mean something to the gateway.
func (c *conn) passes(f *field, seen *seenFields) bool {
	trust := c.s.g.opt.TrustForwarded
	switch f.id {
	case hForwarded, hForwardedFor:
		return trust
	case hForwardedProto:
		seen.proto = trust
		return trust
	case hForwardedHost:
		seen.host = trust
		return trust
	case hTraceparent:
		return c.req.traced && c.x.span == nil
	case hTracestate:
		return keepsTracestate(c.req.traces, c.req.traced, c.s.g.opt.NoTrace)
	case hExpect:
		return c.req.expect
	case hTimeoutMs:
		seen.timeout = parseTimeout(c.req.content(f))
		return false
	case hDate, hIdempotencyKey, hPrefer:
		return true
	}
	return false
}

// appendForwarded tells the copy who asked, under which name, and how long the answer is waited for.
func (c *conn) appendForwarded(out []byte, seen *seenFields) []byte {
	out = appendField(out, "X-Forwarded-For", c.peer.ip)
	if !seen.proto {
		out = appendField(out, "X-Forwarded-Proto", c.peer.scheme)
	}
	if !seen.host {
		out = appendField(out, "X-Forwarded-Host", str(c.req.host))
	}
	if left := timeLeft(c.x.deadline, time.Now(), seen.timeout); left > 0 {
		out = append(out, timeoutField+": "...)
		out = append(strconv.AppendInt(out, left, 10), "\r\n"...)
	}
	out = append(out, "Forwarded: "...)
	out = appendForwardedElement(out, &c.peer, str(c.req.host))
	out = append(out, "\r\n"...)
	switch {
	case c.x.span != nil:
		out = append(c.x.span.appendTo(append(out, "Traceparent: "...)), "\r\n"...)
	case !c.req.traced && !c.s.g.opt.NoTrace:
		out = append(appendTraceparent(append(out, "Traceparent: "...)), "\r\n"...)
	}
	return out
}

// appendForwardedElement is one element of RFC 7239. A host has no quote and no backslash; see validHost.
func appendForwardedElement(out []byte, p *peer, host string) []byte {
	out = append(out, "for="...)
	out = append(out, p.node...)
	out = append(out, `;host="`...)
	out = append(out, host...)
	out = append(out, `";proto=`...)
	return append(out, p.scheme...)
}

// appendLine writes a field as it came.
func (h *head) appendLine(out []byte, f *field) []byte {
	out = append(out, h.name(f)...)
	out = append(out, ": "...)
	out = append(out, h.content(f)...)
	return append(out, "\r\n"...)
}

// appendResponse writes the head of a copy's answer as the client gets it. chunked and closing are decided by the caller.
func (c *conn) appendResponse(out []byte, p *response, chunked, closing bool) []byte {
	out = p.appendStatus(out)
	f := &c.x.entry.rule.filters.Response
	for i := range p.fields {
		fd := &p.fields[i]
		if fd.id != other && hopByHop(fd.id) || len(p.connection) > 0 && named(&p.head, p.connection, fd) || !f.keeps(&p.head, fd) {
			continue
		}
		out = p.appendLine(out, fd)
	}
	switch {
	case p.code == http.StatusSwitchingProtocols:
		return append(p.appendUpgrade(out), "\r\n"...)
	case chunked:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	case p.lengths > 0 && p.code != http.StatusNoContent && p.code >= 200:
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, p.declared, 10)
		out = append(out, "\r\n"...)
	}
	if !p.dated && p.code >= 200 {
		out = appendDate(out)
	}
	out = f.appendTo(out)
	out = c.appendConnection(out, closing)
	return append(out, "\r\n"...)
}

func (c *conn) appendConnection(out []byte, closing bool) []byte {
	switch {
	case closing:
		return append(out, "Connection: close\r\n"...)
	case c.req.minor == 0:
		return append(out, "Connection: keep-alive\r\n"...)
	}
	return out
}

// appendInterim writes a 1xx answer.
func (p *response) appendInterim(out []byte) []byte {
	out = p.appendStatus(out)
	for i := range p.fields {
		if f := &p.fields[i]; !hopByHop(f.id) && !named(&p.head, p.connection, f) {
			out = p.appendLine(out, f)
		}
	}
	return append(out, "\r\n"...)
}

func (p *response) appendStatus(out []byte) []byte {
	out = append(out, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(p.code), 10)
	out = append(out, ' ')
	out = append(out, p.in(p.reason)...)
	return append(out, "\r\n"...)
}

// appendUpgrade writes the fields that end HTTP on a connection.
func (p *response) appendUpgrade(out []byte) []byte {
	out = append(out, "Connection: Upgrade\r\n"...)
	for i := range p.fields {
		if p.fields[i].id == hUpgrade {
			out = p.appendLine(out, &p.fields[i])
		}
	}
	return out
}

// hopByHop tells the fields that concern one connection only, or are written anew.
func hopByHop(id fieldID) bool {
	switch id {
	case hContentLength, hTransferEncoding, hConnection, hUpgrade, hTE, hHopByHop, hFunction:
		return true
	}
	return false
}

func appendDate(out []byte) []byte {
	out = append(out, "Date: "...)
	out = time.Now().UTC().AppendFormat(out, http.TimeFormat)
	return append(out, "\r\n"...)
}

// keeps reports whether the filter leaves the field as it is.
func (f *HeaderFilter) keeps(h *head, fd *field) bool {
	if len(f.Remove) == 0 && len(f.Set) == 0 {
		return true
	}
	name := h.name(fd)
	for _, n := range f.Remove {
		if sameName(name, n) {
			return false
		}
	}
	for i := range f.Set {
		if sameName(name, f.Set[i].Name) {
			return false
		}
	}
	return true
}

func sameName(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range b {
		if lowerByte(b[i]) != lowerByte(name[i]) {
			return false
		}
	}
	return true
}

func (f *HeaderFilter) appendTo(out []byte) []byte {
	for i := range f.Set {
		out = appendField(out, f.Set[i].Name, f.Set[i].Value)
	}
	for i := range f.Add {
		out = appendField(out, f.Add[i].Name, f.Add[i].Value)
	}
	return out
}

// appendTrailer writes what follows the last chunk. Fields that would change the message are left out.
func appendTrailer(out []byte, tail *head) []byte {
	out = append(out, "0\r\n"...)
	for i := range tail.fields {
		f := &tail.fields[i]
		if f.id == other || f.id == hDate {
			out = tail.appendLine(out, f)
		}
	}
	return append(out, "\r\n"...)
}

// chunkRoom is what a chunk needs around its data.
const chunkRoom = 8 + 2

// appendChunk turns out[from+8:], just read, into a chunk that begins at from.
func appendChunk(out []byte, from int) []byte {
	n := len(out) - from - 8
	var digits [8]byte
	line := append(strconv.AppendUint(digits[:0], uint64(n), 16), "\r\n"...)
	gap := 8 - len(line)
	if gap > 0 {
		copy(out[from+len(line):], out[from+8:])
		out = out[:len(out)-gap]
	}
	copy(out[from:], line)
	return append(out, "\r\n"...)
}

package gateway

import (
	"bytes"
)

// chunkedLength is the length of a body whose end is marked by its chunks, closeLength that of one ended by the connection.
const (
	chunkedLength = -1
	closeLength   = -2
)

// request is a request head and what it means. Its slices point into the connection's buffer.
type request struct {
	head
	method   []byte
	path     []byte // as it came, "*" for OPTIONS
	query    []byte // without "?"
	hasQuery bool
	host     []byte // as it came, with port
	minor    int    // HTTP/1.minor
	length   int64  // of the body, chunkedLength when chunked
	expect   bool   // waits for 100 Continue
	upgrade  []byte // the protocol, nil when none was asked for
	trailers bool   // TE: trailers
	close    bool   // no other request on this connection
	headOnly bool   // HEAD
	safe     bool   // may be sent twice
	async    bool   // the caller prefers not to wait

	hosts, lengths, encodings int
	traces                    int    // Traceparent lines
	traced                    bool   // there is one, and it is valid
	parent                    []byte // it, nil when it is not valid
	keepAlive, wantsUpgrade   bool
	connection                [][]byte // what Connection names beyond the usual
}

// reset forgets everything but the memory.
func (q *request) reset() {
	q.head.reset()
	*q = request{head: q.head, connection: q.connection[:0]}
}

// interpret checks a complete head.
func (q *request) interpret() error {
	if err := q.startLine(); err != nil {
		return err
	}
	q.safe = safeMethod(str(q.method))
	q.headOnly = str(q.method) == "HEAD"
	for i := range q.fields {
		if err := q.field(&q.fields[i]); err != nil {
			return err
		}
	}
	if q.hosts > 1 || q.hosts == 0 && q.minor == 1 || !validHost(q.host) {
		return errHost
	}
	if err := q.framing(); err != nil {
		return err
	}
	q.close = q.close || q.minor == 0 && !q.keepAlive
	if !q.wantsUpgrade || q.minor == 0 || q.length != 0 || equalFold(q.upgrade, "h2c") {
		q.upgrade = nil
	}
	q.expect = q.expect && q.minor == 1 && q.length != 0
	return nil
}

// safeMethod tells the methods of RFC 9110 that have the same effect when sent twice.
func safeMethod(m string) bool {
	switch m {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

func (q *request) startLine() error {
	line := q.in(q.start)
	a := bytes.IndexByte(line, ' ')
	z := bytes.LastIndexByte(line, ' ')
	if a <= 0 || z <= a+1 || !isToken(line[:a]) {
		return errStartLine
	}
	q.method = line[:a]
	switch string(line[z+1:]) {
	case "HTTP/1.1":
		q.minor = 1
	case "HTTP/1.0":
		q.minor = 0
	default:
		if bytes.HasPrefix(line[z+1:], []byte("HTTP/")) {
			return errVersion
		}
		return errStartLine
	}
	if str(q.method) == "CONNECT" {
		return errConnect
	}
	return q.target(line[a+1 : z])
}

// target understands the origin, absolute and asterisk forms.
func (q *request) target(t []byte) error {
	for _, c := range t {
		if c <= ' ' || c == 0x7f || c == '#' {
			return errTarget
		}
	}
	switch {
	case t[0] == '/':
	case len(t) == 1 && t[0] == '*' && str(q.method) == "OPTIONS":
	case len(t) > 7 && equalFold(t[:7], "http://"), len(t) > 8 && equalFold(t[:8], "https://"):
		rest := t[bytes.IndexByte(t, ':')+3:]
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return errTarget
		}
		// The authority of the target replaces Host, which must be there all the same.
		q.host, t = rest[:end:end], rest[end:]
	default:
		return errTarget
	}
	q.path = t
	if i := bytes.IndexByte(t, '?'); i >= 0 {
		q.path, q.query, q.hasQuery = t[:i], t[i+1:], true
	}
	return nil
}

// field notes what one header line means.
func (q *request) field(f *field) error {
	v := q.content(f)
	switch f.id {
	case hHost:
		if q.hosts++; q.host == nil {
			q.host = v
		} else if !validHost(v) {
			return errHost
		}
	case hContentLength:
		n, ok := parseLength(v)
		if q.lengths++; !ok || q.lengths > 1 {
			return errLength
		}
		q.length = n
	case hTransferEncoding:
		if q.encodings++; q.encodings > 1 || !equalFold(v, "chunked") {
			return errEncoding
		}
	case hConnection:
		eachToken(v, q.option)
	case hUpgrade:
		q.upgrade = v
	case hExpect:
		if !equalFold(v, "100-continue") {
			return errExpect
		}
		q.expect = true
	case hTE:
		eachToken(v, func(t []byte) { q.trailers = q.trailers || equalFold(t, "trailers") })
	case hPrefer:
		q.async = q.async || prefersAsync(v)
	case hIdempotencyKey:
		q.safe = true
	case hTraceparent:
		q.traces++
		if q.traced, q.parent = q.traces == 1 && validTraceparent(v), nil; q.traced {
			q.parent = v
		}
	}
	return nil
}

// option is one element of Connection.
func (q *request) option(t []byte) {
	switch {
	case equalFold(t, "close"):
		q.close = true
	case equalFold(t, "keep-alive"):
		q.keepAlive = true
	case equalFold(t, "upgrade"):
		q.wantsUpgrade = true
	default:
		q.connection = append(q.connection, t)
	}
}

// framing decides where the body ends.
func (q *request) framing() error {
	if q.encodings == 0 {
		return nil
	}
	if q.lengths > 0 {
		return errBothLengths
	}
	if q.minor == 0 {
		return errEncoding10
	}
	q.length = chunkedLength
	return nil
}

// dropped reports whether Connection names the field, so that it must not be forwarded.
func (q *request) dropped(f *field) bool {
	return named(&q.head, q.connection, f)
}

func named(h *head, names [][]byte, f *field) bool {
	for _, n := range names {
		if bytes.EqualFold(n, h.name(f)) {
			return true
		}
	}
	return false
}

// parseLength reads a decimal number below 2^62.
func parseLength(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// validHost accepts what a reg-name, an IPv4 or bracketed IPv6 address with an optional port may have, and nothing that
// another parser could read as something else (user info, white space, a list, a path).
func validHost(h []byte) bool {
	for _, c := range h {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case bytes.IndexByte([]byte("-._~!$&'()*+;=:[]%"), c) >= 0:
		default:
			return false
		}
	}
	return true
}

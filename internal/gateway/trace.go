package gateway

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"time"
)

// Tracer keeps what became of traced requests. Its method is called from many goroutines and must not wait.
type Tracer interface{ Request(*Span) }

// Span is a request to a function as a part of a trace (W3C trace context). It is not touched after Tracer has it.
type Span struct {
	Trace  [16]byte
	Parent [8]byte // the caller's span; zero when the trace begins here
	ID     [8]byte

	Method, Host, Path string // Path without the query
	Revision           string // "namespace/name"
	Function           string // that answered, where the copy says so
	Code               int    // what the client got, 499 when it left before
	Started            time.Time
	Took, Queued       time.Duration // Queued is the part spent waiting for a copy
	Cold               bool          // there was none
}

// span begins one below a valid traceparent, or, when that is empty, at the root. Nil is a request that is not traced.
func (g *Gateway) span(parent, method, host, path string) *Span {
	if g.opt.Tracer == nil || parent != "" && !sampled(parent) {
		return nil
	}
	s := &Span{Method: strings.Clone(method), Host: strings.Clone(host), Path: strings.Clone(path)}
	if parent == "" {
		random(s.Trace[:])
	} else {
		decode(s.Trace[:], parent[3:35])
		decode(s.Parent[:], parent[36:52])
	}
	random(s.ID[:])
	return s
}

// end hands the span over.
func (g *Gateway) end(s *Span, b *backend, started time.Time, took time.Duration) {
	s.Revision, s.Started, s.Took = b.label, started, took
	g.opt.Tracer.Request(s)
}

// appendTo writes the traceparent that makes the function's spans children of this one.
func (s *Span) appendTo(out []byte) []byte {
	out = hex.AppendEncode(append(out, "00-"...), s.Trace[:])
	out = hex.AppendEncode(append(out, '-'), s.ID[:])
	return append(out, "-01"...)
}

// sampled is the flag of a valid traceparent by which the caller says that it keeps its own span.
func sampled(parent string) bool {
	d, _ := hexDigit(parent[54])
	return d&1 == 1
}

// decode reads the digits of a valid traceparent.
func decode(into []byte, digits string) {
	for i := range into {
		high, _ := hexDigit(digits[2*i])
		low, _ := hexDigit(digits[2*i+1])
		into[i] = high<<4 | low
	}
}

// appendTraceparent makes a W3C trace context that is not sampled.
func appendTraceparent(out []byte) []byte {
	var id [24]byte
	random(id[:])
	out = append(out, "00-"...)
	out = hex.AppendEncode(out, id[:16])
	out = append(out, '-')
	out = hex.AppendEncode(out, id[16:])
	return append(out, "-00"...)
}

// random fills whole words. None is all zeros, which is no id.
func random(id []byte) {
	for i := 0; i < len(id); i += 8 {
		n := rand.Uint64() | 1
		for j := range 8 {
			id[i+j] = byte(n >> (8 * j))
		}
	}
}

// keepsTracestate reports whether a tracestate goes on: it means nothing beside a traceparent that is not the client's.
func keepsTracestate(parents int, valid, noTrace bool) bool {
	return valid || parents == 0 && noTrace
}

// validTraceparent checks the form of version 00, and that later versions begin with it.
func validTraceparent(v []byte) bool {
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return false
	}
	if len(v) > 55 && (v[55] != '-' || string(v[:2]) == "00") {
		return false
	}
	for i, c := range v[:55] {
		if i == 2 || i == 35 || i == 52 {
			continue
		}
		if d, ok := hexDigit(c); !ok || d > 9 && c < 'a' {
			return false
		}
	}
	return string(v[:2]) != "ff" && !zeros(v[3:35]) && !zeros(v[36:52])
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != '0' {
			return false
		}
	}
	return true
}

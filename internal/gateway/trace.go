package gateway

import (
	"encoding/hex"
	"math/rand/v2"
)

// appendTraceparent makes a W3C trace context that is not sampled.
func appendTraceparent(out []byte) []byte {
	var id [24]byte
	for i := 0; i < len(id); i += 8 {
		n := rand.Uint64() | 1 // neither id may be all zeros
		for j := range 8 {
			id[i+j] = byte(n >> (8 * j))
		}
	}
	out = append(out, "00-"...)
	out = hex.AppendEncode(out, id[:16])
	out = append(out, '-')
	out = hex.AppendEncode(out, id[16:])
	return append(out, "-00"...)
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

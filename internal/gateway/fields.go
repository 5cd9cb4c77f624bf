package gateway

import "unsafe"

// fieldID names the header fields that mean something to the gateway.
type fieldID uint8

const (
	other fieldID = iota
	hHost
	hContentLength
	hTransferEncoding
	hConnection
	hUpgrade
	hExpect
	hTE
	hHopByHop // dropped without being looked at
	hForwarded
	hForwardedFor
	hForwardedHost
	hForwardedProto
	hTraceparent
	hTracestate
	hDate
	hIdempotencyKey
	hTimeoutMs // how long the caller waits: see timeoutField
	hFunction  // which function of an application answered
	hPrefer    // whether the caller waits
)

type knownField struct {
	name string
	id   fieldID
}

// knownFields is indexed by the length of the name.
var knownFields = [26][]knownField{
	2:  {{"te", hTE}},
	4:  {{"host", hHost}, {"date", hDate}},
	6:  {{"expect", hExpect}, {"prefer", hPrefer}},
	7:  {{"upgrade", hUpgrade}},
	9:  {{"forwarded", hForwarded}},
	10: {{"connection", hConnection}, {"keep-alive", hHopByHop}, {"tracestate", hTracestate}},
	11: {{"traceparent", hTraceparent}},
	14: {{"content-length", hContentLength}, {"http2-settings", hHopByHop}},
	15: {{"x-forwarded-for", hForwardedFor}, {"idempotency-key", hIdempotencyKey}},
	16: {{"x-forwarded-host", hForwardedHost}, {"proxy-connection", hHopByHop}},
	17: {{"transfer-encoding", hTransferEncoding}, {"x-forwarded-proto", hForwardedProto}, {"x-idempotency-key", hIdempotencyKey}},
	18: {{"proxy-authenticate", hHopByHop}},
	19: {{"proxy-authorization", hHopByHop}},
	23: {{"x-openfunction-function", hFunction}},
	25: {{"x-openfunction-timeout-ms", hTimeoutMs}},
}

func identify(name []byte) fieldID {
	if len(name) >= len(knownFields) {
		return other
	}
	for _, k := range knownFields[len(name)] {
		if equalFold(name, k.name) {
			return k.id
		}
	}
	return other
}

// equalFold compares a token with a lower-case name.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		if lowerByte(b[i]) != lower[i] {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// tokenByte tells which bytes a token of RFC 9110 may have.
var tokenByte = makeTokenTable()

func makeTokenTable() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}

// isToken reports whether b is a token.
func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenByte[c] {
			return false
		}
	}
	return len(b) > 0
}

// str views bytes as a string without copying. The string is valid only as long as the bytes do not change.
func str(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

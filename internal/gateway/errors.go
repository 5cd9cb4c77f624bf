package gateway

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/openfunction/ofn/internal/activator"
)

// problem is what the caller of a function is told when the gateway answers in its place.
type problem struct {
	code   int
	text   string
	reason string // one word, for metrics
	// retryAfter in seconds is sent when not zero.
	retryAfter int
}

// Error is what the caller is told.
func (p *problem) Error() string { return p.text }

func malformed(text string) *problem {
	return &problem{code: http.StatusBadRequest, text: "malformed request: " + text, reason: "malformed"}
}

// What is wrong with a message. The text is also used for bad answers of a copy, which become a 502.
var (
	errBareLF        = malformed("a line does not end with CR LF")
	errStartLine     = malformed("the first line is not METHOD TARGET HTTP/1.1")
	errFolded        = malformed("a header line begins with white space")
	errFieldName     = malformed("a header line has no valid name directly before its colon")
	errFieldValue    = malformed("a header value contains a control character")
	errTarget        = malformed("the request target is not a path, an http URL or *")
	errHost          = malformed("HTTP/1.1 needs exactly one valid Host header")
	errLength        = malformed("Content-Length is not one decimal number")
	errBothLengths   = malformed("Content-Length and Transfer-Encoding exclude one another")
	errEncoding10    = malformed("HTTP/1.0 knows no Transfer-Encoding")
	errChunk         = malformed("a chunk is not well formed")
	errTrailer       = malformed("a trailer line is not well formed")
	errTooManyFields = &problem{code: http.StatusRequestHeaderFieldsTooLarge, text: "the request has too many header lines", reason: "malformed"}
	errHeadTooLarge  = &problem{code: http.StatusRequestHeaderFieldsTooLarge, text: "the request header is too large", reason: "malformed"}
	errTargetTooLong = &problem{code: http.StatusRequestURITooLong, text: "the request target is too long", reason: "malformed"}
	errEncoding      = &problem{code: http.StatusNotImplemented, text: "the only Transfer-Encoding known here is chunked", reason: "malformed"}
	errVersion       = &problem{code: http.StatusHTTPVersionNotSupported, text: "the HTTP version is not supported", reason: "malformed"}
	errConnect       = &problem{code: http.StatusNotImplemented, text: "CONNECT is not supported", reason: "malformed"}
	errExpect        = &problem{code: http.StatusExpectationFailed, text: "the only expectation known here is 100-continue", reason: "malformed"}
)

// errReserved hides the paths that a framework keeps for the platform.
var errReserved = &problem{code: http.StatusNotFound, text: "not found", reason: "reserved"}

// Why a connection was interrupted.
var (
	errIdle       = errors.New("the connection was idle too long")
	errClientGone = errors.New("the client went away")
	errStopping   = errors.New("the gateway is stopping")
	errSlowHead   = &problem{code: http.StatusRequestTimeout, text: "the request header did not arrive in time", reason: "slow"}
	errSlowBody   = &problem{code: http.StatusRequestTimeout, text: "the request body stopped arriving", reason: "slow"}
	errSlowReader = errors.New("the client stopped reading")
	errDeadline   = &problem{code: http.StatusGatewayTimeout, text: "the function did not answer in time", reason: "timeout"}
)

var (
	errNoBackend = &problem{code: http.StatusServiceUnavailable, text: "no revision of this function takes traffic yet", reason: "no-backend", retryAfter: 1}
	errNoRule    = &problem{code: http.StatusNotFound, text: "no route of this host matches the path", reason: "no-route"}
	errNoHost    = &problem{code: http.StatusNotFound, text: "no function is served under this host", reason: "no-route"}
)

// asProblem decides what the caller is told about err. What is not the caller's business stays inside.
func asProblem(err error) *problem {
	var p *problem
	var failed *activator.FailedError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &failed):
		return &problem{code: http.StatusServiceUnavailable, text: failed.Error(), reason: "failed", retryAfter: 5}
	case errors.Is(err, activator.ErrQueueFull), errors.Is(err, activator.ErrClosed):
		return &problem{code: http.StatusServiceUnavailable, text: err.Error(), reason: "queue-full", retryAfter: 1}
	case errors.Is(err, activator.ErrOverload):
		return &problem{code: http.StatusTooManyRequests, text: activator.ErrOverload.Error(), reason: "overload", retryAfter: 1}
	case errors.Is(err, activator.ErrTimeout):
		return &problem{code: http.StatusGatewayTimeout, text: activator.ErrTimeout.Error(), reason: "timeout"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return errDeadline
	case errors.Is(err, errStopping):
		return &problem{code: http.StatusServiceUnavailable, text: errStopping.Error(), reason: "stopping", retryAfter: 1}
	case errors.Is(err, errBadAnswer):
		return &problem{code: http.StatusBadGateway, text: err.Error(), reason: "bad-answer"}
	}
	return &problem{code: http.StatusBadGateway, text: "the copy of the function broke off before it answered", reason: "broken"}
}

// errBadAnswer is wrapped by what is wrong with the answer of a copy.
var errBadAnswer = errors.New("the function's answer is not valid HTTP")

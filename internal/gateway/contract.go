package gateway

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// What the gateway and the functions frameworks say to one another: framework/contract.md.

// timeoutField tells a copy how long its caller waits from now on, in milliseconds: relative, so that no clocks are compared.
const timeoutField = "X-Openfunction-Timeout-Ms"

// functionField is how a copy that serves several functions says which one answered. It is counted and goes no further.
const functionField = "X-Openfunction-Function"

// maxTimeoutDigits keeps what a client says within an int64.
const maxTimeoutDigits = 12

// parseTimeout reads a client's timeout in milliseconds; 0 is none, or not one.
func parseTimeout(v []byte) int64 {
	if len(v) == 0 || len(v) > maxTimeoutDigits {
		return 0
	}
	n, err := strconv.ParseUint(str(v), 10, 63)
	if err != nil || v[0] == '+' {
		return 0
	}
	return int64(n)
}

// timeLeft is what a copy is told: the shorter of what is left of the request's own time and what the client says; 0 is nothing.
func timeLeft(deadline, now time.Time, client int64) int64 {
	if deadline.IsZero() {
		return client
	}
	left := max(deadline.Sub(now).Milliseconds(), 1)
	if client > 0 {
		return min(left, client)
	}
	return left
}

// reserved reports whether the path, as the copy would get it, is one of those that frameworks keep for the platform.
func (e *entry) reserved(path string) bool {
	if w := e.rule.filters.Rewrite; w != nil {
		path = e.newPath(w.Path, path)
	}
	if strings.Contains(path, "%") {
		if plain, err := url.PathUnescape(path); err == nil {
			path = plain
		}
	}
	return strings.HasPrefix(path, "/_ofn/")
}

package calls

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What a request says of how it is to be called. Durations are Go's ("90s", "1h30m") or whole seconds.
const (
	HeaderDelay         = "X-Openfunction-Delay"           // before the first attempt
	HeaderNotBefore     = "X-Openfunction-Not-Before"      // RFC 3339, or a date of HTTP
	HeaderMaxAge        = "X-Openfunction-Max-Age"         // a call that is older is not begun any more
	HeaderAttempts      = "X-Openfunction-Attempts"        // in all
	HeaderRetryOn       = "X-Openfunction-Retry-On"        // "429, 5xx" or "none"
	HeaderRetryDelay    = "X-Openfunction-Retry-Delay"     // after the first attempt, doubled after each
	HeaderRetryMaxDelay = "X-Openfunction-Retry-Max-Delay" // at most
	HeaderTimeout       = "X-Openfunction-Timeout-Ms"      // of one attempt, in milliseconds
	HeaderOnSuccess     = "X-Openfunction-On-Success"      // what ParseDestination reads
	HeaderOnFailure     = "X-Openfunction-On-Failure"
	HeaderKey           = "Idempotency-Key"
)

// What a function is told of the call that it gets.
const (
	HeaderID      = "X-Openfunction-Call-Id"
	HeaderAttempt = "X-Openfunction-Call-Attempt" // from 1
)

// FromRequest reads the headers of an asynchronous request to a function into a call, all but its body.
func FromRequest(r *http.Request, function Name, now time.Time) (Call, error) {
	c := Call{Function: function, Host: r.Host, Method: r.Method, Path: r.URL.RequestURI(), Header: kept(r.Header), Key: r.Header.Get(HeaderKey)}
	if c.Method == "" {
		c.Method = http.MethodGet
	}
	p := &fieldParser{header: r.Header}
	if delay := p.duration(HeaderDelay); delay > 0 {
		c.NotBefore = now.Add(delay)
	}
	if at := p.time(HeaderNotBefore); !at.IsZero() {
		if !c.NotBefore.IsZero() {
			p.fail(HeaderNotBefore, "%s is given too: give one of them", HeaderDelay)
		}
		c.NotBefore = at
	}
	c.MaxAge = p.duration(HeaderMaxAge)
	c.Policy.Attempts = p.number(HeaderAttempts, maxAttempts)
	c.Policy.Initial, c.Policy.Max = p.duration(HeaderRetryDelay), p.duration(HeaderRetryMaxDelay)
	c.Deadline = time.Duration(p.number(HeaderTimeout, int(maxDelay/time.Millisecond))) * time.Millisecond
	if v := p.value(HeaderRetryOn); v != "" {
		statuses, err := ParseStatuses(v)
		p.note(HeaderRetryOn, err)
		c.Policy.Retry = statuses
	}
	c.OnSuccess = p.destination(HeaderOnSuccess, function.Namespace)
	c.OnFailure = p.destination(HeaderOnFailure, function.Namespace)
	if p.err != nil {
		return Call{}, p.err
	}
	return c, c.check(now)
}

// fieldParser keeps the first error.
type fieldParser struct {
	header http.Header
	err    error
}

func (p *fieldParser) note(name string, err error) {
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("%s: %w", name, err)
	}
}

func (p *fieldParser) fail(name, format string, args ...any) { p.note(name, invalid(format, args...)) }

func (p *fieldParser) value(name string) string {
	values := p.header.Values(name)
	if len(values) > 1 {
		p.fail(name, "it is given %d times", len(values))
	}
	if len(values) == 0 {
		return ""
	}
	return strings.TrimSpace(values[0])
}

func (p *fieldParser) duration(name string) time.Duration {
	v := p.value(name)
	if v == "" {
		return 0
	}
	d, err := ParseDuration(v)
	p.note(name, err)
	return d
}

// ParseDuration reads "90s", "1h30m" and whole seconds; a duration is not negative and at most a year.
func ParseDuration(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if n, bad := strconv.ParseUint(v, 10, 31); bad == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > maxDelay {
		return 0, invalid("%q is not a duration up to a year, such as 90s or 1h30m", v)
	}
	return d, nil
}

func (p *fieldParser) time(name string) time.Time {
	v := p.value(name)
	if v == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		t, err = http.ParseTime(v)
	}
	if err != nil {
		p.fail(name, "%q is not a time such as 2030-01-31T08:00:00Z", v)
	}
	return t
}

func (p *fieldParser) number(name string, most int) int {
	v := p.value(name)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		p.fail(name, "%q is not a number from 1 to %d", v, most)
	}
	return n
}

func (p *fieldParser) destination(name, namespace string) *Destination {
	v := p.value(name)
	if v == "" {
		return nil
	}
	d, err := ParseDestination(v, namespace)
	p.note(name, err)
	return d
}

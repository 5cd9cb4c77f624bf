package calls

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// The defaults of Policy.
const (
	DefaultAttempts = 10
	defaultInitial  = 200 * time.Millisecond
	defaultMax      = time.Minute
	// maxRetryAfter bounds what an answer can ask for.
	maxRetryAfter = time.Hour
)

// Statuses is a set of HTTP statuses: single ones, and classes as their first digit.
type Statuses []int

// DefaultRetry are the answers that may be others the next time: the function is not there yet, timed out, conflicted, is
// overloaded, or failed.
func DefaultRetry() Statuses { return Statuses{404, 408, 409, 429, 5} }

// ParseStatuses reads "429, 5xx". "none" is the empty set.
func ParseStatuses(s string) (Statuses, error) {
	out := Statuses{}
	if strings.EqualFold(strings.TrimSpace(s), "none") {
		return out, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		class, isClass := strings.CutSuffix(part, "xx")
		n, err := strconv.Atoi(class)
		if err != nil || isClass && (n < 3 || n > 5) || !isClass && (n < 300 || n > 599) {
			return nil, invalid("%q is not a list of statuses that are no success, such as 404, 429, 5xx", s)
		}
		if len(out) == 32 {
			return nil, invalid("more than 32 statuses")
		}
		out = append(out, n)
	}
	return out, nil
}

// String is what ParseStatuses reads.
func (s Statuses) String() string {
	if len(s) == 0 {
		return "none"
	}
	var out []string
	for _, n := range s {
		if n < 10 {
			out = append(out, fmt.Sprintf("%dxx", n))
			continue
		}
		out = append(out, strconv.Itoa(n))
	}
	return strings.Join(out, ", ")
}

// MarshalJSON gives the String.
func (s Statuses) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads the String.
func (s *Statuses) UnmarshalJSON(data []byte) (err error) {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*s, err = ParseStatuses(text)
	return err
}

func (s Statuses) has(code int) bool { return slices.Contains(s, code) || slices.Contains(s, code/100) }

// withDefaults fills zero fields.
func (p Policy) withDefaults() Policy {
	if p.Attempts == 0 {
		p.Attempts = DefaultAttempts
	}
	if p.Initial == 0 {
		p.Initial = defaultInitial
	}
	if p.Max == 0 {
		p.Max = defaultMax
	}
	p.Initial = min(p.Initial, p.Max)
	if p.Retry == nil {
		p.Retry = DefaultRetry()
	}
	return p
}

// wait is how long to wait after the failed attempt n, counted from 1.
func (p Policy) wait(n int) time.Duration {
	d := p.Initial
	for range n - 1 {
		if d >= p.Max/2 {
			d = p.Max
			break
		}
		d *= 2
	}
	b := backoff.ExponentialBackOff{InitialInterval: d, RandomizationFactor: 0.25, Multiplier: 1, MaxInterval: p.Max}
	return min(b.NextBackOff(), p.Max)
}

// retryAfter is what an answer asks for: seconds, or a time.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

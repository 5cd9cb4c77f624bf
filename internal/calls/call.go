package calls

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Name names a function or a bus.
type Name struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String is "namespace/name".
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Call is one request to a function.
type Call struct {
	Function Name
	Host     string // under which the gateway knows the function
	Method   string
	Path     string // escaped, with its query
	Header   http.Header
	Body     []byte

	Policy    Policy
	NotBefore time.Time     // zero is at once
	MaxAge    time.Duration // from the time it is accepted, or NotBefore; a call that is older is not begun any more. 0 is no limit
	Deadline  time.Duration // of one attempt; 0 is the platform's
	// Key makes calls of one function the same call: within the window of Options the second is answered with the id of the first.
	Key string

	OnSuccess, OnFailure *Destination
}

// Policy says how often a call is tried. Waits grow from Initial by a factor of two to Max, with jitter; an answer's
// Retry-After makes them longer.
type Policy struct {
	Attempts int           `json:"attempts"` // that ended with an answer or an error; 0 is 10, 1 is no retry
	Initial  time.Duration `json:"initial"`  // 0 is 200 ms
	Max      time.Duration `json:"max"`      // 0 is 1 min
	// Retry are the answers after which it is tried again; nil is DefaultRetry.
	Retry Statuses `json:"retry,omitempty"`
}

// Destination gets word of a call that ended. Exactly one of Function, Topic and URL is set.
type Destination struct {
	Function *Name  `json:"function,omitempty"` // is sent the result as a CloudEvent in binary mode
	Path     string `json:"path,omitempty"`     // of Function; empty is /
	Topic    string `json:"topic,omitempty"`    // of Bus gets the same event
	Bus      Name   `json:"bus,omitzero"`
	URL      string `json:"url,omitempty"` // is sent a webhook with a Standard Webhooks signature
}

// String is the form that ParseDestination reads.
func (d *Destination) String() string {
	switch {
	case d == nil:
		return ""
	case d.Function != nil:
		return "function:" + d.Function.String() + d.Path
	case d.Topic != "":
		return "topic:" + d.Bus.Name + "/" + d.Topic
	}
	return d.URL
}

// ParseDestination reads "function:NAME[/PATH]", "function:NAMESPACE/NAME[/PATH]" with the namespace given, "topic:BUS/TOPIC" and
// "https://...". A name of one part, or whose first part is not the namespace, is of the namespace, so that PATH may follow it.
func ParseDestination(s, namespace string) (*Destination, error) {
	kind, rest, _ := strings.Cut(s, ":")
	switch strings.ToLower(kind) {
	case "function":
		rest = strings.TrimPrefix(rest, namespace+"/")
		name, path, below := strings.Cut(rest, "/")
		d := &Destination{Function: &Name{namespace, name}}
		if below {
			d.Path = "/" + path
		}
		return d, d.check(namespace)
	case "topic":
		bus, topic, two := strings.Cut(rest, "/")
		if !two {
			bus, topic = "default", rest
		}
		d := &Destination{Bus: Name{namespace, bus}, Topic: topic}
		return d, d.check(namespace)
	case "http", "https":
		d := &Destination{URL: s}
		return d, d.check(namespace)
	}
	return nil, invalid("destination %q: it is function:NAME[/PATH], topic:BUS/TOPIC or an https URL", s)
}

// check refuses what could not be delivered. Functions and buses are those of the namespace: the caller of one function has no
// say in other namespaces.
func (d *Destination) check(namespace string) error {
	switch {
	case d == nil:
		return nil
	case d.Function != nil:
		if !validName(d.Function.Name) || d.Function.Namespace != namespace {
			return invalid("destination %q: a function of namespace %s is needed", d, namespace)
		}
		if d.Path != "" && !validPath(d.Path) {
			return invalid("destination %q: %q is not a path", d, d.Path)
		}
	case d.Topic != "":
		if !validName(d.Bus.Name) || d.Bus.Namespace != namespace || len(d.Topic) > 200 || strings.ContainsAny(d.Topic, " *>\t\r\n\x00") {
			return invalid("destination %q: a topic of a bus of namespace %s is needed", d, namespace)
		}
	default:
		u, err := url.Parse(d.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || len(d.URL) > 2048 || u.User != nil {
			return invalid("destination %q: it is not an http URL without user and password", d.URL)
		}
	}
	return nil
}

// The bounds of one call.
const (
	maxHeader   = 32 << 10 // bytes of names and values
	maxPath     = 4 << 10
	maxKey      = 255
	maxAttempts = 100
	maxDelay    = 365 * 24 * time.Hour
)

// check refuses a call that cannot be kept or run.
func (c *Call) check(now time.Time) error {
	switch {
	case !validName(c.Function.Namespace) || !validName(c.Function.Name):
		return invalid("%q is not the name of a function", c.Function)
	case c.Host == "":
		return invalid("the call of %s has no host", c.Function)
	case !validMethod(c.Method):
		return invalid("%q is not a method", c.Method)
	case !validPath(c.Path):
		return invalid("%q is not a path", c.Path)
	case headerSize(c.Header) > maxHeader:
		return fmt.Errorf("%w: the header has more than %d bytes", ErrTooLarge, maxHeader)
	case !validHeader(c.Header):
		return invalid("the header has a field that is not one of HTTP")
	case len(c.Key) > maxKey:
		return invalid("the idempotency key is longer than %d bytes", maxKey)
	case c.Policy.Attempts < 0 || c.Policy.Attempts > maxAttempts:
		return invalid("%d attempts: it is 1 to %d", c.Policy.Attempts, maxAttempts)
	case c.Policy.Initial < 0 || c.Policy.Max < 0 || c.MaxAge < 0 || c.Deadline < 0:
		return invalid("a duration is negative")
	case c.NotBefore.After(now.Add(maxDelay)):
		return invalid("the start at %s is more than %d days from now", c.NotBefore.Format(time.RFC3339), int(maxDelay.Hours()/24))
	}
	if err := c.OnSuccess.check(c.Function.Namespace); err != nil {
		return err
	}
	return c.OnFailure.check(c.Function.Namespace)
}

func headerSize(h http.Header) (n int) {
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}

func validHeader(h http.Header) bool {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			return false
		}
	}
	return true
}

// validName accepts the labels of DNS, of which objects are named.
func validName(s string) bool {
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.')
	})
}

func validMethod(s string) bool {
	return s != "" && len(s) <= 32 && s != http.MethodConnect && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("()<>@,;:\\\"/[]?={}", r)
	})
}

func validPath(s string) bool {
	return strings.HasPrefix(s, "/") && len(s) <= maxPath && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == '#'
	})
}

// notKept are the fields of a request that are of its connection, or of its asynchrony, and no part of the call.
var notKept = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Http2-Settings", "Expect", "Content-Length", "Prefer", "Host",
	HeaderDelay, HeaderNotBefore, HeaderMaxAge, HeaderAttempts, HeaderRetryOn, HeaderRetryDelay, HeaderRetryMaxDelay, HeaderTimeout,
	HeaderOnSuccess, HeaderOnFailure, HeaderID, HeaderAttempt}

// kept is the part of h that belongs to a call.
func kept(h http.Header) http.Header {
	drop := slices.Clone(notKept)
	for _, v := range h.Values("Connection") {
		for name := range strings.SplitSeq(v, ",") {
			drop = append(drop, strings.TrimSpace(name))
		}
	}
	out := h.Clone()
	for _, name := range drop {
		out.Del(name)
	}
	return out
}

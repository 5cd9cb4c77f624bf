package gateway

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// Table is an immutable set of routes, ordered so that the first match is the right one.
type Table struct {
	exact map[string][]*entry
	// below holds "example" for the host "*.example", and "" for "*".
	below map[string][]*entry
}

// entry is one match of one rule.
type entry struct {
	match   Match
	path    *regexp.Regexp // of a RegularExpression
	headers []valueMatch
	query   []valueMatch
	rule    *rule
	order   int
}

type valueMatch struct {
	name  string // lower case for headers
	value string
	exp   *regexp.Regexp
}

// rule is a Rule made ready.
type rule struct {
	namespace, function string

	filters  Filters
	timeout  time.Duration
	backends []backend
	total    uint32
}

type backend struct {
	revision *activator.Revision
	label    string // namespace/name
	upto     uint32 // sum of the weights up to here
}

// NewTable checks routes and makes them ready. All errors are reported together.
func NewTable(routes []Route) (*Table, error) {
	var errs []error
	hosts := map[string][]*entry{} // by Route.Hosts, lower case
	order := 0
	for i := range routes {
		for j := range routes[i].Rules {
			r, err := newRule(&routes[i], &routes[i].Rules[j])
			if err != nil {
				errs = append(errs, fmt.Errorf("route %d rule %d: %w", i, j, err))
				continue
			}
			matches := routes[i].Rules[j].Matches
			if len(matches) == 0 {
				matches = []Match{{}}
			}
			for k, m := range matches {
				e, err := newEntry(m, r)
				if err != nil {
					errs = append(errs, fmt.Errorf("route %d rule %d match %d: %w", i, j, k, err))
					continue
				}
				e.order = order
				order++
				for _, h := range routes[i].Hosts {
					h = strings.TrimSuffix(strings.ToLower(h), ".")
					hosts[h] = append(hosts[h], e)
				}
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return arrange(hosts)
}

// arrange sorts the entries of each host and appends those of the wildcards above it, nearest first.
func arrange(hosts map[string][]*entry) (*Table, error) {
	for h, es := range hosts {
		slices.SortStableFunc(es, precedence)
		if strings.Contains(strings.TrimPrefix(h, "*"), "*") || h == "" || len(h) > 1 && h[0] == '*' && h[1] != '.' {
			return nil, fmt.Errorf("host %q: a wildcard is the whole first label, as in *.example", h)
		}
	}
	t := &Table{exact: map[string][]*entry{}, below: map[string][]*entry{}}
	for h, es := range hosts {
		all := slices.Clone(es)
		for up := h; up != "*"; {
			up = parent(up)
			all = append(all, hosts[up]...)
		}
		switch {
		case h == "*":
			t.below[""] = all
		case h[0] == '*':
			t.below[h[2:]] = all
		default:
			t.exact[h] = all
		}
	}
	return t, nil
}

// parent is the next wider wildcard: "*.b.c" of "a.b.c", "*.c" of "*.b.c", "*" at the end.
func parent(h string) string {
	_, rest, ok := strings.Cut(strings.TrimPrefix(h, "*."), ".")
	if !ok {
		return "*"
	}
	return "*." + rest
}

func newRule(of *Route, in *Rule) (*rule, error) {
	r := &rule{namespace: of.Namespace, function: of.Function, filters: in.Filters, timeout: in.Timeout}
	for _, b := range in.Backends {
		if b.Revision == nil || b.Weight < 0 || b.Weight > 1e6 {
			return nil, fmt.Errorf("backend %q: needs a revision and a weight of 0 to 1000000", b.Tag)
		}
		if b.Weight == 0 {
			continue
		}
		o := b.Revision.Options()
		r.total += uint32(b.Weight)
		r.backends = append(r.backends, backend{b.Revision, o.Namespace + "/" + o.Name, r.total})
	}
	f := &in.Filters
	return r, errors.Join(checkHeaders(f.Request), checkHeaders(f.Response), f.Redirect.check(), f.Rewrite.check())
}

func (d *Redirect) check() error {
	switch {
	case d == nil:
		return nil
	case d.Code != 0 && (d.Code < 300 || d.Code > 399):
		return fmt.Errorf("redirect code %d: must be 3xx", d.Code)
	case !validHost([]byte(d.Hostname)) || d.Scheme != "" && !isToken([]byte(d.Scheme)):
		return fmt.Errorf("redirect to %q %q: not a valid scheme and host", d.Scheme, d.Hostname)
	}
	return d.Path.check()
}

func (w *Rewrite) check() error {
	switch {
	case w == nil:
		return nil
	case !validHost([]byte(w.Hostname)):
		return fmt.Errorf("rewrite to host %q: not a valid host", w.Hostname)
	}
	return w.Path.check()
}

// check refuses what would end the request line early.
func (m *PathModifier) check() error {
	if m == nil {
		return nil
	}
	for _, c := range []byte(m.Value) {
		if c <= ' ' || c == 0x7f || c == '#' || c == '?' {
			return fmt.Errorf("path %q: must be escaped", m.Value)
		}
	}
	return nil
}

// checkHeaders refuses what would break the framing of a message.
func checkHeaders(f HeaderFilter) error {
	for _, h := range slices.Concat(f.Set, f.Add) {
		if !isToken([]byte(h.Name)) || strings.ContainsAny(h.Value, "\r\n\x00") {
			return fmt.Errorf("header %q: not a valid name and value", h.Name)
		}
		switch id := identify([]byte(h.Name)); id {
		case hContentLength, hTransferEncoding, hConnection, hUpgrade, hTE, hHopByHop:
			return fmt.Errorf("header %q: belongs to the connection and cannot be set", h.Name)
		}
	}
	return nil
}

func newEntry(m Match, r *rule) (*entry, error) {
	e := &entry{match: m, rule: r}
	var err error
	switch m.Path.Type {
	case "", PathPrefix:
		e.match.Path.Type = PathPrefix
		e.match.Path.Value = strings.TrimRight(m.Path.Value, "/")
	case Exact:
	case RegularExpression:
		if e.path, err = regexp.Compile("^(?:" + m.Path.Value + ")$"); err != nil {
			return nil, fmt.Errorf("path: %w", err)
		}
	default:
		return nil, fmt.Errorf("path: unknown match type %q", m.Path.Type)
	}
	if e.headers, err = newValues(m.Headers); err != nil {
		return nil, fmt.Errorf("header %w", err)
	}
	for i := range e.headers {
		e.headers[i].name = strings.ToLower(e.headers[i].name)
	}
	if e.query, err = newValues(m.Query); err != nil {
		return nil, fmt.Errorf("query parameter %w", err)
	}
	return e, nil
}

func newValues(in []ValueMatch) ([]valueMatch, error) {
	out := make([]valueMatch, 0, len(in))
	for _, v := range in {
		m := valueMatch{name: v.Name, value: v.Value}
		switch v.Type {
		case "", Exact:
		case RegularExpression:
			exp, err := regexp.Compile("^(?:" + v.Value + ")$")
			if err != nil {
				return nil, fmt.Errorf("%q: %w", v.Name, err)
			}
			m.exp = exp
		default:
			return nil, fmt.Errorf("%q: unknown match type %q", v.Name, v.Type)
		}
		out = append(out, m)
	}
	return out, nil
}

// precedence is that of the Gateway API: the kind of path match, its length, a method, the number of headers and query
// parameters, and then the order in which they were given.
func precedence(a, b *entry) int {
	rank := func(e *entry) int {
		switch e.match.Path.Type {
		case Exact:
			return 0
		case RegularExpression:
			return 1
		}
		return 2
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	if d := len(b.match.Path.Value) - len(a.match.Path.Value); d != 0 {
		return d
	}
	if (a.match.Method != "") != (b.match.Method != "") {
		if a.match.Method != "" {
			return -1
		}
		return 1
	}
	if d := len(b.headers) - len(a.headers); d != 0 {
		return d
	}
	if d := len(b.query) - len(a.query); d != 0 {
		return d
	}
	return a.order - b.order
}

// pick draws a backend by weight, nil when there is none.
func (r *rule) pick() *backend {
	switch len(r.backends) {
	case 0:
		return nil
	case 1:
		return &r.backends[0]
	}
	n := rand.Uint32N(r.total)
	for i := range r.backends {
		if n < r.backends[i].upto {
			return &r.backends[i]
		}
	}
	return nil
}

// code is the status of a redirect.
func (d *Redirect) code() int {
	if d.Code == 0 {
		return http.StatusFound
	}
	return d.Code
}

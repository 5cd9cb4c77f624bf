package gateway

import (
	"net/url"
	"strconv"
	"strings"
)

// asked is what routing looks at, the same for every protocol.
type asked struct {
	host, path, query, method string
	header                    interface {
		lookup(lowerName string) (string, bool)
	}
}

// find gives the entry for a request, or the problem.
func (t *Table) find(a *asked) (*entry, *problem) {
	var scratch [256]byte
	entries := t.host(hostname(a.host, scratch[:0]))
	if entries == nil {
		return nil, errNoHost
	}
	path := a.path
	if strings.IndexByte(path, '%') >= 0 {
		if p, err := url.PathUnescape(path); err == nil {
			path = p
		}
	}
	for _, e := range entries {
		if e.fits(a, path) {
			return e, nil
		}
	}
	return nil, errNoRule
}

// host finds the entries of a host name in lower case.
func (t *Table) host(name []byte) []*entry {
	if es, ok := t.exact[string(name)]; ok {
		return es
	}
	for i, c := range name {
		if c == '.' {
			if es, ok := t.below[string(name[i+1:])]; ok {
				return es
			}
		}
	}
	return t.below[""]
}

// hostname takes port and final dot off and makes it lower case, in scratch where it fits.
func hostname(host string, scratch []byte) []byte {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	for i := range len(host) {
		scratch = append(scratch, lowerByte(host[i]))
	}
	return scratch
}

func (e *entry) fits(a *asked, path string) bool {
	return e.fitsPath(path) &&
		(e.match.Method == "" || e.match.Method == a.method) &&
		(len(e.headers) == 0 || e.fitsHeaders(a)) &&
		(len(e.query) == 0 || e.fitsQuery(a))
}

func (e *entry) fitsPath(path string) bool {
	v := e.match.Path.Value
	switch e.match.Path.Type {
	case Exact:
		return path == v
	case RegularExpression:
		return e.path.MatchString(path)
	}
	return v == "" || strings.HasPrefix(path, v) && (len(path) == len(v) || path[len(v)] == '/')
}

func (e *entry) fitsHeaders(a *asked) bool {
	for i := range e.headers {
		v, ok := a.header.lookup(e.headers[i].name)
		if !ok || !e.headers[i].fits(v) {
			return false
		}
	}
	return true
}

func (e *entry) fitsQuery(a *asked) bool {
	values, err := url.ParseQuery(a.query)
	if err != nil {
		return false
	}
	for i := range e.query {
		v, ok := values[e.query[i].name]
		if !ok || !e.query[i].fits(v[0]) {
			return false
		}
	}
	return true
}

func (v *valueMatch) fits(s string) bool {
	if v.exp != nil {
		return v.exp.MatchString(s)
	}
	return v.value == s
}

// newPath applies a modifier to the path as it came, escapes included.
func (e *entry) newPath(m *PathModifier, raw string) string {
	if m == nil {
		return raw
	}
	if !m.ReplacePrefix {
		return slashed(m.Value)
	}
	rest := raw[rawPrefix(raw, len(e.match.Path.Value)):]
	path := strings.TrimSuffix(m.Value, "/") + rest
	return slashed(path)
}

// rawPrefix is the length in raw of its first n decoded bytes.
func rawPrefix(raw string, n int) int {
	i := 0
	for ; n > 0 && i < len(raw); n-- {
		if raw[i] == '%' && i+2 < len(raw) {
			i += 2
		}
		i++
	}
	return i
}

func slashed(path string) string {
	if !strings.HasPrefix(path, "/") {
		return "/" + path
	}
	return path
}

// location is where a redirect points to. host is as the client sent it.
func (e *entry) location(d *Redirect, scheme, host, path, query string) string {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		name, port = host[:i], host[i:]
	}
	if d.Hostname != "" {
		name = d.Hostname
	}
	if d.Scheme != "" {
		scheme, port = d.Scheme, ""
	}
	if d.Port != 0 && !(scheme == "http" && d.Port == 80 || scheme == "https" && d.Port == 443) {
		port = ":" + strconv.Itoa(d.Port)
	} else if d.Port != 0 {
		port = ""
	}
	to := scheme + "://" + name + port + e.newPath(d.Path, path)
	if query != "" {
		to += "?" + query
	}
	return to
}

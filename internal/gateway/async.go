package gateway

import (
	"net/http"
	"net/url"
	"strings"
)

// Async takes requests that nobody waits for. What it is asked is received by net/http, whatever the protocol.
type Async interface {
	// Accept answers in place of a function that the table knows. Host and path of r are those that lead to it.
	Accept(w http.ResponseWriter, r *http.Request, namespace, function string)
	// Call answers what is asked of calls that were accepted, below callsPrefix. Under the host of a function, only its own are meant;
	// under hosts that lead nowhere, namespace and function are empty.
	Call(w http.ResponseWriter, r *http.Request, namespace, function string)
	// Host is a name under which the table knows a function, if it does.
	Host(namespace, function string) string
}

const (
	// callsPrefix is served under every host: a function never has it, because it is below the reserved paths.
	callsPrefix = "/_ofn/calls/"
	// asyncPrefix is served under hosts that lead to no function.
	asyncPrefix = "/async/"
	// asyncNamespace is that of functions which are named alone.
	asyncNamespace = "default"
)

// respondAsync is the preference of RFC 7240 for an answer before the work is done.
const respondAsync = "respond-async"

// prefersAsync reads one value of Prefer.
func prefersAsync(v []byte) (yes bool) {
	eachToken(v, func(t []byte) {
		for i, c := range t {
			if c == ';' || c == ' ' || c == '\t' {
				t = t[:i]
				break
			}
		}
		yes = yes || equalFold(t, respondAsync)
	})
	return yes
}

// callPrefersAsync reads a request of net/http.
func callPrefersAsync(r *http.Request) bool {
	return len(r.Header["Prefer"]) > 0 && r.Header.Get("Upgrade") == "" && prefersAsync([]byte(strings.Join(r.Header["Prefer"], ",")))
}

// async reports whether a request is one for net/http and Async: p is why it leads to no function, nil when it does.
func (g *Gateway) async(path string, preferred bool, e *entry, p *problem) bool {
	switch {
	case g.opt.Async == nil:
		return false
	case strings.HasPrefix(path, callsPrefix):
		return p != errNoRule
	case p != nil:
		return p == errNoHost && strings.HasPrefix(path, asyncPrefix)
	}
	return preferred && e.rule.function != "" && e.rule.filters.Redirect == nil
}

// serveAsync answers what async reports.
func (h *httpSide) serveAsync(w http.ResponseWriter, r *http.Request, e *entry, path string) {
	a := h.s.g.opt.Async
	switch {
	case e == nil && strings.HasPrefix(path, asyncPrefix):
		h.asyncByName(w, r, strings.TrimPrefix(path, asyncPrefix))
	case strings.HasPrefix(path, callsPrefix) && e == nil:
		a.Call(w, r, "", "")
	case strings.HasPrefix(path, callsPrefix) && e.rule.function != "":
		a.Call(w, r, e.rule.namespace, e.rule.function)
	case e.rule.function == "" || e.reserved(path):
		h.refuse(w, errReserved)
	default:
		a.Accept(w, r, e.rule.namespace, e.rule.function)
	}
}

// asyncByName accepts FUNCTION or NAMESPACE/FUNCTION[/PATH].
func (h *httpSide) asyncByName(w http.ResponseWriter, r *http.Request, rest string) {
	namespace, function := asyncNamespace, strings.TrimSuffix(rest, "/")
	path := "/"
	if i := strings.IndexByte(function, '/'); i >= 0 {
		namespace = rest[:i]
		var below string
		function, below, _ = strings.Cut(rest[i+1:], "/")
		path += below
	}
	plain, err := url.PathUnescape(path)
	if err != nil || strings.ContainsRune(namespace+function, '%') {
		h.refuse(w, errTarget)
		return
	}
	to := r.Clone(r.Context())
	to.Host = h.s.g.opt.Async.Host(namespace, function)
	to.URL.Path, to.URL.RawPath, to.URL.Opaque, to.URL.Host = plain, path, "", ""
	asks := asked{host: to.Host, path: path, query: r.URL.RawQuery, method: r.Method, header: httpHeader(r.Header)}
	e, p := h.s.g.table.Load().find(&asks)
	switch {
	case p != nil:
		h.refuse(w, p)
	case e.reserved(path) || e.rule.function == "":
		h.refuse(w, errReserved)
	default:
		h.s.g.opt.Async.Accept(w, to, e.rule.namespace, e.rule.function)
	}
}

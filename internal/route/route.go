// Package route says how requests reach a function: the types a controller hands to a router. The routers are siblings
// (embedded for one machine, gatewayapi for a cluster) that never import one another.
package route

import "time"

// Key names the function a route leads to.
type Key struct{ Namespace, Name string }

// Route is everything that leads to one function.
type Route struct {
	Key
	// Hosts are exact names or "*.suffix" wildcards, lower case, without port.
	Hosts []string
	// Rules are tried by the precedence of the Gateway API's HTTPRoute.
	Rules []Rule
	// Backends share the requests that match by weight.
	Backends []Backend
	// Tags are hosts of their own that lead to one revision each, whatever the weights.
	Tags []Tag
}

// Rule is one HTTPRoute rule. No match means every request.
type Rule struct {
	Matches []Match
	Filters []Filter
	Timeout time.Duration // 0 is the revision's own
}

// Match is met when all its parts are.
type Match struct {
	Path    PathMatch
	Method  string // empty is any
	Headers []ValueMatch
	Query   []ValueMatch
}

// PathMatch is "Exact", "PathPrefix" or "RegularExpression" on the request path.
type PathMatch struct{ Type, Value string }

// ValueMatch is "Exact" or "RegularExpression" on a header or query parameter.
type ValueMatch struct{ Type, Name, Value string }

// Filter changes a request or its response; exactly one field is set.
type Filter struct {
	RequestHeaders  *HeaderFilter
	ResponseHeaders *HeaderFilter
	Redirect        *Redirect
	Rewrite         *Rewrite
}

// HeaderFilter changes headers: first Remove, then Set, then Add.
type HeaderFilter struct {
	Set, Add []Header
	Remove   []string
}

// Header is one header field.
type Header struct{ Name, Value string }

// Redirect answers the request at once. Empty parts are those of the request.
type Redirect struct {
	Scheme, Hostname string
	Path             *PathModifier
	Port             int
	Status           int // 301, 302, 303, 307 or 308; 302 when 0
}

// Rewrite changes what the function sees.
type Rewrite struct {
	Hostname string
	Path     *PathModifier
}

// PathModifier is "ReplaceFullPath" or "ReplacePrefixMatch".
type PathModifier struct{ Type, Value string }

// Backend is a revision (the name of its Serving, in the namespace of the function) and its share.
type Backend struct {
	Revision string
	Weight   int
}

// Tag gives a revision hosts of its own.
type Tag struct {
	Name     string
	Revision string
	Hosts    []string
}

// Router puts routes into effect. Both methods are idempotent and return once the change is in effect.
type Router interface {
	Set(r Route) error
	Delete(k Key) error
}

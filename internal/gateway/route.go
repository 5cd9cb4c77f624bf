package gateway

import (
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// Route gives rules to hosts. Several routes may name the same host; their rules are then taken together.
type Route struct {
	// Hosts are names without port: "a.example", "*.example" for everything below example, "*" for every host.
	Hosts []string
	Rules []Rule
	// Namespace and Function are what the rules lead to, for requests that Async takes. Without them there are none.
	Namespace, Function string
}

// Rule sends requests that fit one of Matches to Backends. No match at all fits everything.
type Rule struct {
	Matches  []Match
	Filters  Filters
	Timeout  time.Duration // of the whole request, its wait included; 0 is that of the revision or the gateway
	Backends []Backend
}

// Match is a conjunction. Zero fields fit everything.
type Match struct {
	Path    PathMatch
	Method  string
	Headers []ValueMatch
	Query   []ValueMatch
}

// MatchType says how a value is compared.
type MatchType string

// The types of match, named as in the Gateway API.
const (
	Exact             MatchType = "Exact"
	PathPrefix        MatchType = "PathPrefix" // by whole path elements
	RegularExpression MatchType = "RegularExpression"
)

// PathMatch compares the decoded path. The zero value is every path; the zero Type is PathPrefix.
type PathMatch struct {
	Type  MatchType
	Value string
}

// ValueMatch compares a header or query parameter; Type is Exact (also when empty) or RegularExpression. Header names
// are compared without regard to case.
type ValueMatch struct {
	Type  MatchType
	Name  string
	Value string
}

// Filters change what passes.
type Filters struct {
	Request  HeaderFilter
	Response HeaderFilter
	Redirect *Redirect
	Rewrite  *Rewrite
}

// HeaderFilter changes header fields: first Remove, then Set, then Add.
type HeaderFilter struct {
	Set    []Header
	Add    []Header
	Remove []string
}

// Header is one header field.
type Header struct{ Name, Value string }

// PathModifier replaces the whole path, or the part that the rule's PathPrefix matched.
type PathModifier struct {
	ReplacePrefix bool
	Value         string
}

// Redirect answers with another URL; what is zero stays as in the request.
type Redirect struct {
	Scheme   string
	Hostname string
	Path     *PathModifier
	Port     int // 0 leaves it out when Scheme is set, and keeps it otherwise
	Code     int // 0 is 302
}

// Rewrite changes the request on its way.
type Rewrite struct {
	Hostname string
	Path     *PathModifier
}

// Backend is a revision and its share of the rule's requests.
type Backend struct {
	Revision *activator.Revision
	Weight   int    // relative; 0 gets nothing
	Tag      string // for people
}

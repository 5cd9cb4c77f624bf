package v1beta2

import (
	"fmt"
	"time"

	"github.com/openfunction/ofn/api/opaque"
)

// Types of path match.
const (
	PathMatchExact             = "Exact"
	PathMatchPrefix            = "PathPrefix"
	PathMatchRegularExpression = "RegularExpression"
)

// Types of header and query match.
const (
	MatchExact             = "Exact"
	MatchRegularExpression = "RegularExpression"
)

// Types of filter.
const (
	FilterRequestHeaderModifier  = "RequestHeaderModifier"
	FilterResponseHeaderModifier = "ResponseHeaderModifier"
	FilterRequestRedirect        = "RequestRedirect"
	FilterURLRewrite             = "URLRewrite"
	FilterRequestMirror          = "RequestMirror"
	FilterExtensionRef           = "ExtensionRef"
	FilterCORS                   = "CORS"
)

// Types of PathModifier.
const (
	ReplaceFullPath    = "ReplaceFullPath"
	ReplacePrefixMatch = "ReplacePrefixMatch"
)

// RouteRule is one rule of a Gateway API HTTPRoute.
//
// +kubebuilder:object:generate=false
type RouteRule struct {
	// Name of the rule.
	Name string `json:"name,omitempty"`
	// Matches: the rule applies to a request that meets one of them. ParseRules leaves at least one.
	Matches []RouteMatch `json:"matches,omitempty"`
	// Filters change the request or the response, in order.
	Filters []RouteFilter `json:"filters,omitempty"`
	// Timeouts of requests.
	Timeouts *RouteTimeouts `json:"timeouts,omitempty"`
	// BackendRefs are replaced by the platform.
	BackendRefs []opaque.Object `json:"backendRefs,omitempty"`
	// Retry and SessionPersistence are handed on to an implementation of the Gateway API.
	Retry *opaque.Object `json:"retry,omitempty"`
	// SessionPersistence is the section of that name.
	SessionPersistence *opaque.Object `json:"sessionPersistence,omitempty"`
}

// RouteMatch is met by a request that meets all its parts.
//
// +kubebuilder:object:generate=false
type RouteMatch struct {
	// Path of the request. ParseRules fills in the default, every path.
	Path *PathMatch `json:"path,omitempty"`
	// Headers that must match.
	Headers []NamedMatch `json:"headers,omitempty"`
	// QueryParams that must match.
	QueryParams []NamedMatch `json:"queryParams,omitempty"`
	// Method, such as GET; empty is every method.
	Method string `json:"method,omitempty"`
}

// PathMatch matches a path.
//
// +kubebuilder:object:generate=false
type PathMatch struct {
	// Type is one of the PathMatch constants.
	Type string `json:"type,omitempty"`
	// Value to match; it begins with "/".
	Value string `json:"value,omitempty"`
}

// NamedMatch matches a header or a query parameter.
//
// +kubebuilder:object:generate=false
type NamedMatch struct {
	// Type is MatchExact or MatchRegularExpression.
	Type string `json:"type,omitempty"`
	// Name of the header or parameter; headers are compared without regard to case.
	Name string `json:"name"`
	// Value to match.
	Value string `json:"value"`
}

// RouteFilter changes the request or the response. The field that Type names is set.
//
// +kubebuilder:object:generate=false
type RouteFilter struct {
	// Type is one of the Filter constants.
	Type string `json:"type"`
	// RequestHeaderModifier changes the headers of the request.
	RequestHeaderModifier *HeaderFilter `json:"requestHeaderModifier,omitempty"`
	// ResponseHeaderModifier changes the headers of the response.
	ResponseHeaderModifier *HeaderFilter `json:"responseHeaderModifier,omitempty"`
	// RequestRedirect answers with a redirection.
	RequestRedirect *RedirectFilter `json:"requestRedirect,omitempty"`
	// URLRewrite changes host and path of the request.
	URLRewrite *RewriteFilter `json:"urlRewrite,omitempty"`
	// RequestMirror, ExtensionRef and CORS are handed on to an implementation of the Gateway API.
	RequestMirror *opaque.Object `json:"requestMirror,omitempty"`
	// ExtensionRef names a filter of the implementation.
	ExtensionRef *opaque.Object `json:"extensionRef,omitempty"`
	// CORS is the section of that name.
	CORS *opaque.Object `json:"cors,omitempty"`
}

// HeaderFilter changes headers.
//
// +kubebuilder:object:generate=false
type HeaderFilter struct {
	// Set replaces headers.
	Set []Header `json:"set,omitempty"`
	// Add adds values to headers.
	Add []Header `json:"add,omitempty"`
	// Remove takes headers away.
	Remove []string `json:"remove,omitempty"`
}

// Header is a header and its value.
//
// +kubebuilder:object:generate=false
type Header struct {
	// Name of the header.
	Name string `json:"name"`
	// Value of it.
	Value string `json:"value"`
}

// RedirectFilter answers with a redirection. Empty fields keep what the request had.
//
// +kubebuilder:object:generate=false
type RedirectFilter struct {
	// Scheme of the new location: http or https.
	Scheme string `json:"scheme,omitempty"`
	// Hostname of the new location.
	Hostname string `json:"hostname,omitempty"`
	// Path of the new location.
	Path *PathModifier `json:"path,omitempty"`
	// Port of the new location.
	Port int32 `json:"port,omitempty"`
	// StatusCode is 301, 302 (the default), 303, 307 or 308.
	StatusCode int `json:"statusCode,omitempty"`
}

// RewriteFilter changes host and path of the request. Empty fields keep what the request had.
//
// +kubebuilder:object:generate=false
type RewriteFilter struct {
	// Hostname the function sees.
	Hostname string `json:"hostname,omitempty"`
	// Path the function sees.
	Path *PathModifier `json:"path,omitempty"`
}

// PathModifier replaces a path or its matched prefix.
//
// +kubebuilder:object:generate=false
type PathModifier struct {
	// Type is ReplaceFullPath or ReplacePrefixMatch.
	Type string `json:"type"`
	// ReplaceFullPath is the new path.
	ReplaceFullPath *string `json:"replaceFullPath,omitempty"`
	// ReplacePrefixMatch is what stands in the place of the matched prefix.
	ReplacePrefixMatch *string `json:"replacePrefixMatch,omitempty"`
}

// RouteTimeouts bound requests. Values are durations of the Gateway API, such as "10s"; "0s" is without limit.
//
// +kubebuilder:object:generate=false
type RouteTimeouts struct {
	// Request bounds the whole request.
	Request string `json:"request,omitempty"`
	// BackendRequest bounds one attempt.
	BackendRequest string `json:"backendRequest,omitempty"`
}

// Durations reads both timeouts; zero is without limit. Admission has checked them; what cannot be read is an error.
func (t *RouteTimeouts) Durations() (request, backend time.Duration, err error) {
	if t == nil {
		return 0, 0, nil
	}
	if request, err = gatewayDuration(t.Request); err != nil {
		return 0, 0, fmt.Errorf("timeouts.request: %w", err)
	}
	if backend, err = gatewayDuration(t.BackendRequest); err != nil {
		return 0, 0, fmt.Errorf("timeouts.backendRequest: %w", err)
	}
	return request, backend, nil
}

// gatewayDuration reads a duration that may be empty and must not be negative.
func gatewayDuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, err
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is negative", s)
	}
	return d, nil
}

// ParseRules reads the rules of a route, with the defaults of the Gateway API filled in: a rule without matches matches
// every path, and so does a match without a path. Unknown fields are skipped; admission has warned of them.
func (r *Route) ParseRules() ([]RouteRule, error) {
	if r == nil {
		return nil, nil
	}
	rules := make([]RouteRule, len(r.Rules))
	for i := range r.Rules {
		if _, err := r.Rules[i].Decode(&rules[i]); err != nil {
			return nil, fmt.Errorf("reading rules[%d]: %w", i, err)
		}
		rules[i].fill()
	}
	return rules, nil
}

// fill puts the defaults of the Gateway API into a rule.
func (r *RouteRule) fill() {
	if len(r.Matches) == 0 {
		r.Matches = []RouteMatch{{}}
	}
	for i := range r.Matches {
		m := &r.Matches[i]
		if m.Path == nil {
			m.Path = &PathMatch{}
		}
		m.Path.Type = or(m.Path.Type, PathMatchPrefix)
		m.Path.Value = or(m.Path.Value, "/")
		for j := range m.Headers {
			m.Headers[j].Type = or(m.Headers[j].Type, MatchExact)
		}
		for j := range m.QueryParams {
			m.QueryParams[j].Type = or(m.QueryParams[j].Type, MatchExact)
		}
	}
	for i := range r.Filters {
		if redirect := r.Filters[i].RequestRedirect; redirect != nil && redirect.StatusCode == 0 {
			redirect.StatusCode = 302
		}
	}
}

// or is s, or def when s is empty.
func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

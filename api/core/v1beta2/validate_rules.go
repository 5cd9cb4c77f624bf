package v1beta2

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (r *report) route(p *field.Path, route *Route) {
	if route == nil {
		return
	}
	if g := route.GatewayRef; g != nil && (g.Name == "" || g.Namespace == "") {
		r.required(p.Child("gatewayRef"), "give both name and namespace")
	}
	seen := map[Hostname]bool{}
	for i, h := range route.Hostnames {
		if seen[h] {
			r.warn(p.Child("hostnames").Index(i), "%q is given more than once", h)
		}
		seen[h] = true
	}
	for i := range route.Rules {
		p := p.Child("rules").Index(i)
		rule := RouteRule{}
		unknown, err := route.Rules[i].Decode(&rule)
		if err != nil {
			r.invalid(p, field.OmitValueType{}, "is not a rule of an HTTPRoute: "+err.Error())
			continue
		}
		for _, u := range unknown {
			r.warn(p, "%v; it is ignored", u)
		}
		r.rule(p, &rule)
	}
}

func (r *report) rule(p *field.Path, rule *RouteRule) {
	if len(rule.BackendRefs) > 0 {
		r.warn(p.Child("backendRefs"), "is replaced by the function")
	}
	for i := range rule.Matches {
		r.match(p.Child("matches").Index(i), &rule.Matches[i])
	}
	for i := range rule.Filters {
		r.filter(p.Child("filters").Index(i), &rule.Filters[i])
	}
	if _, _, err := rule.Timeouts.Durations(); err != nil {
		r.invalid(p, field.OmitValueType{}, err.Error())
	}
}

func (r *report) match(p *field.Path, m *RouteMatch) {
	if path := m.Path; path != nil {
		p := p.Child("path")
		switch kind := or(path.Type, PathMatchPrefix); kind {
		case PathMatchRegularExpression:
			r.expression(p.Child("value"), path.Value)
		default:
			r.oneOf(p.Child("type"), kind, PathMatchExact, PathMatchPrefix, PathMatchRegularExpression)
			if path.Value != "" && !strings.HasPrefix(path.Value, "/") {
				r.invalid(p.Child("value"), path.Value, "must begin with /")
			}
		}
	}
	for i := range m.Headers {
		r.named(p.Child("headers").Index(i), &m.Headers[i])
	}
	for i := range m.QueryParams {
		r.named(p.Child("queryParams").Index(i), &m.QueryParams[i])
	}
	if m.Method != "" {
		r.oneOf(p.Child("method"), m.Method, "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
	}
}

func (r *report) named(p *field.Path, m *NamedMatch) {
	if m.Name == "" {
		r.required(p.Child("name"), "name what has to match")
	}
	kind := or(m.Type, MatchExact)
	r.oneOf(p.Child("type"), kind, MatchExact, MatchRegularExpression)
	if kind == MatchRegularExpression {
		r.expression(p.Child("value"), m.Value)
	}
}

func (r *report) expression(p *field.Path, text string) {
	if _, err := regexp.Compile(text); err != nil {
		r.invalid(p, text, err.Error())
	}
}

func (r *report) filter(p *field.Path, f *RouteFilter) {
	sections := map[string]struct {
		name  string
		given bool
	}{
		FilterRequestHeaderModifier:  {"requestHeaderModifier", f.RequestHeaderModifier != nil},
		FilterResponseHeaderModifier: {"responseHeaderModifier", f.ResponseHeaderModifier != nil},
		FilterRequestRedirect:        {"requestRedirect", f.RequestRedirect != nil},
		FilterURLRewrite:             {"urlRewrite", f.URLRewrite != nil},
		FilterRequestMirror:          {"requestMirror", f.RequestMirror != nil},
		FilterExtensionRef:           {"extensionRef", f.ExtensionRef != nil},
		FilterCORS:                   {"cors", f.CORS != nil},
	}
	section, known := sections[f.Type]
	if !known {
		r.oneOf(p.Child("type"), f.Type, slices.Sorted(maps.Keys(sections))...)
		return
	}
	if !section.given {
		r.required(p.Child(section.name), "the type of the filter asks for it")
		return
	}
	if redirect := f.RequestRedirect; redirect != nil {
		r.redirect(p.Child("requestRedirect"), redirect)
	}
	if rewrite := f.URLRewrite; rewrite != nil {
		r.pathModifier(p.Child("urlRewrite", "path"), rewrite.Path)
	}
}

func (r *report) redirect(p *field.Path, f *RedirectFilter) {
	if f.Scheme != "" {
		r.oneOf(p.Child("scheme"), f.Scheme, "http", "https")
	}
	if f.Port < 0 || f.Port > 65535 {
		r.invalid(p.Child("port"), f.Port, "must be between 1 and 65535")
	}
	switch f.StatusCode {
	case 0, 301, 302, 303, 307, 308:
	default:
		r.invalid(p.Child("statusCode"), f.StatusCode, "must be 301, 302, 303, 307 or 308")
	}
	r.pathModifier(p.Child("path"), f.Path)
}

func (r *report) pathModifier(p *field.Path, m *PathModifier) {
	if m == nil {
		return
	}
	switch m.Type {
	case ReplaceFullPath:
		if m.ReplaceFullPath == nil {
			r.required(p.Child("replaceFullPath"), "the type asks for it")
		}
	case ReplacePrefixMatch:
		if m.ReplacePrefixMatch == nil {
			r.required(p.Child("replacePrefixMatch"), "the type asks for it")
		}
	default:
		r.oneOf(p.Child("type"), m.Type, ReplaceFullPath, ReplacePrefixMatch)
	}
}

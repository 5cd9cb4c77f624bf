package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/route"
)

// rulesOf translates the user's rules; without any there is one that matches the path prefixes.
func rulesOf(t *v1beta2.HTTPTrigger, prefixes []string) ([]route.Rule, error) {
	parsed, err := t.Route.ParseRules()
	if err != nil {
		return nil, err
	}
	if len(parsed) == 0 {
		var r route.Rule
		for _, p := range prefixes {
			r.Matches = append(r.Matches, route.Match{Path: route.PathMatch{Type: v1beta2.PathMatchPrefix, Value: p}})
		}
		return []route.Rule{r}, nil
	}
	rules := make([]route.Rule, len(parsed))
	for i, p := range parsed {
		if rules[i], err = rule(p); err != nil {
			return nil, fmt.Errorf("rules[%d]: %w", i, err)
		}
	}
	return rules, nil
}

// lead sends every request to the path of one function of an application, but those that a rule of the user's rewrites itself.
func lead(rules []route.Rule, path string) {
	for i := range rules {
		own := slices.ContainsFunc(rules[i].Filters, func(f route.Filter) bool { return f.Redirect != nil || f.Rewrite != nil && f.Rewrite.Path != nil })
		if !own {
			rules[i].Filters = append(rules[i].Filters, route.Filter{Rewrite: &route.Rewrite{Path: &route.PathModifier{Type: "ReplaceFullPath", Value: path}}})
		}
	}
}

func rule(p v1beta2.RouteRule) (route.Rule, error) {
	var r route.Rule
	for _, m := range p.Matches {
		r.Matches = append(r.Matches, route.Match{
			Path:    route.PathMatch{Type: m.Path.Type, Value: m.Path.Value},
			Method:  m.Method,
			Headers: matches(m.Headers),
			Query:   matches(m.QueryParams),
		})
	}
	for i, f := range p.Filters {
		out, err := filter(f)
		if err != nil {
			return route.Rule{}, fmt.Errorf("filters[%d]: %w", i, err)
		}
		r.Filters = append(r.Filters, out)
	}
	request, backend, err := p.Timeouts.Durations()
	if err != nil {
		return route.Rule{}, err
	}
	r.Timeout = request
	if backend > 0 && (request == 0 || backend < request) {
		r.Timeout = backend // there is one attempt, so the shorter of the two holds
	}
	return r, nil
}

func matches(in []v1beta2.NamedMatch) []route.ValueMatch {
	var out []route.ValueMatch
	for _, m := range in {
		out = append(out, route.ValueMatch{Type: m.Type, Name: m.Name, Value: m.Value})
	}
	return out
}

func filter(f v1beta2.RouteFilter) (route.Filter, error) {
	switch {
	case f.RequestHeaderModifier != nil:
		return route.Filter{RequestHeaders: headers(f.RequestHeaderModifier)}, nil
	case f.ResponseHeaderModifier != nil:
		return route.Filter{ResponseHeaders: headers(f.ResponseHeaderModifier)}, nil
	case f.RequestRedirect != nil:
		r := f.RequestRedirect
		return route.Filter{Redirect: &route.Redirect{Scheme: r.Scheme, Hostname: r.Hostname, Path: modifier(r.Path), Port: int(r.Port), Status: r.StatusCode}}, nil
	case f.URLRewrite != nil:
		return route.Filter{Rewrite: &route.Rewrite{Hostname: f.URLRewrite.Hostname, Path: modifier(f.URLRewrite.Path)}}, nil
	case slices.Contains(supported(), f.Type):
		return route.Filter{}, fmt.Errorf("a filter of type %q has no settings: add the field of its name", f.Type)
	default:
		return route.Filter{}, fmt.Errorf("a filter of type %q is not supported here; supported: %s", f.Type, strings.Join(supported(), ", "))
	}
}

func supported() []string {
	return []string{v1beta2.FilterRequestHeaderModifier, v1beta2.FilterResponseHeaderModifier, v1beta2.FilterRequestRedirect, v1beta2.FilterURLRewrite}
}

func headers(f *v1beta2.HeaderFilter) *route.HeaderFilter {
	out := &route.HeaderFilter{Remove: f.Remove}
	for _, h := range f.Set {
		out.Set = append(out.Set, route.Header(h))
	}
	for _, h := range f.Add {
		out.Add = append(out.Add, route.Header(h))
	}
	return out
}

func modifier(m *v1beta2.PathModifier) *route.PathModifier {
	switch {
	case m == nil:
		return nil
	case m.ReplacePrefixMatch != nil:
		return &route.PathModifier{Type: v1beta2.ReplacePrefixMatch, Value: *m.ReplacePrefixMatch}
	case m.ReplaceFullPath != nil:
		return &route.PathModifier{Type: v1beta2.ReplaceFullPath, Value: *m.ReplaceFullPath}
	default:
		return nil
	}
}

package embedded

import (
	"github.com/openfunction/ofn/internal/gateway"
	"github.com/openfunction/ofn/internal/route"
)

func rules(in []route.Rule, share []gateway.Backend) []gateway.Rule {
	if len(in) == 0 {
		return []gateway.Rule{{Backends: share}}
	}
	out := make([]gateway.Rule, len(in))
	for i, r := range in {
		out[i] = gateway.Rule{Filters: filters(r.Filters), Timeout: r.Timeout, Backends: share}
		for _, m := range r.Matches {
			out[i].Matches = append(out[i].Matches, gateway.Match{
				Path:    gateway.PathMatch{Type: gateway.MatchType(m.Path.Type), Value: m.Path.Value},
				Method:  m.Method,
				Headers: values(m.Headers),
				Query:   values(m.Query),
			})
		}
	}
	return out
}

func values(in []route.ValueMatch) []gateway.ValueMatch {
	var out []gateway.ValueMatch
	for _, v := range in {
		out = append(out, gateway.ValueMatch{Type: gateway.MatchType(v.Type), Name: v.Name, Value: v.Value})
	}
	return out
}

// filters merges a list into one value: header filters add up, of redirects and rewrites the last holds.
func filters(in []route.Filter) gateway.Filters {
	var out gateway.Filters
	for _, f := range in {
		switch {
		case f.RequestHeaders != nil:
			merge(&out.Request, f.RequestHeaders)
		case f.ResponseHeaders != nil:
			merge(&out.Response, f.ResponseHeaders)
		case f.Redirect != nil:
			out.Redirect = &gateway.Redirect{Scheme: f.Redirect.Scheme, Hostname: f.Redirect.Hostname, Path: modifier(f.Redirect.Path),
				Port: f.Redirect.Port, Code: f.Redirect.Status}
		case f.Rewrite != nil:
			out.Rewrite = &gateway.Rewrite{Hostname: f.Rewrite.Hostname, Path: modifier(f.Rewrite.Path)}
		}
	}
	return out
}

func merge(out *gateway.HeaderFilter, f *route.HeaderFilter) {
	for _, h := range f.Set {
		out.Set = append(out.Set, gateway.Header(h))
	}
	for _, h := range f.Add {
		out.Add = append(out.Add, gateway.Header(h))
	}
	out.Remove = append(out.Remove, f.Remove...)
}

func modifier(m *route.PathModifier) *gateway.PathModifier {
	if m == nil {
		return nil
	}
	return &gateway.PathModifier{ReplacePrefix: m.Type == "ReplacePrefixMatch", Value: m.Value}
}

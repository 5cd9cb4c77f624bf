package gatewayapi

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/api/opaque"
	"github.com/openfunction/ofn/internal/route/cluster"
)

// httpRoute is an HTTPRoute as it is applied.
type httpRoute struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Metadata   metadata  `json:"metadata"`
	Spec       routeSpec `json:"spec,omitzero"`
}

type metadata struct {
	Namespace string                  `json:"namespace"`
	Name      string                  `json:"name"`
	Labels    map[string]string       `json:"labels,omitempty"`
	Owners    []metav1.OwnerReference `json:"ownerReferences,omitempty"`
}

type routeSpec struct {
	ParentRefs []parentRef `json:"parentRefs,omitempty"`
	Hostnames  []string    `json:"hostnames,omitempty"`
	Rules      []rule      `json:"rules,omitempty"`
}

type parentRef struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// rule is an HTTPRouteRule: what the user wrote, with backendRefs and filters in it.
type rule map[string]any

type backendRef struct {
	Group     string                `json:"group"`
	Kind      string                `json:"kind"`
	Namespace string                `json:"namespace,omitempty"`
	Name      string                `json:"name"`
	Port      int32                 `json:"port"`
	Weight    int32                 `json:"weight"`
	Filters   []v1beta2.RouteFilter `json:"filters,omitempty"`
}

// named is an HTTPRoute with nothing but its name and owner.
func named(namespace, name string, owner metav1.OwnerReference) httpRoute {
	return httpRoute{APIVersion: routeKind.GroupVersion().String(), Kind: routeKind.Kind,
		Metadata: metadata{Namespace: namespace, Name: name, Owners: []metav1.OwnerReference{owner}}}
}

func routeOf(r *cluster.Route) (httpRoute, error) {
	out := named(r.Namespace, r.Name, r.Owner)
	out.Metadata.Labels = map[string]string{}
	maps.Copy(out.Metadata.Labels, r.Labels)
	out.Metadata.Labels[v1beta2.LabelFunction] = r.Name
	out.Spec = routeSpec{Hostnames: r.Hosts, ParentRefs: []parentRef{{Group: Group, Kind: "Gateway", Namespace: r.Parent.Namespace, Name: r.Parent.Name}}}
	for i, each := range r.Rules {
		next, err := ruleOf(i, each, r)
		if err != nil {
			return httpRoute{}, err
		}
		out.Spec.Rules = append(out.Spec.Rules, next)
	}
	return out, nil
}

// ruleOf leads a rule to the backends. One that redirects answers by itself and must have none.
func ruleOf(i int, written opaque.Object, r *cluster.Route) (rule, error) {
	out := rule{}
	if err := json.Unmarshal([]byte(written.String()), &out); err != nil {
		return nil, wrong(i, "%w", err)
	}
	var known struct {
		Filters []filter `json:"filters"`
	}
	if _, err := written.Decode(&known); err != nil {
		return nil, wrong(i, "%w", err)
	}
	delete(out, "backendRefs")
	if slices.ContainsFunc(known.Filters, func(f filter) bool { return f.kind() == v1beta2.FilterRequestRedirect }) {
		return out, nil
	}
	refs := make([]backendRef, len(r.Backends))
	for n := range r.Backends {
		refs[n] = refOf(&r.Backends[n], r.Namespace)
	}
	if same(r.Backends) {
		filters, err := merged(i, known.Filters, &r.Backends[0])
		if err != nil {
			return nil, err
		}
		if len(filters) > 0 {
			out["filters"] = filters
		}
	} else {
		for n := range r.Backends {
			if _, err := merged(i, known.Filters, &r.Backends[n]); err != nil {
				return nil, err
			}
			refs[n].Filters = filtersOf(&r.Backends[n])
		}
	}
	out["backendRefs"] = refs
	return out, nil
}

func refOf(b *cluster.Backend, namespace string) backendRef {
	ref := backendRef{Kind: "Service", Name: b.Name, Port: b.Port, Weight: b.Weight}
	if b.Namespace != namespace {
		ref.Namespace = b.Namespace
	}
	return ref
}

// same says whether all backends want requests to be changed in the same way. It is then the rule that changes them, which every
// implementation can; filters of a backend are an extension.
func same(all []cluster.Backend) bool {
	for i := range all {
		if all[i].Host != all[0].Host || !reflect.DeepEqual(all[i].Headers, all[0].Headers) {
			return false
		}
	}
	return len(all) > 0
}

// filtersOf are those that change requests as a backend wants them.
func filtersOf(b *cluster.Backend) []v1beta2.RouteFilter {
	var out []v1beta2.RouteFilter
	if len(b.Headers) > 0 {
		set := &v1beta2.HeaderFilter{}
		for _, name := range slices.Sorted(maps.Keys(b.Headers)) {
			set.Set = append(set.Set, v1beta2.Header{Name: name, Value: b.Headers[name]})
		}
		out = append(out, v1beta2.RouteFilter{Type: v1beta2.FilterRequestHeaderModifier, RequestHeaderModifier: set})
	}
	if b.Host != "" {
		out = append(out, v1beta2.RouteFilter{Type: v1beta2.FilterURLRewrite, URLRewrite: &v1beta2.RewriteFilter{Hostname: b.Host}})
	}
	return out
}

// filter is one as it was written.
type filter map[string]any

func (f filter) kind() string {
	s, _ := f["type"].(string)
	return s
}

// merged are the filters of a rule with those of a backend: there must not be two of a kind.
func merged(i int, written []filter, b *cluster.Backend) ([]any, error) {
	var out []any
	own := filtersOf(b)
	for _, f := range written {
		at := slices.IndexFunc(own, func(o v1beta2.RouteFilter) bool { return o.Type == f.kind() })
		if at < 0 {
			out = append(out, f)
			continue
		}
		var theirs v1beta2.RouteFilter
		if err := convert(f, &theirs); err != nil {
			return nil, wrong(i, "%w", err)
		}
		both, err := joined(i, theirs, own[at])
		if err != nil {
			return nil, err
		}
		out, own = append(out, both), slices.Delete(own, at, at+1)
	}
	for _, f := range own {
		out = append(out, f)
	}
	return out, nil
}

func convert(from, into any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// joined is one filter that does what two of a kind would.
func joined(i int, theirs, own v1beta2.RouteFilter) (v1beta2.RouteFilter, error) {
	switch {
	case own.URLRewrite != nil:
		if theirs.URLRewrite == nil {
			return own, nil
		}
		if host := theirs.URLRewrite.Hostname; host != "" && host != own.URLRewrite.Hostname {
			return own, wrong(i, "urlRewrite.hostname cannot be %q: the engine knows this function as %s; leave it out", host, own.URLRewrite.Hostname)
		}
		theirs.URLRewrite.Hostname = own.URLRewrite.Hostname
	case own.RequestHeaderModifier != nil:
		if theirs.RequestHeaderModifier == nil {
			return own, nil
		}
		h := theirs.RequestHeaderModifier
		for _, header := range own.RequestHeaderModifier.Set {
			named := func(other v1beta2.Header) bool { return strings.EqualFold(other.Name, header.Name) }
			h.Set, h.Add = slices.DeleteFunc(h.Set, named), slices.DeleteFunc(h.Add, named)
			h.Remove = slices.DeleteFunc(h.Remove, func(n string) bool { return strings.EqualFold(n, header.Name) })
		}
		h.Set = append(h.Set, own.RequestHeaderModifier.Set...)
	}
	return theirs, nil
}

// Package embedded puts routes into effect in the gateway of this process: every change makes a new table, which is
// swapped in whole.
package embedded

import (
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/gateway"
	"github.com/openfunction/ofn/internal/route"
)

// Revisions finds where the requests for a revision go; nil while it is not known.
type Revisions func(namespace, name string) *activator.Revision

// Swapper takes a new table; gateway.Gateway is one.
type Swapper interface{ Swap(*gateway.Table) }

// Router is a route.Router. A revision that is not known yet gets its share as soon as Refresh is called after it is.
type Router struct {
	gateway   Swapper
	revisions Revisions

	mu       sync.Mutex
	routes   map[route.Key]route.Route
	resolved map[revisionKey]*activator.Revision // what the table in effect was made with
}

type revisionKey struct{ namespace, name string }

var _ route.Router = (*Router)(nil)

// New is a router without routes.
func New(g Swapper, r Revisions) *Router {
	return &Router{gateway: g, revisions: r, routes: map[route.Key]route.Route{}, resolved: map[revisionKey]*activator.Revision{}}
}

// Set implements route.Router. A route that the gateway refuses leaves the one before it in effect.
func (r *Router) Set(next route.Route) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, known := r.routes[next.Key]
	if known && reflect.DeepEqual(old, next) && !r.outdated() {
		return nil
	}
	if _, err := gateway.NewTable(r.translate(next, map[revisionKey]*activator.Revision{})); err != nil {
		return fmt.Errorf("route of %s/%s: %w", next.Namespace, next.Name, err)
	}
	r.routes[next.Key] = next
	err := r.swap()
	switch {
	case err == nil:
	case known:
		r.routes[next.Key] = old
	default:
		delete(r.routes, next.Key)
	}
	return err
}

// Delete implements route.Router.
func (r *Router) Delete(k route.Key) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.routes[k]; !ok {
		return nil
	}
	delete(r.routes, k)
	return r.swap()
}

// Refresh makes a new table when a revision that the routes name has come or gone.
func (r *Router) Refresh() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.outdated() {
		return nil
	}
	return r.swap()
}

func (r *Router) outdated() bool {
	for k, was := range r.resolved {
		if r.revisions(k.namespace, k.name) != was {
			return true
		}
	}
	return false
}

func (r *Router) swap() error {
	keys := make([]route.Key, 0, len(r.routes))
	for k := range r.routes {
		keys = append(keys, k)
	}
	// Where two functions claim the same host and path the gateway lets the first win: the order must not change by itself.
	slices.SortFunc(keys, func(a, b route.Key) int {
		return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
	})
	resolved := map[revisionKey]*activator.Revision{}
	var all []gateway.Route
	for _, k := range keys {
		all = append(all, r.translate(r.routes[k], resolved)...)
	}
	table, err := gateway.NewTable(all)
	if err != nil {
		return fmt.Errorf("making the route table: %w", err)
	}
	r.gateway.Swap(table)
	r.resolved = resolved
	return nil
}

// translate gives the gateway's form of a route: one for its hosts, one for each tag. It notes in resolved what it asked for.
func (r *Router) translate(in route.Route, resolved map[revisionKey]*activator.Revision) []gateway.Route {
	find := func(name string) *activator.Revision {
		k := revisionKey{in.Namespace, name}
		resolved[k] = r.revisions(in.Namespace, name)
		return resolved[k]
	}
	var share []gateway.Backend
	for _, b := range in.Backends {
		if rev := find(b.Revision); rev != nil {
			share = append(share, gateway.Backend{Revision: rev, Weight: b.Weight})
		}
	}
	out := []gateway.Route{{Hosts: in.Hosts, Rules: rules(in.Rules, share), Namespace: in.Namespace, Function: in.Name}}
	for _, t := range in.Tags {
		var only []gateway.Backend
		if rev := find(t.Revision); rev != nil {
			only = []gateway.Backend{{Revision: rev, Weight: 1, Tag: t.Name}}
		}
		out = append(out, gateway.Route{Hosts: t.Hosts, Rules: rules(in.Rules, only), Namespace: in.Namespace, Function: in.Name})
	}
	return out
}

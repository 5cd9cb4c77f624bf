package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/openfunction/ofn/internal/route"
	"github.com/openfunction/ofn/internal/route/embedded"
	"github.com/openfunction/ofn/internal/run/pods"
	"github.com/openfunction/ofn/internal/telemetry"
)

// names gives the Services of functions the hosts by which pods of the cluster call them, and one of the gateway's domain.
type names struct {
	router   *embedded.Router
	settings *gatewaySettings
}

// Set implements pods.Router.
func (n names) Set(namespace, name, function string, shares []pods.Share) error {
	r := route.Route{Key: route.Key{Namespace: namespace, Name: name}}
	host := name + "." + namespace
	r.Hosts = []string{host, host + ".svc", host + ".svc." + n.settings.clusterDomain}
	if d := n.settings.domain; d != "" {
		r.Hosts = append(r.Hosts, strings.ToLower(host+"."+d))
	}
	for _, s := range shares {
		r.Backends = append(r.Backends, route.Backend{Revision: s.Revision, Weight: s.Percent})
	}
	if err := n.router.Set(r); err != nil {
		return fmt.Errorf("routing function %s: %w", function, err)
	}
	return nil
}

// Delete implements pods.Router.
func (n names) Delete(namespace, name string) error {
	return n.router.Delete(route.Key{Namespace: namespace, Name: name})
}

// Refresh implements pods.Router.
func (n names) Refresh() error { return n.router.Refresh() }

// replicas is what the metrics say of copies.
func (f *front) replicas() []telemetry.Replicas {
	var out []telemetry.Replicas
	for _, k := range f.node.Keys() {
		s, ok := f.node.Status(context.Background(), k)
		if !ok {
			continue
		}
		r := telemetry.Replicas{Namespace: k.Namespace, Revision: k.Name, Desired: s.Desired, Ready: s.Ready, Starting: s.Starting}
		if rev := f.node.Revision(k); rev != nil {
			r.InFlight, r.Waiting = rev.Load()
		}
		out = append(out, r)
	}
	return out
}

var errNotSynced = errors.New("the gateway was stopped before it knew the pods that there are")

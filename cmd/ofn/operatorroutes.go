package main

import (
	"sigs.k8s.io/controller-runtime/pkg/cache"
	ctrlmanager "sigs.k8s.io/controller-runtime/pkg/manager"

	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/control/function/expose"
	gatewayprovide "github.com/openfunction/ofn/internal/control/gateway/provide"
	"github.com/openfunction/ofn/internal/route/gatewayapi"
)

// gatewayNamespaces are those where an operator sees Gateways of OpenFunction: all of them (none), or those of the one namespace that it looks after
// and of its own, where the default Gateway is.
func (s *operatorSettings) gatewayNamespaces() []string {
	switch s.namespace {
	case "":
		return nil
	case s.ownNamespace:
		return []string{s.namespace}
	default:
		return []string{s.namespace, s.ownNamespace}
	}
}

// cacheGateways lets the cache of an operator of one namespace see the Gateways of its own, too.
func cacheGateways(s *operatorSettings, o *cache.Options) {
	seen := cache.ByObject{Namespaces: map[string]cache.Config{}}
	for _, n := range s.gatewayNamespaces() {
		seen.Namespaces[n] = cache.Config{}
	}
	if len(seen.Namespaces) == 0 {
		return
	}
	o.ByObject[&networking.Gateway{}] = seen
}

// parentNamespaces are those where an operator sees Gateways of the Gateway API: all of them (none), or the one that it looks after.
func (s *operatorSettings) parentNamespaces() []string {
	if s.namespace == "" {
		return nil
	}
	return []string{s.namespace}
}

// exposer makes the routes of functions. Grants are given in other people's namespaces, where an operator of one has no rights.
func exposer(m ctrlmanager.Manager, s *operatorSettings, found *engines.Controller) *expose.Exposer {
	router := gatewayapi.New(m.GetClient(), m.GetAPIReader(), gatewayapi.Options{Grants: s.namespace == ""})
	return expose.New(m.GetClient(), expose.Options{Router: router, Engines: found, Namespaces: s.gatewayNamespaces(), Parents: s.parentNamespaces()})
}

// gatewayController provides the Gateways that the routes come from.
func gatewayController(m ctrlmanager.Manager, s *operatorSettings, found *engines.Controller) registrable {
	return gatewayprovide.NewController(m.GetClient(), m.GetAPIReader(), gatewayprovide.Options{Engines: found, Only: s.namespace, Namespaces: s.parentNamespaces()})
}

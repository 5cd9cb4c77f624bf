package main

import (
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openfunction/ofn/api/core/v1beta2"
	functionplace "github.com/openfunction/ofn/internal/control/function/place"
	"github.com/openfunction/ofn/internal/run/pods"
)

// gatewayService is the name of the Service of `ofn gateway`, in the operator's own namespace.
const gatewayService = "ofn-gateway"

// podsWay runs functions with Kubernetes alone. There is none on an API server that has no pods.
func podsWay(m ctrl.Manager, s *operatorSettings) []functionplace.Way {
	for _, o := range pods.Kinds() {
		kind := o.GetObjectKind().GroupVersionKind()
		if _, err := m.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version); meta.IsNoMatchError(err) {
			return nil
		}
	}
	engine := pods.New(m.GetClient(), m.GetAPIReader(), pods.Options{GatewayNamespace: s.ownNamespace, GatewayName: gatewayService, ClusterDomain: s.clusterDomain, Domain: s.domain})
	return []functionplace.Way{{Name: v1beta2.EnginePods, Engine: engine, Ref: pods.RefTemplate, Kinds: pods.Kinds()}}
}

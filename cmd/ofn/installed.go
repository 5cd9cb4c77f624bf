package main

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/admission"
)

// installed are the objects that the platform puts into its own API at each start. The definitions get their conversion.
func installed(s *settings, crds []*apiextensionsv1.CustomResourceDefinition, hooks admission.Endpoint) []runtime.Object {
	for _, c := range crds {
		hooks.PatchConversion(c)
	}
	mutating, validating := hooks.Configurations()
	mutating.TypeMeta = metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "MutatingWebhookConfiguration"}
	validating.TypeMeta = metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"}
	return []runtime.Object{mutating, validating, defaultGateway(s)}
}

// defaultGateway is the Gateway that routes name when they name none.
func defaultGateway(s *settings) runtime.Object {
	host := "*." + s.domain
	return &networking.Gateway{
		TypeMeta:   metav1.TypeMeta{APIVersion: networking.GroupVersion.String(), Kind: "Gateway"},
		ObjectMeta: metav1.ObjectMeta{Namespace: v1beta2.DefaultGatewayNamespace, Name: v1beta2.DefaultGatewayName},
		Spec: networking.GatewaySpec{
			Domain:        s.domain,
			ClusterDomain: s.clusterDomain,
			GatewayDef:    &networking.GatewayDef{Namespace: v1beta2.DefaultGatewayNamespace, GatewayClassName: "ofn"},
			GatewaySpec: networking.ListenerSet{Listeners: []networking.Listener{
				{Name: "ofn-http-external", Hostname: &host, Port: 80, Protocol: "HTTP"},
				{Name: networking.InternalListener, Hostname: new("*." + s.clusterDomain), Port: networking.InternalListenerPort, Protocol: "HTTP"},
			}},
		},
	}
}

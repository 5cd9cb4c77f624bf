package main

import (
	rbacv1 "k8s.io/api/rbac/v1"
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
	return append(webhookAccess(), mutating, validating, defaultGateway(s))
}

// webhookAccess lets the API server call its own webhooks, which it does without credentials. They compute answers from
// what they are given and reveal nothing, so that anybody may.
func webhookAccess() []runtime.Object {
	name := metav1.ObjectMeta{Name: "openfunction:webhooks"}
	rbac := func(kind string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: kind}
	}
	return []runtime.Object{
		&rbacv1.ClusterRole{TypeMeta: rbac("ClusterRole"), ObjectMeta: name,
			Rules: []rbacv1.PolicyRule{{Verbs: []string{"post"}, NonResourceURLs: []string{webhookPrefix + "*"}}}},
		&rbacv1.ClusterRoleBinding{TypeMeta: rbac("ClusterRoleBinding"), ObjectMeta: name,
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name.Name},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:unauthenticated"}, {APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:authenticated"}}},
	}
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

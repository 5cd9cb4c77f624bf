package kubeapi

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	serverstorage "k8s.io/apiserver/pkg/server/storage"

	// Each of these adds the kinds of one group to the scheme of the built-in kinds; the scheme has no other way in.
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	_ "k8s.io/kubernetes/pkg/apis/authentication/install"
	_ "k8s.io/kubernetes/pkg/apis/authorization/install"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
)

// servedResources are the built-in kinds. What is left out has no controller here, and an object that nothing acts on is a trap:
// quotas, admission policies, certificate requests, flow control.
func servedResources() *serverstorage.ResourceConfig {
	resources := serverstorage.NewResourceConfig()
	resources.EnableVersions(
		corev1.SchemeGroupVersion,
		eventsv1.SchemeGroupVersion,
		authenticationv1.SchemeGroupVersion,
		authorizationv1.SchemeGroupVersion,
		rbacv1.SchemeGroupVersion,
		coordinationv1.SchemeGroupVersion,
	)
	admission := admissionregistrationv1.SchemeGroupVersion
	resources.EnableResources(
		admission.WithResource("mutatingwebhookconfigurations"),
		admission.WithResource("validatingwebhookconfigurations"),
	)
	resources.DisableResources(corev1.SchemeGroupVersion.WithResource("resourcequotas"))
	return resources
}

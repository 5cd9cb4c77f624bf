package install

import (
	"path"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kindOf is a kind that is read without Go types.
type kindOf schema.GroupVersionKind

func (k kindOf) object() *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(schema.GroupVersionKind(k))
	return o
}

func (k kindOf) list() *unstructured.UnstructuredList {
	l := &unstructured.UnstructuredList{}
	l.SetGroupVersionKind(schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind + "List"})
	return l
}

func (k kindOf) named(name string) string {
	return path.Join(identityKind(schema.GroupVersionKind(k)), name)
}

const rbac = "rbac.authorization.k8s.io"

// The kinds that are read here.
var (
	deployments  = kindOf{"apps", "v1", "Deployment"}
	definitions  = kindOf{"apiextensions.k8s.io", "v1", "CustomResourceDefinition"}
	configMaps   = kindOf{"", "v1", "ConfigMap"}
	namespaces   = kindOf{"", "v1", "Namespace"}
	secrets      = kindOf{"", "v1", "Secret"}
	pods         = kindOf{"", "v1", "Pod"}
	functions    = kindOf{"core.openfunction.io", "v1beta2", "Function"}
	mutating     = kindOf{"admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"}
	validating   = kindOf{"admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"}
	runtimes     = kindOf{"node.k8s.io", "v1", "RuntimeClass"}
	accessReview = kindOf{"authorization.k8s.io", "v1", "SelfSubjectAccessReview"}
)

// parts are the kinds that an installation is made of, namespaces and definitions apart, in the order in which they are taken away.
// An older version may have had more of them than this one.
func parts() []kindOf {
	return []kindOf{
		mutating, validating,
		{"monitoring.coreos.com", "v1", "ServiceMonitor"},
		deployments,
		{"policy", "v1", "PodDisruptionBudget"},
		{"networking.k8s.io", "v1", "NetworkPolicy"},
		{"", "v1", "Service"},
		configMaps,
		{rbac, "v1", "RoleBinding"}, {rbac, "v1", "ClusterRoleBinding"},
		{rbac, "v1", "Role"}, {rbac, "v1", "ClusterRole"},
		{"", "v1", "ServiceAccount"},
	}
}

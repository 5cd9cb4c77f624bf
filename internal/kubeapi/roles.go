package kubeapi

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericregistry "k8s.io/apiserver/pkg/registry/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

// roleStorage serves RBAC without Kubernetes' own start-up hook, which reconciles some two hundred roles of components that do not
// exist here, one request after the other.
type roleStorage struct{ authorizer authorizer.Authorizer }

// GroupName implements controlplane.RESTStorageProvider.
func (roleStorage) GroupName() string { return rbacv1.GroupName }

// NewRESTStorage implements controlplane.RESTStorageProvider.
func (s roleStorage) NewRESTStorage(resources serverstorage.APIResourceConfigSource, options genericregistry.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error) {
	return rbacrest.RESTStorageProvider{Authorizer: s.authorizer}.NewRESTStorage(resources, options)
}

// defaultRoles are the roles of Kubernetes that people bind: what everyone may ask, and cluster-admin, admin, edit and view.
func defaultRoles() ([]rbacv1.ClusterRole, []rbacv1.ClusterRoleBinding) {
	wanted := map[string]bool{
		"cluster-admin": true, "admin": true, "edit": true, "view": true,
		"system:aggregate-to-admin": true, "system:aggregate-to-edit": true, "system:aggregate-to-view": true,
		"system:basic-user": true, "system:discovery": true, "system:public-info-viewer": true,
		"system:auth-delegator": true, "system:service-account-issuer-discovery": true,
		"system:monitoring": true,
	}
	var roles []rbacv1.ClusterRole
	for _, role := range bootstrappolicy.ClusterRoles() {
		if wanted[role.Name] {
			roles = append(roles, role)
		}
	}
	var bindings []rbacv1.ClusterRoleBinding
	for _, binding := range bootstrappolicy.ClusterRoleBindings() {
		if wanted[binding.RoleRef.Name] {
			bindings = append(bindings, binding)
		}
	}
	return roles, bindings
}

package kubeapi

import (
	"context"
	"io"
	"net/http"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// tokenOf asks for a token of a service account, once it exists.
func tokenOf(t *testing.T, admin clients, namespace, name string) string {
	t.Helper()
	var token string
	eventually(t, "a token of "+name, func(ctx context.Context) (bool, error) {
		request, err := admin.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		token = request.Status.Token
		return token != "", nil
	})
	return token
}

// withToken is a client that has nothing but the token.
func withToken(t *testing.T, server *Server, token string) clients {
	t.Helper()
	return clientsFor(t, &rest.Config{Host: server.URL(), BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: server.CA()}})
}

func authenticates(t *testing.T, server *Server, token string) error {
	t.Helper()
	_, err := withToken(t, server, token).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	return err
}

func TestRBACBoundsServiceAccounts(t *testing.T) {
	server := sharedServer(t)
	admin, ctx := administrator(t, server), t.Context()
	const namespace = "default"
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}
	if _, err := admin.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	reader := withToken(t, server, tokenOf(t, admin, namespace, "reader"))
	if _, err := reader.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("a service account without roles lists config maps: %v", err)
	}
	if _, err := reader.Discovery().ServerGroups(); err != nil {
		t.Errorf("discovery: %v", err)
	}
	_, err := admin.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "reader", Namespace: namespace}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// The rules of "view" are aggregated from other roles by a controller.
	eventually(t, "view lets read", func(ctx context.Context) (bool, error) {
		_, err := reader.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{})
		return err == nil, err
	})
	if _, err := reader.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("view reads secrets: %v", err)
	}
	if err := reader.CoreV1().ConfigMaps(namespace).Delete(ctx, "x", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("view deletes: %v", err)
	}
	if err := admin.CoreV1().ServiceAccounts(namespace).Delete(ctx, "reader", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token of a deleted account is void", func(ctx context.Context) (bool, error) {
		_, err := reader.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{})
		return apierrors.IsUnauthorized(err), nil
	})
}

func TestStrangersGetNothing(t *testing.T) {
	server := sharedServer(t)
	for name, token := range map[string]string{"anonymous": "", "made up": "abc.def.ghi"} {
		t.Run(name, func(t *testing.T) {
			stranger := withToken(t, server, token)
			_, err := stranger.CoreV1().Secrets("kube-system").List(t.Context(), metav1.ListOptions{})
			if !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
				t.Errorf("lists secrets: %v", err)
			}
		})
	}
	if _, err := withToken(t, server, "").Discovery().ServerVersion(); err != nil {
		t.Errorf("the version is public: %v", err)
	}
}

// testHandlers answers at /extra/ with the name of the path.
func testHandlers() map[string]http.Handler { return testHandlersAt("/extra/") }

func testHandlersAt(prefix string) map[string]http.Handler {
	return map[string]http.Handler{prefix: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	})}
}

func TestHandlersAreBehindRBAC(t *testing.T) {
	server := sharedServer(t)
	admin, ctx := administrator(t, server), t.Context()
	get := func(c clients) (string, error) {
		body, err := c.RESTClient().Get().AbsPath("/extra/thing").DoRaw(ctx)
		return string(body), err
	}
	if body, err := get(admin); err != nil || body != "/extra/thing" {
		t.Errorf("the administrator gets %q, %v", body, err)
	}
	if _, err := get(withToken(t, server, "")); !apierrors.IsForbidden(err) {
		t.Errorf("anonymous gets: %v", err)
	}
	user := withToken(t, server, tokenOf(t, admin, "openfunction", "default"))
	if _, err := get(user); !apierrors.IsForbidden(err) {
		t.Errorf("a service account without roles gets: %v", err)
	}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "extra"},
		Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/extra/*"}}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "extra"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "extra"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "default", Namespace: "openfunction"}},
	}
	if _, err := admin.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a role for the path", func(context.Context) (bool, error) {
		_, err := get(user)
		return err == nil, err
	})
}

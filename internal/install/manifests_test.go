package install_test

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/config"
	"github.com/openfunction/ofn/internal/install"
)

func TestManifests(t *testing.T) {
	objects, err := install.Manifests{Files: config.Files, Version: "v1.0/x+y", Image: "registry.example.com:5000/team/ofn:1"}.Objects()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range objects {
		names = append(names, install.Identity(o))
		if got := o.GetLabels(); got["app.kubernetes.io/version"] != "v1.0-x-y" || got["app.kubernetes.io/managed-by"] != "ofn-install" || got["app.kubernetes.io/part-of"] != "openfunction" {
			t.Errorf("%s has the labels %v", install.Identity(o), got)
		}
	}
	for _, want := range []string{"namespace/openfunction", "customresourcedefinition.apiextensions.k8s.io/functions.core.openfunction.io",
		"serviceaccount/ofn-operator", "clusterrole.rbac.authorization.k8s.io/ofn-operator", "service/ofn-webhook", "deployment.apps/ofn-operator", "poddisruptionbudget.policy/ofn-operator"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no %s", want)
		}
	}
	if names[0] != "namespace/openfunction" || slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "dapr.io") || strings.Contains(n, "keda.sh") }) {
		t.Errorf("order or foreign definitions: %v", names)
	}
	if got := container(t, find(t, objects, "Deployment", "ofn-operator"))["image"]; got != "registry.example.com:5000/team/ofn:1" {
		t.Errorf("image %v", got)
	}
}

func TestManifestsOfOneNamespace(t *testing.T) {
	objects, err := install.Manifests{Files: config.Files, Image: "r/ofn@sha256:" + strings.Repeat("a", 64), Scope: "team-a"}.Objects()
	if err != nil {
		t.Fatal(err)
	}
	binding := find(t, objects, "RoleBinding", "ofn-operator", "team-a")
	if role, _, _ := unstructured.NestedString(binding.Object, "roleRef", "kind"); role != "ClusterRole" {
		t.Errorf("bound to a %s", role)
	}
	find(t, objects, "RoleBinding", "ofn-operator", "openfunction")
	find(t, objects, "ClusterRoleBinding", "ofn-operator-definitions")
	for _, o := range objects {
		if o.GetKind() == "ClusterRoleBinding" && o.GetName() == "ofn-operator" {
			t.Error("the operator may do in all namespaces what it should in one")
		}
	}
	c := container(t, find(t, objects, "Deployment", "ofn-operator"))
	if args, _, _ := unstructured.NestedStringSlice(c, "args"); !slices.Contains(args, "--namespace=team-a") {
		t.Errorf("args %v", args)
	}
	if got := c["image"]; got != "r/ofn@sha256:"+strings.Repeat("a", 64) {
		t.Errorf("image %v", got)
	}
}

// TestRestricted holds the Deployment to the restricted profile of pod security.
func TestRestricted(t *testing.T) {
	objects, err := install.Manifests{Files: config.Files, Image: "ofn:1"}.Objects()
	if err != nil {
		t.Fatal(err)
	}
	d := find(t, objects, "Deployment", "ofn-operator")
	pod, _, _ := unstructured.NestedMap(d.Object, "spec", "template", "spec", "securityContext")
	own, _, _ := unstructured.NestedMap(container(t, d), "securityContext")
	if profile, _, _ := unstructured.NestedString(pod, "seccompProfile", "type"); pod["runAsNonRoot"] != true || profile != "RuntimeDefault" {
		t.Errorf("pod: %v", pod)
	}
	if drop, _, _ := unstructured.NestedStringSlice(own, "capabilities", "drop"); own["allowPrivilegeEscalation"] != false || own["readOnlyRootFilesystem"] != true || !slices.Equal(drop, []string{"ALL"}) {
		t.Errorf("container: %v", own)
	}
}

func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string, namespace ...string) *unstructured.Unstructured {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name && (len(namespace) == 0 || o.GetNamespace() == namespace[0]) {
			return o
		}
	}
	t.Fatalf("there is no %s %s %v", kind, name, namespace)
	return nil
}

func container(t *testing.T, deployment *unstructured.Unstructured) map[string]any {
	t.Helper()
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if len(containers) != 1 {
		t.Fatalf("%d containers", len(containers))
	}
	return containers[0].(map[string]any)
}

package install_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func deployment(name string, labels map[string]string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: name, Labels: labels}}
}

func TestInstall(t *testing.T) {
	c := newCluster(t)
	objects, err := c.installer().Install(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.outcomes(); got["created"] != len(objects) || len(got) != 1 {
		t.Errorf("the first time: %v of %d", got, len(objects))
	}
	if _, err := c.installer().Install(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	if got := c.outcomes(); got["unchanged"] != len(objects) || len(got) != 1 {
		t.Errorf("the second time: %v of %d", got, len(objects))
	}
	r := request()
	r.Image = "" // that of the operator that is there
	if _, err := c.installer().Install(t.Context(), r); err != nil || c.outcomes()["configured"] != 0 {
		t.Errorf("without an image: %v", err)
	}
	d := &appsv1.Deployment{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "openfunction", Name: "ofn-operator"}, d); err != nil {
		t.Fatal(err)
	}
	d.Spec.Template.Spec.Containers[0].Args = []string{"operator", "--edited"}
	if err := c.Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := c.installer().Install(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil || slices.Contains(d.Spec.Template.Spec.Containers[0].Args, "--edited") {
		t.Errorf("what was edited by hand is still %v %v", d.Spec.Template.Spec.Containers[0].Args, err)
	}
}

func TestUpgradePrunes(t *testing.T) {
	c := newCluster(t)
	if _, err := c.installer().Install(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	ours := map[string]string{"app.kubernetes.io/part-of": "openfunction", "app.kubernetes.io/managed-by": "ofn-install"}
	old := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "ofn-operator-of-old", Labels: ours}}
	foreign := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "foreign", Labels: map[string]string{"app.kubernetes.io/part-of": "openfunction"}}}
	for _, o := range []client.Object{old, foreign} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	r := request()
	r.Version, r.Image = "v2", "registry.example.com/ofn:v2"
	if _, err := c.installer().Install(t.Context(), r); err == nil || !strings.Contains(err.Error(), "version v1 is installed, this program is v2: give --upgrade") {
		t.Errorf("another version without --upgrade: %v", err)
	}
	r.Upgrade = true
	if _, err := c.installer().Install(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(old), old); !apierrors.IsNotFound(err) {
		t.Errorf("what the older version had more: %v", err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil {
		t.Errorf("what somebody else made: %v", err)
	}
	r.Scope = "team"
	if _, err := c.installer().Install(t.Context(), r); err == nil || !strings.Contains(err.Error(), "looks after all namespaces, and is to look after namespace team: remove it first") {
		t.Errorf("for another scope: %v", err)
	}
	if err := c.installer().Uninstall(t.Context(), removal(false)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.installer().Install(t.Context(), r); err == nil || !strings.Contains(err.Error(), "no namespace team") {
		t.Errorf("for a namespace that is not there: %v", err)
	}
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.installer().Install(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKey{Name: "ofn-operator"}, &rbacv1.ClusterRoleBinding{}); !apierrors.IsNotFound(err) {
		t.Errorf("the rights in all namespaces after those in one: %v", err)
	}
}

func TestInstallRefuses(t *testing.T) {
	one := int32(1)
	old := deployment("openfunction-controller-manager", nil)
	old.Spec.Replicas = &one
	for name, test := range map[string]struct {
		there  []client.Object
		denied []string
		image  string
		want   []string
	}{
		"OpenFunction's operator": {there: []client.Object{old}, image: "x", want: []string{"OpenFunction's own operator", "--replicas=0", "docs/migration.md"}},
		"Helm's":                  {there: []client.Object{deployment("ofn-operator", map[string]string{"app.kubernetes.io/managed-by": "Helm"})}, image: "x", want: []string{"with Helm"}},
		"no right":                {denied: []string{"patch deployments", "create clusterroles"}, image: "x", want: []string{"patch deployments.apps in namespace openfunction", "create clusterroles.rbac.authorization.k8s.io", "Nothing was changed"}},
		"no image":                {want: []string{"--image", "ofn image --push"}},
	} {
		c := newCluster(t, test.there...)
		c.denied = test.denied
		r := request()
		r.Image = test.image
		_, err := c.installer().Install(t.Context(), r)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
		if len(c.writes) > 0 {
			t.Errorf("%s: wrote %v", name, c.writes)
		}
	}
}

func TestInstallTakesOver(t *testing.T) {
	none := int32(0)
	old := deployment("openfunction-controller-manager", nil)
	old.Spec.Replicas = &none
	if _, err := newCluster(t, old).installer().Install(t.Context(), request()); err != nil {
		t.Error("after OpenFunction's own operator was stopped:", err)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	c := newCluster(t)
	i := c.installer()
	i.DryRun = true
	if _, err := i.Install(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	if got := c.outcomes(); got["created"] == 0 || len(c.writes) > 0 {
		t.Errorf("told %v, wrote %v", got, c.writes)
	}
}

func TestWaitsTooLong(t *testing.T) {
	c := newCluster(t, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "ofn-operator-1", Labels: map[string]string{"app.kubernetes.io/name": "ofn-operator"}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"}}}}},
	})
	c.idle = true
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	i := c.installer()
	i.Step = func(format string, _ ...any) {
		if strings.HasPrefix(format, "waiting") {
			cancel()
		}
	}
	_, err := i.Install(ctx, request())
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "(0 of 2); pod ofn-operator-1: ErrImagePull: no such image") {
		t.Error(err)
	}
}

package install_test

import (
	"context"
	"slices"
	"testing"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/install"
)

// hooks are webhook configurations of the names that both operators use.
func hooks(service string) *admissionregv1.ValidatingWebhookConfiguration {
	return &admissionregv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: "validating-of-" + service},
		Webhooks:   []admissionregv1.ValidatingWebhook{{Name: "a.b.c", ClientConfig: admissionregv1.WebhookClientConfig{Service: &admissionregv1.ServiceReference{Namespace: "openfunction", Name: service}}}},
	}
}

func certificates() *corev1.Secret {
	return &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "ofn-webhook-certificates"}}
}

func removal(purge bool) install.Removal {
	return install.Removal{Manifests: install.Manifests{Files: light(), Version: "v1"}, Purge: purge, Wait: true,
		Made: func(string) []client.Object {
			return []client.Object{hooks("ofn-webhook"), hooks("theirs"), certificates()}
		}}
}

func withFunction(t *testing.T) (*cluster, *v1beta2.Function) {
	t.Helper()
	fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "hello", Finalizers: []string{"core.openfunction.io/cleanup"}}}
	c := newCluster(t, fn, hooks("ofn-webhook"), hooks("theirs"), certificates())
	if _, err := c.installer().Install(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	c.done, c.writes = nil, nil
	return c, fn
}

func front() *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "ofn-gateway"}}
}

func (c *cluster) gone(o client.Object) bool {
	c.t.Helper()
	err := c.Get(c.t.Context(), client.ObjectKeyFromObject(o), o)
	if client.IgnoreNotFound(err) != nil {
		c.t.Fatal(err)
	}
	return apierrors.IsNotFound(err)
}

func TestUninstallKeepsFunctions(t *testing.T) {
	c, fn := withFunction(t)
	n, some, err := c.installer().Functions(t.Context())
	if err != nil || n != 1 || !slices.Equal(some, []string{"default/hello"}) {
		t.Errorf("%d functions, %v, %v", n, some, err)
	}
	if err := c.installer().Uninstall(t.Context(), removal(false)); err != nil {
		t.Fatal(err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "functions.core.openfunction.io"}}
	if c.gone(fn) || c.gone(crd) || c.gone(hooks("theirs")) || c.gone(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "openfunction"}}) {
		t.Error("functions, their kinds, the namespace and what others made must stay")
	}
	if !c.gone(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "ofn-operator"}}) || !c.gone(hooks("ofn-webhook")) || !c.gone(certificates()) {
		t.Error("the operator is still there")
	}
	if c.gone(front()) {
		t.Error("functions that answer through the gateway must go on")
	}
	if n := c.outcomes()["deleted"]; n < 10 {
		t.Errorf("%d objects deleted", n)
	}
	if err := c.installer().Uninstall(t.Context(), removal(false)); err != nil || c.outcomes()["deleted"] != 0 {
		t.Errorf("the second time: %v", err)
	}
}

func TestUninstallDryRun(t *testing.T) {
	c, _ := withFunction(t)
	i := c.installer()
	i.DryRun = true
	if err := i.Uninstall(t.Context(), removal(true)); err != nil {
		t.Fatal(err)
	}
	if c.outcomes()["deleted"] == 0 || c.gone(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "ofn-operator"}}) {
		t.Error("a dry run must tell what would go, and delete nothing")
	}
}

// TestPurge plays what the API server does with the objects of a definition that is deleted.
func TestPurge(t *testing.T) {
	c, fn := withFunction(t)
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: "functions.core.openfunction.io"}, crd); err != nil {
		t.Fatal(err)
	}
	crd.Finalizers = []string{"customresourcecleanup.apiextensions.k8s.io"}
	if err := c.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	i := c.installer()
	i.Step = func(string, ...any) { c.cleanUp(t.Context(), crd, fn) }
	if err := i.Uninstall(t.Context(), removal(true)); err != nil {
		t.Fatal(err)
	}
	if !c.gone(fn) || !c.gone(crd) {
		t.Error("functions are still there")
	}
	if !c.gone(front()) {
		t.Error("the gateway is still there")
	}
}

// cleanUp deletes the objects of a definition that is being deleted, and lets the definition go after them.
func (c *cluster) cleanUp(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition, fn *v1beta2.Function) {
	if c.gone(crd) || crd.DeletionTimestamp == nil {
		return
	}
	if !c.gone(fn) {
		if fn.DeletionTimestamp == nil {
			if err := c.Client.Delete(ctx, fn); err != nil {
				c.t.Error(err)
			}
		}
		return
	}
	crd.Finalizers = nil
	if err := c.Update(ctx, crd); err != nil {
		c.t.Error(err)
	}
}

package install_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/api/opaque"
	"github.com/openfunction/ofn/internal/doctor"
	"github.com/openfunction/ofn/internal/install"
)

func surveyed(t *testing.T, c *cluster) doctor.ClusterFacts {
	t.Helper()
	f, err := c.installer().Survey(t.Context(), install.Manifests{Files: light(), Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	f.API.Version = "v1.33.0"
	return f
}

func TestSurveyOfNothing(t *testing.T) {
	c := newCluster(t)
	c.denied = []string{"create clusterroles"}
	f := surveyed(t, c)
	if f.Operator.There || f.WebhooksSet || len(f.Definitions) != 8 || f.Definitions[0].There || len(f.Denied) != 1 {
		t.Errorf("%+v", f)
	}
	if len(c.writes) > 0 {
		t.Errorf("a survey wrote %v", c.writes)
	}
}

// engine is the definition of one that is there.
func engine(name string, labels map[string]string) *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

// demanding is a function that names everything that a cluster may lack.
func demanding(t *testing.T) *v1beta2.Function {
	fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "hello"}}
	fn.Spec.ImageCredentials = &corev1.LocalObjectReference{Name: "pull"}
	fn.Spec.Serving = &v1beta2.FunctionServing{}
	fn.Spec.Serving.Triggers = &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{}}
	template, err := opaque.Of(map[string]any{"runtimeClassName": "gvisor", "nodeSelector": map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	fn.Spec.Serving.Template = &template
	fn.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: "EngineMissing", LastTransitionTime: metav1.Now(),
		Message: "KEDA's HTTP add-on is needed: this cluster has no httpscaledobjects.http.keda.sh"}}
	return fn
}

func TestSurvey(t *testing.T) {
	c := newCluster(t, demanding(t), hooks("ofn-webhook"), engine("services.serving.knative.dev", map[string]string{"app.kubernetes.io/version": "1.22.0"}),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-serving", Name: "config-features"}, Data: map[string]string{"kubernetes.podspec-nodeselector": "enabled"}},
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}, Handler: "runsc"})
	if _, err := c.installer().Install(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	f := surveyed(t, c)
	if o := f.Operator; !o.There || o.Version != "v1" || o.Available != 2 || o.Wanted != 2 || f.Functions != 1 || !f.WebhooksSet || f.Webhooks != nil {
		t.Errorf("%+v", f)
	}
	byName := map[string]doctor.Engine{}
	for _, e := range f.Engines {
		byName[e.Name] = e
	}
	if e := byName["knative"]; !e.There || e.Version != "1.22.0" {
		t.Errorf("Knative: %+v", e)
	}
	if e := byName["keda-http"]; e.There || len(e.NeededBy) != 1 || len(byName["keda"].NeededBy) != 0 {
		t.Errorf("KEDA's add-on: %+v", e)
	}
	there := map[string]bool{}
	for _, n := range append(append(f.RuntimeClasses, f.Features...), f.Secrets...) {
		there[n.What] = n.There
		if len(n.Functions) != 1 || n.Functions[0] != "default/hello" {
			t.Errorf("%+v", n)
		}
	}
	want := map[string]bool{"gvisor": true, "kubernetes.podspec-runtimeclassname": false, "kubernetes.podspec-nodeselector": true, "default/pull": false}
	for what, is := range want {
		if got, ok := there[what]; !ok || got != is {
			t.Errorf("%s: there %v, found %v; want %v", what, got, ok, is)
		}
	}
	if len(there) != len(want) {
		t.Errorf("needs %v", there)
	}
}

// TestSilentWebhooks asks webhooks that the API server does not reach.
func TestSilentWebhooks(t *testing.T) {
	c := newCluster(t, hooks("ofn-webhook"))
	c.Client = interceptor.NewClient(c.Client.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, next client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if o.GetObjectKind().GroupVersionKind().Kind == "Function" {
				return apierrors.NewInternalError(errors.New("failed calling webhook"))
			}
			return next.Create(ctx, o, opts...)
		}})
	if f := surveyed(t, c); f.Webhooks == nil || !strings.Contains(f.Webhooks.Error(), "failed calling webhook") {
		t.Errorf("%v", f.Webhooks)
	}
}

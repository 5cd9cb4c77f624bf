package configure_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/internal/control/admission"
	"github.com/openfunction/ofn/internal/control/webhook/certificate"
	"github.com/openfunction/ofn/internal/control/webhook/configure"
)

var (
	now    = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	names  = []string{"ofn-webhook.openfunction.svc"}
	secret = client.ObjectKey{Namespace: "openfunction", Name: "ofn-webhook-certificates"}
)

// cluster is an API server, and a controller that knows nothing but it.
type cluster struct {
	*testing.T
	client.Client
	options configure.Options
	writes  int
	log     bytes.Buffer
}

func newCluster(t *testing.T, namespace string, objects ...client.Object) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := &cluster{T: t}
	c.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			c.writes++
			return w.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			c.writes++
			return w.Update(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			c.writes++
			return w.Patch(ctx, o, p, opts...)
		},
	}).Build()
	c.options = configure.Options{Secret: secret, Service: client.ObjectKey{Namespace: "openfunction", Name: "ofn-webhook"}, Names: names, Namespace: namespace,
		Services: c.Client, Clock: clocktesting.NewFakePassiveClock(now), Log: slog.New(slog.NewTextHandler(&c.log, nil))}
	return c
}

func (c *cluster) reconcile() reconcile.Result {
	c.Helper()
	result, err := configure.NewController(c.Client, c.Client, c.options).Reconcile(c.Context(), reconcile.Request{NamespacedName: secret})
	if err != nil {
		c.Fatal(err)
	}
	return result
}

// settled reconciles twice; the second time writes nothing.
func (c *cluster) settled() {
	c.Helper()
	c.reconcile()
	c.writes = 0
	c.reconcile()
	if c.writes != 0 {
		c.Errorf("%d writes although nothing changed", c.writes)
	}
}

func (c *cluster) read() (*admissionregv1.MutatingWebhookConfiguration, *admissionregv1.ValidatingWebhookConfiguration) {
	c.Helper()
	m, v := &admissionregv1.MutatingWebhookConfiguration{}, &admissionregv1.ValidatingWebhookConfiguration{}
	mutating, validating := configure.Names(c.options.Namespace)
	for name, o := range map[string]client.Object{mutating: m, validating: v} {
		if err := c.Get(c.Context(), client.ObjectKey{Name: name}, o); err != nil {
			c.Fatal(err)
		}
	}
	return m, v
}

func (c *cluster) conversion(name string) *apiextensionsv1.CustomResourceConversion {
	c.Helper()
	d := &apiextensionsv1.CustomResourceDefinition{}
	if err := c.Get(c.Context(), client.ObjectKey{Name: name}, d); err != nil {
		c.Fatal(err)
	}
	return d.Spec.Conversion
}

func material(t *testing.T) *corev1.Secret {
	t.Helper()
	m, _, err := certificate.Material{}.Renewed(now, names)
	if err != nil {
		t.Fatal(err)
	}
	data, err := m.Data()
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name}, Data: data}
}

func service() *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "ofn-webhook"}}
}

// definitions are those that are converted, as a cache without schemas holds them.
func definitions() []client.Object {
	var out []client.Object
	for _, name := range configure.Definitions() {
		out = append(out, &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "core.openfunction.io", Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1beta1", Served: true}, {Name: "v1beta2", Served: true}},
			Conversion: &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}}})
	}
	return out
}

func TestWritten(t *testing.T) {
	kept := material(t)
	c := newCluster(t, "", append(definitions(), kept, service())...)
	c.settled()
	mutating, validating := c.read()
	if len(mutating.Webhooks) != 2 || len(validating.Webhooks) != 7 {
		t.Errorf("%d and %d webhooks", len(mutating.Webhooks), len(validating.Webhooks))
	}
	for _, w := range validating.Webhooks {
		s := w.ClientConfig.Service
		if s == nil || s.Namespace != "openfunction" || s.Name != "ofn-webhook" || *s.Port != 443 || !bytes.Equal(w.ClientConfig.CABundle, kept.Data["ca.crt"]) {
			t.Errorf("%s is asked at %+v", w.Name, w.ClientConfig)
		}
		if *w.FailurePolicy != "Fail" || *w.MatchPolicy != "Equivalent" || *w.SideEffects != "None" || *w.TimeoutSeconds != 10 || len(w.NamespaceSelector.MatchLabels) != 0 ||
			!strings.HasSuffix(w.Rules[0].APIGroups[0], ".openfunction.io") {
			t.Errorf("%+v", w)
		}
	}
	for _, name := range configure.Definitions() {
		got := c.conversion(name)
		if got.Strategy != apiextensionsv1.WebhookConverter || *got.Webhook.ClientConfig.Service.Path != admission.PathConvert || !bytes.Equal(got.Webhook.ClientConfig.CABundle, kept.Data["ca.crt"]) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestRepaired(t *testing.T) {
	c := newCluster(t, "", append(definitions(), material(t), service())...)
	c.settled()
	want, wantValidating := c.read()
	edited, gone := want.DeepCopy(), wantValidating.DeepCopy()
	edited.Labels = map[string]string{"theirs": "stays"}
	edited.Webhooks[0].ClientConfig.CABundle, edited.Webhooks[1].FailurePolicy = []byte("x"), new(admissionregv1.Ignore)
	d := &apiextensionsv1.CustomResourceDefinition{}
	for _, err := range []error{c.Update(t.Context(), edited), c.Delete(t.Context(), gone), c.Get(t.Context(), client.ObjectKey{Name: configure.Definitions()[0]}, d)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d.Spec.Conversion.Webhook.ClientConfig.Service, d.Spec.Conversion.Webhook.ClientConfig.URL = nil, new("https://example.com/x")
	if err := c.Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	c.settled()
	mutating, validating := c.read()
	if *mutating.Webhooks[1].FailurePolicy != "Fail" || bytes.Equal(mutating.Webhooks[0].ClientConfig.CABundle, []byte("x")) || mutating.Labels["theirs"] != "stays" || len(validating.Webhooks) != 7 {
		t.Errorf("%+v\n%+v", mutating, validating)
	}
	if got := c.conversion(d.Name).Webhook.ClientConfig; got.URL != nil || got.Service == nil {
		t.Errorf("%+v", got)
	}
}

func TestNotYet(t *testing.T) {
	for name, objects := range map[string][]client.Object{
		"no certificate":      {service()},
		"useless certificate": {service(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name}, Data: map[string][]byte{"ca.crt": []byte("x")}}},
		"no Service":          {material(t)},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "", append(definitions(), objects...)...)
			result := c.reconcile()
			if c.writes != 0 {
				t.Errorf("%d writes", c.writes)
			}
			if waits := name == "no Service"; waits != (result.RequeueAfter > 0) || waits != strings.Contains(c.log.String(), "config/webhook") {
				t.Errorf("again after %v; said %s", result.RequeueAfter, &c.log)
			}
		})
	}
}

func TestCertManager(t *testing.T) {
	foreign := material(t).Data["ca.crt"]
	c := newCluster(t, "", append(definitions(), material(t), service())...)
	c.settled()
	mutating, validating := c.read()
	d := &apiextensionsv1.CustomResourceDefinition{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: configure.Definitions()[1]}, d); err != nil {
		t.Fatal(err)
	}
	for i := range mutating.Webhooks {
		mutating.Webhooks[i].ClientConfig.CABundle = foreign
	}
	validating.Webhooks[0].ClientConfig.CABundle = foreign
	d.Spec.Conversion.Webhook.ClientConfig.CABundle = foreign
	for _, o := range []client.Object{mutating, validating, d} {
		if o != client.Object(validating) {
			o.SetAnnotations(map[string]string{"cert-manager.io/inject-ca-from": "openfunction/webhook"})
		}
		if err := c.Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	c.settled()
	mutating, validating = c.read()
	if !bytes.Equal(mutating.Webhooks[1].ClientConfig.CABundle, foreign) || !bytes.Equal(c.conversion(d.Name).Webhook.ClientConfig.CABundle, foreign) {
		t.Error("what cert-manager keeps was changed")
	}
	if bytes.Equal(validating.Webhooks[0].ClientConfig.CABundle, foreign) {
		t.Error("what nobody else keeps was not repaired")
	}
	if !strings.Contains(c.log.String(), "do not go with the certificate") {
		t.Error("nobody is told that it cannot work:", c.log.String())
	}
}

func TestNamespace(t *testing.T) {
	objects := definitions()
	theirs := objects[0].(*apiextensionsv1.CustomResourceDefinition)
	other := admission.Endpoint{CABundle: []byte("ca"), Service: &admission.Service{Namespace: "elsewhere", Name: "ofn-webhook"}}
	other.PatchConversion(theirs)
	c := newCluster(t, "team", append(objects, material(t), service())...)
	c.settled()
	mutating, validating := c.read()
	if mutating.Name != admission.MutatingName+".team" || mutating.Webhooks[0].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != "team" {
		t.Errorf("%+v", mutating)
	}
	for _, w := range validating.Webhooks {
		if *w.Rules[0].Scope != admissionregv1.NamespacedScope || w.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != "team" {
			t.Errorf("%+v", w)
		}
	}
	if err := c.Get(t.Context(), client.ObjectKey{Name: admission.MutatingName}, mutating); !apierrors.IsNotFound(err) {
		t.Error("it writes the configuration of all namespaces:", err)
	}
	if got := c.conversion(theirs.Name).Webhook.ClientConfig.Service.Namespace; got != "elsewhere" {
		t.Error("it takes over another's conversion")
	}
	if got := c.conversion(objects[1].GetName()).Webhook.ClientConfig.Service.Namespace; got != "openfunction" {
		t.Error("nobody converts", objects[1].GetName())
	}
}

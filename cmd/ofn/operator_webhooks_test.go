package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta1"
	"github.com/openfunction/ofn/internal/control/admission"
	"github.com/openfunction/ofn/internal/control/webhook/certificate"
	"github.com/openfunction/ofn/internal/control/webhook/configure"
)

// webhookAddress is on a loopback address of this process alone, where no other test can listen.
func (o *operated) webhookAddress() webhookSettings {
	pid := os.Getpid()
	o.operators++
	s := webhookSettings{on: true, service: "ofn-webhook", port: webhook.DefaultPort + o.operators, host: fmt.Sprintf("127.%d.%d.%d", 64+pid>>16&63, pid>>8&255, pid&255)}
	s.url = fmt.Sprintf("https://%s:%d", s.host, s.port)
	return s
}

func (o *operated) webhooks(t *testing.T) {
	in := o.in(t)
	in.answered()
	t.Run("v1beta1 both ways", in.olderVersion)
	t.Run("defaults and refusals", in.checked)
	t.Run("repaired by hand", in.configurationsRepaired)
	t.Run("Secret expired, broken, deleted", in.certificateReplaced)
}

// answered waits until the API server asks the webhooks for everything, and believes them.
func (o *operated) answered() {
	o.Helper()
	o.eventually(func(ctx context.Context) string {
		bad := httpFunction("bad", "")
		if err := o.client.Create(ctx, bad, client.DryRunAll); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.image") {
			return fmt.Sprintf("a function without an image: %v", err)
		}
		good := engineObject(v1beta1.GroupVersion.String(), "Function", "good")
		good.Object["spec"] = map[string]any{"image": "example.com/good", "serving": map[string]any{"runtime": "knative"}}
		if err := o.client.Create(ctx, good, client.DryRunAll); err != nil {
			return fmt.Sprintf("a function of v1beta1: %v", err)
		}
		return ""
	})
}

// olderVersion applies the manifests of v1beta1 as they are.
func (o *operated) olderVersion(t *testing.T) {
	in := o.in(t)
	manifests, err := filepath.Glob(filepath.FromSlash("../../internal/control/admission/testdata/v1beta1-*.yaml"))
	if err != nil || len(manifests) < 3 {
		t.Fatal(manifests, err)
	}
	for _, path := range manifests {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sent := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &sent.Object); err != nil {
			t.Fatal(err)
		}
		sent.SetNamespace("default")
		applied := sent.DeepCopy()
		in.create(applied)
		newer := engineObject("core.openfunction.io/v1beta2", "Function", sent.GetName())
		in.change(newer, sent.GetName(), func() { // by the newer name of a field of both
			if err := unstructured.SetNestedField(newer.Object, "registry.example.com/changed", "spec", "image"); err != nil {
				t.Error(err)
			}
		})
		if _, found, _ := unstructured.NestedFieldNoCopy(newer.Object, "spec", "serving", "triggers"); !found {
			t.Errorf("%s: in v1beta2 it is %v", path, newer.Object["spec"])
		}
		older := engineObject(sent.GetAPIVersion(), "Function", sent.GetName())
		if err := in.get(older, sent.GetName()); err != nil {
			t.Fatal(err)
		}
		if image, _, _ := unstructured.NestedString(older.Object, "spec", "image"); image != "registry.example.com/changed" {
			t.Errorf("%s: in v1beta1 the image is %s", path, image)
		}
		_ = unstructured.SetNestedField(sent.Object, "registry.example.com/changed", "spec", "image")
		if lost := lost("spec", sent.Object["spec"], older.Object["spec"]); lost != nil {
			t.Errorf("%s: lost on the way there and back: %v", path, lost)
		}
		if err := in.client.Delete(t.Context(), older); err != nil {
			t.Error(err)
		}
	}
}

// lost names what of the first value the second does not have.
func lost(path string, sent, got any) []string {
	switch sent := sent.(type) {
	case map[string]any:
		there, _ := got.(map[string]any)
		var out []string
		for key, value := range sent {
			out = append(out, lost(path+"."+key, value, there[key])...)
		}
		return out
	case []any:
		there, _ := got.([]any)
		var out []string
		for i, value := range sent {
			if i >= len(there) {
				return append(out, fmt.Sprintf("%s[%d]", path, i))
			}
			out = append(out, lost(fmt.Sprintf("%s[%d]", path, i), value, there[i])...)
		}
		return out
	}
	if fmt.Sprint(sent) != fmt.Sprint(got) { // numbers have several types here
		return []string{fmt.Sprintf("%s: %v became %v", path, sent, got)}
	}
	return nil
}

func (o *operated) checked(t *testing.T) {
	in := o.in(t)
	fn := httpFunction("defaulted", "example.com/x")
	fn.Spec.Version = nil
	if err := in.client.Create(t.Context(), fn, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if v, http := fn.Spec.Version, fn.Spec.Serving.Triggers.HTTP; v == nil || *v != "latest" || http.Port == nil || *http.Port != 8080 {
		t.Errorf("no defaults: %+v", fn.Spec)
	}
	bad := httpFunction("bad", "example.com/x")
	bad.Spec.Serving = nil
	if err := in.client.Create(t.Context(), bad, client.DryRunAll); !apierrors.IsInvalid(err) {
		t.Error("a function without build and serving:", err)
	}
}

func (o *operated) configurationsRepaired(t *testing.T) {
	in := o.in(t)
	mutating, validating := &admissionregv1.MutatingWebhookConfiguration{}, &admissionregv1.ValidatingWebhookConfiguration{}
	if err := in.client.Get(t.Context(), client.ObjectKey{Name: admission.MutatingName}, mutating); err != nil {
		t.Fatal(err)
	}
	if err := in.client.Delete(t.Context(), mutating); err != nil {
		t.Fatal(err)
	}
	in.edit(validating, admission.ValidatingName, func() { validating.Webhooks = validating.Webhooks[1:] })
	for _, name := range configure.Definitions() {
		d := &apiextensionsv1.CustomResourceDefinition{}
		in.edit(d, name, func() {
			d.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
		})
	}
	in.trusted()
	in.answered()
	for _, w := range validating.Webhooks {
		if !strings.HasSuffix(w.Rules[0].APIGroups[0], ".openfunction.io") {
			t.Errorf("objects of others are looked at: %+v", w.Rules)
		}
	}
}

// edit changes an object of the cluster.
func (o *operated) edit(x client.Object, name string, how func()) {
	o.Helper()
	o.eventually(func(ctx context.Context) string {
		if err := o.client.Get(ctx, client.ObjectKey{Name: name}, x); err != nil {
			return err.Error()
		}
		how()
		if err := o.client.Update(ctx, x); err != nil {
			return err.Error()
		}
		return ""
	})
}

// trusted waits until everything names the authorities of the Secret.
func (o *operated) trusted() {
	o.Helper()
	o.eventually(func(ctx context.Context) string {
		secret := &corev1.Secret{}
		if err := o.client.Get(ctx, client.ObjectKey{Namespace: "openfunction", Name: "ofn-webhook-certificates"}, secret); err != nil {
			return err.Error()
		}
		var bundles [][]byte
		mutating, validating := &admissionregv1.MutatingWebhookConfiguration{}, &admissionregv1.ValidatingWebhookConfiguration{}
		for name, x := range map[string]client.Object{admission.MutatingName: mutating, admission.ValidatingName: validating} {
			if err := o.client.Get(ctx, client.ObjectKey{Name: name}, x); err != nil {
				return err.Error()
			}
		}
		for _, w := range mutating.Webhooks {
			bundles = append(bundles, w.ClientConfig.CABundle)
		}
		for _, w := range validating.Webhooks {
			bundles = append(bundles, w.ClientConfig.CABundle)
		}
		for _, name := range configure.Definitions() {
			d := &apiextensionsv1.CustomResourceDefinition{}
			if err := o.client.Get(ctx, client.ObjectKey{Name: name}, d); err != nil {
				return err.Error()
			}
			if d.Spec.Conversion.Webhook == nil {
				return name + " is not converted"
			}
			bundles = append(bundles, d.Spec.Conversion.Webhook.ClientConfig.CABundle)
		}
		for i, b := range bundles {
			if !bytes.Equal(b, secret.Data[certificate.KeyAuthorities]) || len(b) == 0 {
				return fmt.Sprintf("bundle %d of %d is not the Secret's", i+1, len(bundles))
			}
		}
		if len(bundles) < 12 {
			return fmt.Sprintf("there are %d bundles", len(bundles))
		}
		return ""
	})
}

func (o *operated) certificateReplaced(t *testing.T) {
	in := o.in(t)
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: "openfunction", Name: "ofn-webhook-certificates"}
	expired, _, err := certificate.Material{}.Renewed(time.Now().AddDate(-2, 0, 0), []string{"ofn-webhook.openfunction.svc"})
	if err != nil {
		t.Fatal(err)
	}
	old, err := expired.Data()
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []func(*corev1.Secret) error{
		func(s *corev1.Secret) error { s.Data = old; return in.client.Update(t.Context(), s) },
		func(s *corev1.Secret) error {
			s.Data = map[string][]byte{"tls.crt": []byte("x"), "tls.key": nil}
			return in.client.Update(t.Context(), s)
		},
		func(s *corev1.Secret) error { return in.client.Delete(t.Context(), s) },
	} {
		if err := in.client.Get(t.Context(), key, secret); err != nil {
			t.Fatal(err)
		}
		if err := how(secret); err != nil {
			t.Fatal(err)
		}
		in.trusted()
		in.answered()
	}
}

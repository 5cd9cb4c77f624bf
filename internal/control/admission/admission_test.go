package admission_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/config/crd"
	"github.com/openfunction/ofn/internal/control/admission"
)

func TestServingCannotBeChanged(t *testing.T) {
	s := newServer(t)
	serving := func(more string) map[string]any {
		return s.object([]byte(`{"apiVersion":"core.openfunction.io/v1beta2","kind":"Serving","metadata":{"name":"s"` + more + `}}`))
	}
	old := serving(`},"spec":{"image":"i","template":{"a":1,"b":2}`)
	for _, test := range []struct {
		name    string
		object  map[string]any
		allowed bool
	}{
		{"the same in another order", serving(`},"spec":{"template":{"b":2,"a":1},"image":"i"`), true},
		{"a label", serving(`,"labels":{"x":"y"}},"spec":{"image":"i","template":{"a":1,"b":2}`), true},
		{"the image", serving(`},"spec":{"image":"j","template":{"a":1,"b":2}`), false},
		{"the template", serving(`},"spec":{"image":"i","template":{"a":1}`), false},
		{"anything of one that goes away", serving(`,"deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"image":"j"`), true},
	} {
		if got := s.review("validate", test.object, old); got.Allowed != test.allowed {
			t.Errorf("%s: allowed %v, %v", test.name, got.Allowed, got.Result)
		}
	}
	if got := s.review("validate", old, nil); !got.Allowed {
		t.Errorf("creation is refused: %v", got.Result)
	}
	if got := s.review("mutate", old, nil); !got.Allowed || len(got.Patch) != 0 {
		t.Errorf("mutation: %+v", got)
	}
}

func TestRefusalSaysWhere(t *testing.T) {
	s := newServer(t)
	got := s.review("validate", s.object([]byte(`{"apiVersion":"core.openfunction.io/v1beta2","kind":"Function","metadata":{"name":"f"},"spec":{"image":""}}`)), nil)
	if got.Allowed || got.Result.Reason != metav1.StatusReasonInvalid || got.Result.Code != 422 || len(got.Result.Details.Causes) != 2 {
		t.Errorf("%+v", got.Result)
	}
}

func TestObjectsThatCannotBeRead(t *testing.T) {
	s := newServer(t)
	object := s.object([]byte(`{"apiVersion":"core.openfunction.io/v1beta2","kind":"Function","spec":7}`))
	// The check against the schema, which is between the two, has better words for it.
	if got := s.review("mutate", object, nil); !got.Allowed || got.Patch != nil {
		t.Errorf("mutate: %+v", got)
	}
	if got := s.review("validate", object, nil); got.Allowed || got.Result.Code != http.StatusBadRequest {
		t.Errorf("validate: %+v", got)
	}
}

func TestConversionOfAList(t *testing.T) {
	s := newServer(t)
	const old, hub = "core.openfunction.io/v1beta1", "core.openfunction.io/v1beta2"
	for _, kind := range []string{"Function", "Builder", "Serving"} {
		object := s.object([]byte(`{"apiVersion":"` + old + `","kind":"` + kind + `","metadata":{"name":"x","uid":"1"},"spec":{"image":"i"}}`))
		there := s.convert(object, hub)
		if there["apiVersion"] != hub || there["kind"] != kind || there["metadata"].(map[string]any)["uid"] != "1" {
			t.Errorf("%s: %v", kind, there)
		}
		if back := s.convert(there, old); back["apiVersion"] != old {
			t.Errorf("%s: %v", kind, back)
		}
		if same := s.convert(object, old); s.text(same) != s.text(object) {
			t.Errorf("%s: conversion to its own version made %v", kind, same)
		}
	}
}

func TestConversionThatFails(t *testing.T) {
	s := newServer(t)
	for _, object := range []string{
		`{"apiVersion":"dapr.io/v1alpha1","kind":"Subscription"}`,
		`{"apiVersion":"core.openfunction.io/v1alpha1","kind":"Function"}`,
		`{"apiVersion":"core.openfunction.io/v1beta1","kind":"Domain"}`,
		`{"apiVersion":"core.openfunction.io/v1beta1","kind":"Function","spec":{"serving":7}}`,
		`{"apiVersion":7}`,
	} {
		review := apiextensionsv1.ConversionReview{}
		s.postText(admission.PathConvert, `{"request":{"uid":"1","desiredAPIVersion":"core.openfunction.io/v1beta2","objects":[`+object+`]}}`, &review)
		res := review.Response
		if res == nil || res.UID != "1" || res.Result.Status != metav1.StatusFailure || res.Result.Message == "" || len(res.ConvertedObjects) != 0 {
			t.Errorf("%s: %+v", object, res)
		}
	}
	for _, body := range []string{``, `{`, `{}`, `[]`} {
		res, err := http.Post(s.url+admission.PathConvert, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusBadRequest || len(said) == 0 {
			t.Errorf("%q: %s %s %v", body, res.Status, said, err)
		}
	}
}

// Every path that a configuration names is served.
func TestConfigurations(t *testing.T) {
	handlers := admission.Handlers(admission.Options{})
	ca := []byte("ca")
	for _, endpoint := range []admission.Endpoint{
		{CABundle: ca, URL: "https://127.0.0.1:9443/"},
		{CABundle: ca, Service: &admission.Service{Namespace: "openfunction", Name: "webhook", Prefix: "/below"}},
	} {
		mutating, validating := endpoint.Configurations()
		var paths, names []string
		for _, w := range mutating.Webhooks {
			names = append(names, w.Name)
			paths = append(paths, pathOf(t, w.ClientConfig.URL, w.ClientConfig.Service != nil && *w.ClientConfig.Service.Port == 443, func() *string { return w.ClientConfig.Service.Path }))
			if string(w.ClientConfig.CABundle) != "ca" || *w.FailurePolicy != "Fail" || *w.MatchPolicy != "Equivalent" || *w.SideEffects != "None" {
				t.Errorf("%s: %+v", w.Name, w)
			}
		}
		for _, w := range validating.Webhooks {
			names = append(names, w.Name)
			paths = append(paths, pathOf(t, w.ClientConfig.URL, w.ClientConfig.Service != nil && *w.ClientConfig.Service.Port == 443, func() *string { return w.ClientConfig.Service.Path }))
		}
		for _, path := range paths {
			if handlers[path] == nil {
				t.Errorf("nothing serves %s", path)
			}
		}
		if got := strings.Join(names, " "); got != "mfunctions.of.io mgateway.of.io vfunctions.of.io vservings.of.io vgateway.of.io "+
			"veventsources.of.io veventbuses.of.io vclustereventbuses.of.io vtriggers.of.io vcomponents.of.io vsubscriptions.of.io vconfigurations.of.io vresiliencies.of.io vtriggerauthentications.of.io" {
			t.Errorf("webhooks %s", got)
		}
	}
}

func pathOf(t *testing.T, url *string, service bool, path func() *string) string {
	t.Helper()
	if service {
		return strings.TrimPrefix(*path(), "/below")
	}
	rest, ok := strings.CutPrefix(*url, "https://127.0.0.1:9443")
	if !ok {
		t.Fatalf("URL %s", *url)
	}
	return rest
}

func TestPatchConversion(t *testing.T) {
	crds, err := crd.Objects()
	if err != nil {
		t.Fatal(err)
	}
	patched := 0
	for _, c := range crds {
		admission.Endpoint{CABundle: []byte("ca"), URL: "https://127.0.0.1:9443"}.PatchConversion(c)
		conversion := c.Spec.Conversion
		if len(c.Spec.Versions) == 1 {
			if conversion != nil {
				t.Errorf("%s has one version and a conversion", c.Name)
			}
			continue
		}
		patched++
		if conversion.Strategy != apiextensionsv1.WebhookConverter || *conversion.Webhook.ClientConfig.URL != "https://127.0.0.1:9443/convert" ||
			string(conversion.Webhook.ClientConfig.CABundle) != "ca" {
			t.Errorf("%s: %+v", c.Name, conversion.Webhook)
		}
	}
	if patched != 4 {
		t.Errorf("%d definitions have a conversion, want 4", patched)
	}
}

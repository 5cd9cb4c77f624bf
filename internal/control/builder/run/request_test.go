package run_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
)

func ref(name string) *corev1.LocalObjectReference { return &corev1.LocalObjectReference{Name: name} }

func secretOf(name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Data: map[string][]byte{}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	return s
}

func TestStrategies(t *testing.T) {
	named := func(name string) func(*v1beta2.Builder) {
		return func(b *v1beta2.Builder) {
			b.Spec.Shipwright = &v1beta2.ShipwrightEngine{Strategy: &v1beta2.Strategy{Name: name}}
		}
	}
	for name, test := range map[string]struct {
		change  func(*v1beta2.Builder)
		refused string
	}{
		"none":           {func(*v1beta2.Builder) {}, ""},
		"the default":    {named("openfunction"), ""},
		"another":        {named("other"), ""},
		"WebAssembly":    {named("wasmedge"), ""},
		"unknown":        {named("kaniko"), `build strategy "kaniko" is not available here; available: openfunction, other, wasmedge`},
		"dockerfile":     {func(b *v1beta2.Builder) { b.Spec.Builder, b.Spec.Dockerfile = nil, new("D") }, `build strategy "dockerfile" is not available here`},
		"both are given": {func(b *v1beta2.Builder) { b.Spec.Dockerfile = new("D") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, builder(test.change))
			if test.refused == "" {
				w.reconcile()
				if a := <-w.s.began; (a.request.Target == build.TargetWasm) != (name == "WebAssembly") {
					t.Errorf("the target is %q", a.request.Target)
				}
				return
			}
			if s := w.ended(); s.State != v1beta2.StateFailed || s.Reason != "UnknownStrategy" || !strings.Contains(s.Message, test.refused) {
				t.Errorf("status is %+v", s)
			}
		})
	}
}

func TestReferences(t *testing.T) {
	b := builder(func(b *v1beta2.Builder) {
		b.Spec.SrcRepo.Credentials, b.Spec.ImageCredentials = ref("git"), ref("push")
		b.Spec.Shipwright = &v1beta2.ShipwrightEngine{Params: []*v1beta2.ParamValue{
			{Name: "plain", SingleValue: v1beta2.SingleValue{Value: new("v")}},
			{Name: "secret", SingleValue: v1beta2.SingleValue{SecretValue: &v1beta2.ObjectKeyRef{Name: "git", Key: "token", Format: new("t=${SECRET_VALUE}")}}},
			{Name: "list", Values: []v1beta2.SingleValue{{Value: new("a")}, {ConfigMapValue: &v1beta2.ObjectKeyRef{Name: "m", Key: "k"}}}},
		}}
	})
	push := secretOf("push", map[string]string{".dockerconfigjson": `{"auths": {"ghcr.io": {"username": "u", "password": "p"}}}`})
	push.Type = corev1.SecretTypeDockerConfigJson
	w := newWorld(t, b, push, secretOf("git", map[string]string{"token": "tok", "username": "me"}),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}, Data: map[string]string{"k": "b"}})
	w.reconcile()
	r := (<-w.s.began).request
	if !reflect.DeepEqual(r.Output, build.Output{Image: "ghcr.io/o/fn", Auth: build.Auth{Username: "u", Password: "p"}}) || r.Source.Auth.Token != "tok" || r.Source.Auth.Username != "me" {
		t.Errorf("request is %+v", r)
	}
	want := map[string]build.Param{"plain": {Value: "v"}, "secret": {Value: "t=tok"}, "list": {Values: []string{"a", "b"}}}
	if !reflect.DeepEqual(r.Params, want) {
		t.Errorf("params are %+v", r.Params)
	}
}

func TestBundle(t *testing.T) {
	b := builder(func(b *v1beta2.Builder) {
		b.Spec.SrcRepo.BundleContainer = &v1beta2.BundleContainer{Image: "ghcr.io/o/src"}
	})
	w := newWorld(t, b)
	w.reconcile()
	if r := (<-w.s.began).request; r.Source.Bundle != "ghcr.io/o/src" {
		t.Errorf("source is %+v", r.Source)
	}
}

// Manifests from elsewhere name a secret for pushing, which nothing here needs.
func TestMissingPushSecret(t *testing.T) {
	w := newWorld(t, builder(func(b *v1beta2.Builder) { b.Spec.ImageCredentials = ref("push") }))
	w.reconcile()
	if s := w.status(); !strings.Contains(s.Message, `secret "push" is not in namespace "ns": make it, or leave spec.imageCredentials out`) {
		t.Errorf("status is %+v", s)
	}
}

// Manifests are applied in any order: a Builder waits a while for what it names.
func TestMissingSecret(t *testing.T) {
	waits := func(t *testing.T) *world {
		w := newWorld(t, builder(func(b *v1beta2.Builder) { b.Spec.SrcRepo.Credentials = ref("late") }))
		if result := w.reconcile(); result.RequeueAfter == 0 {
			t.Errorf("result is %+v", result)
		}
		if s := w.status(); s.State != v1beta2.StateCreated || s.Reason != "MissingReference" || s.Message != `secret "late" is not in namespace "ns"` || succeeded(s).Status != "Unknown" {
			t.Errorf("status is %+v", s)
		}
		writes := w.c.Writes
		w.reconcile()
		if w.c.Writes != writes {
			t.Error("waiting writes")
		}
		return w
	}
	t.Run("comes", func(t *testing.T) {
		w := waits(t)
		if err := w.c.Raw.Create(t.Context(), secretOf("late", map[string]string{"token": "t"})); err != nil {
			t.Fatal(err)
		}
		w.reconcile()
		(<-w.s.began).end <- outcome{result: build.Result{Digest: "sha256:1"}}
		if s := w.ended(); s.State != v1beta2.StateSucceeded || s.Reason != "" || s.Message != "" {
			t.Errorf("status is %+v", s)
		}
	})
	t.Run("does not come", func(t *testing.T) {
		w := waits(t)
		w.clock.SetTime(epoch.Add(2 * time.Minute))
		if s := w.ended(); s.State != v1beta2.StateFailed || s.Reason != "MissingReference" || !strings.Contains(s.Message, "late") {
			t.Errorf("status is %+v", s)
		}
	})
}

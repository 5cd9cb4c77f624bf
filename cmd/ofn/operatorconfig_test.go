package main

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// defaults changes what the platform gives every function, after which nothing else makes anybody look at them.
func (o *operated) defaults(t *testing.T) {
	in := o.in(t)
	in.create(built("traced", nil))
	in.ready("traced", "traced-00001")
	in.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: platformConfig.Namespace, Name: platformConfig.Name},
		Data: map[string]string{"tracing": "{enabled: true, provider: {name: opentelemetry}}"}})
	in.eventually(func(context.Context) string {
		b := &v1beta2.Builder{}
		if err := in.get(b, "traced-build-00002"); err != nil || b.Spec.Env[v1beta2.EnvTracing] != "opentelemetry" {
			return fmt.Sprintf("it is not built with tracing: %v (%v)", b.Spec.Env, err)
		}
		return ""
	})
}

func TestOnlyThePlatformsConfigMapIsReadFromTheCache(t *testing.T) {
	object := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name}
	}
	cached := fake.NewClientBuilder().WithObjects(
		&corev1.ConfigMap{ObjectMeta: object(platformConfig.Namespace, platformConfig.Name)}, &corev1.ConfigMap{ObjectMeta: object("default", platformConfig.Name)},
		&corev1.Secret{ObjectMeta: object(platformConfig.Namespace, platformConfig.Name)}).Build()
	c := configured{fake.NewClientBuilder().Build(), cached}
	for _, test := range []struct {
		what string
		key  client.ObjectKey
		into client.Object
		read bool
	}{
		{"the ConfigMap", platformConfig, &corev1.ConfigMap{}, true},
		{"one of the name elsewhere", client.ObjectKey{Namespace: "default", Name: platformConfig.Name}, &corev1.ConfigMap{}, false},
		{"another kind of the name", platformConfig, &corev1.Secret{}, false},
	} {
		err := c.Get(t.Context(), test.key, test.into)
		if read := err == nil; read != test.read || err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("%s: read from the cache %v (%v), want %v", test.what, read, err, test.read)
		}
	}
}

func TestControllersOfTheOperatorDoNotUseTheQueueThatMayKeepItFromStopping(t *testing.T) {
	o, err := operatorOptions(&operatorSettings{})
	if err != nil {
		t.Fatal(err)
	}
	if p := o.Controller.UsePriorityQueue; p == nil || *p {
		t.Error("they use controller-runtime's own queue")
	}
}

package build_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// TestTracing: the build is told by what the function is traced, wherever that is said.
func TestTracing(t *testing.T) {
	by := func(name string) *v1beta2.TracingConfig {
		return &v1beta2.TracingConfig{Enabled: true, Provider: &v1beta2.TracingProvider{Name: name}}
	}
	const everyone = "enabled: true\nprovider: {name: skywalking}\n"
	for name, c := range map[string]struct {
		tracing    *v1beta2.TracingConfig
		annotation string
		platform   string
		env        map[string]string
		want       string
	}{
		"none":                    {},
		"the function":            {tracing: by("opentelemetry"), want: "opentelemetry"},
		"the function, annotated": {annotation: "enabled: true\nprovider: {name: opentelemetry}\n", want: "opentelemetry"},
		"the platform":            {platform: everyone, want: "skywalking"},
		"both":                    {tracing: by("opentelemetry"), platform: everyone, want: "opentelemetry"},
		"not this one":            {tracing: &v1beta2.TracingConfig{}, platform: everyone},
		"on, by the platform's":   {tracing: &v1beta2.TracingConfig{Enabled: true}, platform: everyone, want: "skywalking"},
		"an unknown provider":     {tracing: by("zipkin")},
		"the build":               {tracing: by("opentelemetry"), env: map[string]string{v1beta2.EnvTracing: ""}},
		"not readable":            {platform: "["},
	} {
		t.Run(name, func(t *testing.T) {
			var objects []client.Object
			if c.platform != "" {
				objects = append(objects, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "openfunction-config"},
					Data: map[string]string{"tracing": c.platform}})
			}
			w := newWorld(t, objects...)
			w.fn.Spec.Serving = &v1beta2.FunctionServing{ServingTemplate: v1beta2.ServingTemplate{Tracing: c.tracing}}
			w.fn.Spec.Build.Env = c.env
			if c.annotation != "" {
				w.fn.Annotations = map[string]string{v1beta2.AnnotationTracing: c.annotation}
			}
			w.reconcile()
			if got := w.builders()[0].Spec.Env[v1beta2.EnvTracing]; got != c.want {
				t.Errorf("the build is told %q, want %q", got, c.want)
			}
		})
	}
}

package admission_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/openfunction/ofn/internal/control/admission"
)

func class(name string) *nodev1.RuntimeClass {
	return &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Handler: "h"}
}

func podFunction(template map[string]any) map[string]any {
	return map[string]any{"apiVersion": "core.openfunction.io/v1beta2", "kind": "Function", "metadata": map[string]any{"name": "f", "namespace": "default"},
		"spec": map[string]any{"image": "example.com/f:1", "imageCredentials": map[string]any{"name": "push"},
			"serving": map[string]any{"template": template, "triggers": map[string]any{"http": map[string]any{"port": int64(8080)}}}}}
}

func TestReferences(t *testing.T) {
	all := map[string]any{"runtimeClassName": "gvisor", "priorityClassName": "high", "serviceAccountName": "robot", "imagePullSecrets": []any{map[string]any{"name": "pull"}}}
	wasm := map[string]any{"runtimeClassName": "openfunction-crun"}
	for name, test := range map[string]struct {
		there    []client.Object
		template map[string]any
		old      map[string]any
		refused  []string // what is said; nothing: allowed
		warned   []string // what warnings must name
	}{
		"nothing named":              {nil, map[string]any{}, nil, nil, []string{`Secret "push"`}},
		"nothing there":              {nil, all, nil, []string{"no such RuntimeClass, and no other"}, []string{`PriorityClass "high"`, `ServiceAccount "robot"`, `Secret "pull"`, `Secret "push"`}},
		"other classes":              {[]client.Object{class("kata"), class("firecracker")}, all, nil, []string{"no such RuntimeClass; there are: firecracker, kata"}, []string{"high"}},
		"there":                      {[]client.Object{class("gvisor"), secret("push"), secret("pull"), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot", Namespace: "default"}}}, all, nil, nil, []string{"high"}},
		"had from before":            {nil, all, all, nil, []string{"high"}},
		"changed":                    {[]client.Object{class("kata")}, all, map[string]any{"runtimeClassName": "kata"}, []string{"there are: kata"}, []string{"high"}},
		"a class of one machine":     {nil, wasm, nil, []string{"containerd shim"}, []string{"push"}},
		"a class of a cluster's own": {[]client.Object{class("openfunction-crun")}, wasm, nil, nil, []string{"push"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.serve(t, admission.Options{Cluster: fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(test.there...).Build()})
			var old map[string]any
			if test.old != nil {
				old = podFunction(test.old)
			}
			got := s.review("validate", podFunction(test.template), old)
			if got.Allowed != (test.refused == nil) {
				t.Fatalf("answer %+v", got)
			}
			for _, want := range test.refused {
				if cause := got.Result.Details.Causes[0]; cause.Field != "spec.serving.template.runtimeClassName" || !strings.Contains(cause.Message, want) {
					t.Errorf("refused with %+v, want %q", cause, want)
				}
			}
			for _, want := range test.warned {
				if !strings.Contains(strings.Join(got.Warnings, "\n"), want) {
					t.Errorf("warnings %q, want one of %s", got.Warnings, want)
				}
			}
			if names := slices.DeleteFunc(got.Warnings, func(w string) bool { return !strings.Contains(w, "is not there yet") }); len(names) != len(test.warned) && test.warned[0] != "high" {
				t.Errorf("warnings %q, want %d", names, len(test.warned))
			}
		})
	}
}

// An operator that may not read the objects, and an API server without the kinds, refuse nothing and warn of nothing.
func TestReferencesUnknown(t *testing.T) {
	s := newServer(t)
	forbidden := interceptor.Funcs{Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: o.GetObjectKind().GroupVersionKind().Kind}, "x", nil)
	}}
	s.serve(t, admission.Options{Cluster: fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithInterceptorFuncs(forbidden).Build()})
	got := s.review("validate", podFunction(map[string]any{"runtimeClassName": "gvisor", "priorityClassName": "high"}), nil)
	if !got.Allowed || strings.Contains(strings.Join(got.Warnings, ""), "not there yet") {
		t.Errorf("answer %+v", got)
	}
}

func secret(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
}

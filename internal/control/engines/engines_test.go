package engines_test

import (
	"errors"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/openfunction/ofn/internal/control/engines"
)

func definition(name string, established bool, versions ...string) *apiextensionsv1.CustomResourceDefinition {
	d := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, v := range versions {
		d.Spec.Versions = append(d.Spec.Versions, apiextensionsv1.CustomResourceDefinitionVersion{Name: v, Served: v != "unserved", Schema: &apiextensionsv1.CustomResourceValidation{}})
	}
	if established {
		d.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{Type: apiextensionsv1.Established, Status: "True"}}
	}
	return d
}

func TestCheck(t *testing.T) {
	const services, revisions = "services.serving.knative.dev", "revisions.serving.knative.dev"
	type definitions = []*apiextensionsv1.CustomResourceDefinition
	going := definition(services, true, "v1")
	going.DeletionTimestamp, going.Finalizers = new(metav1.Now()), []string{"customresourcecleanup.apiextensions.k8s.io"}
	for name, test := range map[string]struct {
		there  definitions
		reason string // empty when nothing is missing
		says   string
	}{
		"nothing":                  {nil, "EngineMissing", services},
		"a part":                   {definitions{definition(services, true, "v1")}, "EngineMissing", revisions},
		"only just made":           {definitions{definition(services, false, "v1"), definition(revisions, true, "v1")}, "EngineMissing", "not served yet"},
		"being removed":            {definitions{going, definition(revisions, true, "v1")}, "EngineMissing", "being deleted"},
		"another version":          {definitions{definition(services, true, "v1alpha1", "unserved"), definition(revisions, true, "v1")}, "EngineOutdated", "version v1alpha1, not in v1"},
		"all, with older versions": {definitions{definition(services, true, "v1", "v1beta1"), definition(revisions, true, "v1")}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := apiextensionsv1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			c := fake.NewClientBuilder().WithScheme(scheme)
			for _, d := range test.there {
				stripped, err := engines.Strip(d)
				if err != nil {
					t.Fatal(err)
				}
				stripped.(*apiextensionsv1.CustomResourceDefinition).Finalizers = d.Finalizers // the fake client has nothing that is deleted without
				c = c.WithObjects(stripped.(*apiextensionsv1.CustomResourceDefinition))
			}
			err := engines.Check(t.Context(), c.Build(), engines.Knative())
			missing := (*engines.Missing)(nil)
			switch {
			case test.reason == "" && err == nil:
			case !errors.As(err, &missing) || missing.Reason() != test.reason || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "kubectl apply"):
				t.Errorf("got %v, want %s that says %q", err, test.reason, test.says)
			}
		})
	}
}

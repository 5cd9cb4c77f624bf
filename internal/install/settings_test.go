package install_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/openfunction/ofn/config"
	"github.com/openfunction/ofn/internal/install"
)

var said = install.Settings{"registry": "registry.example.com/functions", "insecure-registry": "10.0.0.1:5000,other:80", "builder-image": "builder:1,go=builder-go:1", "domain": "fn.example.com:8080"}

func TestSettingsReachEveryPart(t *testing.T) {
	objects, err := install.Manifests{Files: config.Files, Version: "v1", Image: "ofn:1", Gateway: true, Settings: said}.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"ofn-operator": {"--builder-image=builder:1", "--builder-image=go=builder-go:1", "--insecure-registry=10.0.0.1:5000", "--insecure-registry=other:80", "--domain=fn.example.com:8080"},
		"ofn-gateway":  {"--insecure-registry=10.0.0.1:5000", "--insecure-registry=other:80", "--domain=fn.example.com"},
	} {
		args, _, _ := unstructured.NestedStringSlice(container(t, find(t, objects, "Deployment", name)), "args")
		if len(args) <= len(want) || !slices.Equal(args[len(args)-len(want):], want) {
			t.Errorf("%s has the arguments %q", name, args)
		}
	}
	if data, _, _ := unstructured.NestedStringMap(find(t, objects, "ConfigMap", "ofn-clients", "openfunction").Object, "data"); !maps.Equal(data, said) {
		t.Errorf("everybody may read %v", data)
	}
	plain, err := install.Manifests{Files: config.Files, Version: "v1", Image: "ofn:1", Gateway: true, Settings: install.Settings{"registry": ""}}.Objects()
	if err != nil || len(plain) != len(objects)-3 {
		t.Errorf("without settings there are %d objects, with them %d, %v", len(plain), len(objects), err)
	}
}

// What an installation was told stays until a later one says otherwise.
func TestSettingsStay(t *testing.T) {
	c := newCluster(t)
	key := client.ObjectKey{Namespace: "openfunction", Name: "ofn-clients"}
	with := func(s install.Settings) error {
		t.Helper()
		r := request()
		r.Settings = s
		if _, err := c.installer().Install(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return c.Get(t.Context(), key, &corev1.ConfigMap{})
	}
	if err := with(nil); !apierrors.IsNotFound(err) {
		t.Errorf("without settings: %v", err)
	}
	if err := with(said); err != nil {
		t.Error(err)
	}
	if err := with(nil); err != nil || c.outcomes()["deleted"] != 0 {
		t.Errorf("installed again: %v", err)
	}
	if err := with(install.Settings{"domain": "", "registry": "other.example.com"}); err != nil {
		t.Error(err)
	}
	m, d := &corev1.ConfigMap{}, &appsv1.Deployment{}
	if err := c.Get(t.Context(), key, m); err != nil || m.Data["registry"] != "other.example.com" || m.Data["builder-image"] != said["builder-image"] || m.Data["domain"] != "" {
		t.Errorf("it is %v, %v", m.Data, err)
	}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "openfunction", Name: "ofn-operator"}, d); err != nil {
		t.Fatal(err)
	}
	if args := strings.Join(d.Spec.Template.Spec.Containers[0].Args, " "); !strings.Contains(args, "--builder-image=builder:1") || strings.Contains(args, "--domain") {
		t.Errorf("the operator has %s", args)
	}
	b := &rbacv1.RoleBinding{}
	if err := c.Get(t.Context(), key, b); err != nil || b.Subjects[0].Name != "system:authenticated" {
		t.Errorf("it may be read by %v, %v", b.Subjects, err)
	}
	if err := with(install.Settings{"registry": "", "builder-image": "", "insecure-registry": ""}); !apierrors.IsNotFound(err) {
		t.Errorf("after all were taken back: %v", err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for want, s := range map[string]install.Settings{
		"--registry Not/A/Name":             {"registry": "Not/A/Name"},
		"--registry https://r":              {"registry": "https://r"},
		"--insecure-registry http://r:5000": {"insecure-registry": "ok:1,http://r:5000"},
		"--domain a_b":                      {"domain": "a_b"},
		"":                                  said,
	} {
		if err := s.Check(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", s, err, want)
		}
	}
}

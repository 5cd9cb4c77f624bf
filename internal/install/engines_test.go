package install_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/install"
)

func TestWanted(t *testing.T) {
	got, err := install.Wanted([]string{"shipwright", " knative"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range got {
		names = append(names, r.Name)
	}
	if !slices.Equal(names, []string{"knative", "tekton", "shipwright"}) {
		t.Errorf("%v", names)
	}
	if _, err := install.Wanted([]string{"knativ"}); err == nil || !strings.Contains(err.Error(), `"knativ"; there are gateway-api, knative`) {
		t.Error(err)
	}
}

// manifests of an engine, whose parts are not in the order in which they can be applied.
const toyManifests = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: controller, namespace: toys}
spec:
  replicas: 1
  selector: {matchLabels: {app: toy}}
  template: {metadata: {labels: {app: toy}}, spec: {containers: [{name: c, image: x}]}}
---
# nothing but a comment
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: config-toy, namespace: toys}
  data: {shipped: as-it-is}
- apiVersion: v1
  kind: Namespace
  metadata: {name: toys}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: toys.example.com, labels: {app.kubernetes.io/version: v%s}}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Toy, plural: toys}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`

// toys is an engine whose makers are a server of the test.
func toys(t *testing.T, version string) (install.Engines, *int) {
	t.Helper()
	asked := new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		if r.URL.Path != "/toys.yaml" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, toyManifests, version)
	}))
	t.Cleanup(server.Close)
	return install.Engines{HTTP: server.Client(), Wait: true, Releases: []engines.Release{{
		Name: "toys", Title: "Toys", Version: version, Definition: "toys.example.com", Namespace: "toys", Manifests: []string{server.URL + "/toys.yaml"},
		Settings: map[string]map[string]string{"config-toy": {"class": "ours"}}, After: "play",
	}}}, asked
}

func TestEngines(t *testing.T) {
	c := newCluster(t)
	e, asked := toys(t, "1.0.0")
	if err := c.installer().Engines(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(c.done, "\n"); !strings.Contains(said, "Toys 1.0.0 is installed") || !strings.Contains(said, "play") {
		t.Errorf("said %s", said)
	}
	settings := &corev1.ConfigMap{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "toys", Name: "config-toy"}, settings); err != nil || settings.Data["class"] != "ours" || settings.Data["shipped"] != "as-it-is" {
		t.Errorf("settings %v, %v", settings.Data, err)
	}
	*asked, c.done, c.writes = 0, nil, nil
	newer, askedNewer := toys(t, "2.0.0")
	if err := c.installer().Engines(t.Context(), newer); err != nil || *askedNewer > 0 || len(c.writes) > 0 {
		t.Errorf("what is there was fetched %d times and changed (%v): %v", *askedNewer, c.writes, err)
	}
	if said := strings.Join(c.done, "\n"); !strings.Contains(said, "is there in version 1.0.0, and is left as it is") {
		t.Errorf("said %s", said)
	}
	newer.Upgrade = true
	if err := c.installer().Engines(t.Context(), newer); err != nil || *askedNewer != 1 {
		t.Errorf("upgrade: fetched %d times, %v", *askedNewer, err)
	}
}

// An installation that ends half-way, as with the process, is taken up by the next.
func TestEnginesInterrupted(t *testing.T) {
	c := newCluster(t)
	e, asked := toys(t, "1.0.0")
	whole := c.Client
	c.Client = interceptor.NewClient(whole.(client.WithWatch), interceptor.Funcs{
		Apply: func(ctx context.Context, next client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if u, ok := o.(interface{ GetKind() string }); ok && u.GetKind() == "Deployment" {
				return errors.New("the process was killed")
			}
			return next.Apply(ctx, o, opts...)
		},
	})
	if err := c.installer().Engines(t.Context(), e); err == nil {
		t.Fatal("it is not interrupted")
	}
	c.Client = whole
	if err := c.installer().Engines(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "toys", Name: "controller"}, &appsv1.Deployment{}); err != nil {
		t.Error(err)
	}
	*asked = 0
	if err := c.installer().Engines(t.Context(), e); err != nil || *asked > 0 {
		t.Errorf("what is whole is fetched again %d times (%v)", *asked, err)
	}
}

func TestEnginesFromDirectory(t *testing.T) {
	c := newCluster(t)
	e, asked := toys(t, "1.0.0")
	e.Dir = t.TempDir()
	err := c.installer().Engines(t.Context(), e)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(e.Dir, "toys")) {
		t.Errorf("an empty directory: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(e.Dir, "toys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.Dir, "toys", "all.yaml"), fmt.Appendf(nil, toyManifests, "1.0.0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.installer().Engines(t.Context(), e); err != nil || *asked > 0 {
		t.Errorf("asked %d times, %v", *asked, err)
	}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "toys", Name: "controller"}, &appsv1.Deployment{}); err != nil {
		t.Error(err)
	}
}

func TestEnginesRefuse(t *testing.T) {
	e, _ := toys(t, "1.0.0")
	gone := e
	gone.Releases = slices.Clone(e.Releases)
	gone.Releases[0].Manifests = []string{strings.Replace(e.Releases[0].Manifests[0], "toys.yaml", "gone.yaml", 1)}
	dapr, err := install.Wanted([]string{"dapr"})
	if err != nil {
		t.Fatal(err)
	}
	for want, e := range map[string]install.Engines{
		"404 Not Found; without access to it, put its content into DIR/toys and give --engine-manifests DIR": gone,
		"helm upgrade --install dapr": {Releases: dapr, HTTP: e.HTTP},
	} {
		c := newCluster(t)
		if err := c.installer().Engines(t.Context(), e); err == nil || !strings.Contains(err.Error(), want) || len(c.writes) > 0 {
			t.Errorf("%v (wrote %v), want %q", err, c.writes, want)
		}
	}
}

package export_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/internal/export"
)

// Of an image that ofn built a cluster is told how Dapr calls it.
func TestChannelOfImagesThatOfnBuilt(t *testing.T) {
	const head = "apiVersion: core.openfunction.io/v1beta2\nkind: Function\nmetadata: {name: f, namespace: shop}\nspec:\n  image: registry.example.com/f:1\n"
	for serving, want := range map[string]string{
		"  build: {srcRepo: {url: https://example.com/r.git}}\n  serving: {triggers: {dapr: [{name: c, type: bindings.cron}]}}":                                                             "http",
		"  build: {builder: native, srcRepo: {url: https://example.com/r.git}}\n  serving: {annotations: {dapr.io/app-protocol: grpc}, triggers: {dapr: [{name: c, type: bindings.cron}]}}": "grpc",
		"  build: {builder: openfunction/builder-go, srcRepo: {url: https://example.com/r.git}}\n  serving: {triggers: {dapr: [{name: c, type: bindings.cron}]}}":                           "",
		"  build: {srcRepo: {url: https://example.com/r.git}}\n  serving: {triggers: {http: {port: 8080}}}":                                                                                 "",
		"  serving: {triggers: {dapr: [{name: c, type: bindings.cron}]}}":                                                                                                                   "",
	} {
		b := collect(t, server(t, parse(t, head+serving)...), nil, export.Options{Target: export.Cluster, Prebuilt: true})
		if len(b.Objects) == 0 {
			t.Fatal("nothing is exported")
		}
		got, _, err := unstructured.NestedString(b.Objects[len(b.Objects)-1].Object, "spec", "serving", "annotations", "dapr.io/app-protocol")
		if err != nil || got != want {
			t.Errorf("%s: app-protocol is %q, want %q (%v)", serving, got, want, err)
		}
	}
}

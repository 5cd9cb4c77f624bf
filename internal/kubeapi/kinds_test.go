package kubeapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/openfunction/ofn/config/crd"
)

// ourKinds are the kinds of this project, each with the least that its schema accepts.
var ourKinds = []struct{ group, version, plural, kind, spec string }{
	{"core.openfunction.io", "v1beta2", "functions", "Function", `{"image":"x"}`},
	{"core.openfunction.io", "v1beta2", "builders", "Builder", `{"image":"x","srcRepo":{"url":"https://example.com/x.git"}}`},
	{"core.openfunction.io", "v1beta2", "servings", "Serving", `{"image":"x","triggers":{"http":{}}}`},
	{"networking.openfunction.io", "v1alpha1", "gateways", "Gateway", `{"domain":"example.com","gatewayRef":{"name":"g","namespace":"n"},"gatewaySpec":{"listeners":[{"name":"h","port":80,"protocol":"HTTP"}]}}`},
}

// What kubectl does with its verbs works on every kind of the project.
func TestVerbsOfOurKinds(t *testing.T) {
	crds, err := crd.Objects()
	if err != nil {
		t.Fatal(err)
	}
	admin := administrator(t, start(t, Options{CRDs: crds}))
	for _, k := range ourKinds {
		t.Run(k.kind, func(t *testing.T) {
			resource := schema.GroupVersionResource{Group: k.group, Version: k.version, Resource: k.plural}
			text := fmt.Sprintf(`{"apiVersion":"%s/%s","kind":%q,"metadata":{"name":"NAME","labels":{"a":"b"}},"spec":%s}`, k.group, k.version, k.kind, k.spec)
			verbs(t, admin.dynamic.Resource(resource).Namespace("default"), text)
			tables(t, admin, resource)
		})
	}
}

func named(t *testing.T, text, name string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "NAME", name)), o); err != nil {
		t.Fatal(err)
	}
	return o
}

func verbs(t *testing.T, client dynamic.ResourceInterface, text string) {
	t.Helper()
	ctx := t.Context()
	seen, err := client.Watch(ctx, metav1.ListOptions{LabelSelector: "a=b"})
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Stop()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	made, err := client.Create(ctx, named(t, text, "one"), metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	must("create", err)
	if made.GetGeneration() != 1 {
		t.Errorf("generation %d", made.GetGeneration())
	}
	_, err = client.Patch(ctx, "one", types.MergePatchType, []byte(`{"metadata":{"labels":{"c":"d"},"annotations":{"e":"f"}}}`), metav1.PatchOptions{})
	must("label and annotate", err)
	_, err = client.Patch(ctx, "one", types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/labels/c"}]`), metav1.PatchOptions{})
	must("JSON patch", err)
	_, err = client.Patch(ctx, "one", types.ApplyYAMLPatchType, []byte(strings.ReplaceAll(text, "NAME", "one")), metav1.PatchOptions{FieldManager: "t"})
	must("apply", err)
	if _, err := client.Update(ctx, made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("replacing what has changed meanwhile: %v", err)
	}
	now, err := client.Patch(ctx, "one", types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"Ready","status":"True","reason":"R","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`), metav1.PatchOptions{}, "status")
	must("status", err)
	if now.GetGeneration() != 1 {
		t.Errorf("generation %d after changes of metadata and status alone", now.GetGeneration())
	}
	_, err = client.Patch(ctx, "one", types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{})
	if !apierrors.IsUnsupportedMediaType(err) {
		t.Errorf("a strategic merge patch is not for custom resources: %v", err)
	}
	_, err = client.Create(ctx, named(t, text, "two"), metav1.CreateOptions{})
	must("create", err)
	for _, options := range []metav1.ListOptions{{FieldSelector: "metadata.name=one"}, {LabelSelector: "a=b", Limit: 1}} {
		list, err := client.List(ctx, options)
		must("list", err)
		if len(list.Items) != 1 {
			t.Errorf("%+v: %d items", options, len(list.Items))
		}
	}
	must("delete", client.Delete(ctx, "one", metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}))
	must("delete all", client.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "a=b"}))
	want := map[watch.EventType]int{watch.Added: 2, watch.Deleted: 2}
	for want[watch.Added] > 0 || want[watch.Deleted] > 0 {
		select {
		case e, ok := <-seen.ResultChan():
			if !ok {
				t.Fatalf("the watch ended; still to come: %v", want)
			}
			want[e.Type]--
		case <-ctx.Done():
			t.Fatalf("still to come: %v", want)
		}
	}
}

// tables are what `kubectl get` and `kubectl explain` show.
func tables(t *testing.T, admin clients, resource schema.GroupVersionResource) {
	t.Helper()
	path := "/apis/" + resource.GroupVersion().String() + "/" + resource.Resource
	data, err := admin.RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	var table metav1.Table
	if err == nil {
		err = json.Unmarshal(data, &table)
	}
	if err != nil || len(table.ColumnDefinitions) < 3 || table.ColumnDefinitions[0].Name != "Name" {
		t.Errorf("table: %v %+v", err, table.ColumnDefinitions)
	}
	eventually(t, "the schema of "+resource.Resource, func(ctx context.Context) (bool, error) {
		data, err := admin.RESTClient().Get().AbsPath("/openapi/v3/apis/" + resource.GroupVersion().String()).DoRaw(ctx)
		return strings.Contains(string(data), "/namespaces/{namespace}/"+resource.Resource), err
	})
}

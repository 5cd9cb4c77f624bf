package kubeapi

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

var (
	widgets     = schema.GroupVersionResource{Group: "test.example.com", Version: "v1", Resource: "widgets"}
	crdResource = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
)

func widget(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "test.example.com/v1", "kind": "Widget",
		"metadata": map[string]any{"name": name},
		"spec":     map[string]any{"color": "red"},
	}}
}

func field(t *testing.T, object *unstructured.Unstructured, path ...string) any {
	t.Helper()
	value, _, err := unstructured.NestedFieldNoCopy(object.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestCustomResources(t *testing.T) {
	admin, ctx := administrator(t, sharedServer(t)), t.Context()
	client := admin.dynamic.Resource(widgets).Namespace("default")
	events, err := client.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=w"})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	next := func(want watch.EventType) *unstructured.Unstructured {
		t.Helper()
		select {
		case event := <-events.ResultChan():
			if event.Type != want {
				t.Fatalf("event %s %v; want %s", event.Type, event.Object, want)
			}
			return event.Object.(*unstructured.Unstructured)
		case <-t.Context().Done():
			t.Fatalf("no %s event", want)
			return nil
		}
	}

	created, err := client.Create(ctx, widget("w"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if size := field(t, created, "spec", "size"); size != int64(3) {
		t.Errorf("default size %v", size)
	}
	next(watch.Added)

	bad := widget("bad")
	bad.Object["spec"] = map[string]any{"size": int64(0)}
	if _, err := client.Create(ctx, bad, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a size below the minimum: %v", err)
	}

	patched, err := client.Patch(ctx, "w", types.MergePatchType, []byte(`{"spec":{"size":4},"status":{"ready":true}}`), metav1.PatchOptions{})
	if err != nil || field(t, patched, "spec", "size") != int64(4) || field(t, patched, "status") != nil {
		t.Errorf("patched: %v, %v; want size 4 and no status", patched, err)
	}
	next(watch.Modified)

	stale := created.DeepCopy()
	stale.Object["spec"] = map[string]any{"size": int64(9)}
	if _, err := client.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an update of an old version: %v", err)
	}

	withStatus := patched.DeepCopy()
	withStatus.Object["spec"] = map[string]any{"size": int64(9)}
	withStatus.Object["status"] = map[string]any{"ready": true}
	updated, err := client.UpdateStatus(ctx, withStatus, metav1.UpdateOptions{})
	if err != nil || field(t, updated, "status", "ready") != true || field(t, updated, "spec", "size") != int64(4) {
		t.Errorf("status: %v, %v; want ready and the spec untouched", updated, err)
	}
	if updated.GetGeneration() != patched.GetGeneration() {
		t.Error("a status changed the generation")
	}
	next(watch.Modified)

	if err := client.Delete(ctx, "w", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	next(watch.Deleted)
}

func TestServerSideApply(t *testing.T) {
	admin, ctx := administrator(t, sharedServer(t)), t.Context()
	client := admin.dynamic.Resource(widgets).Namespace("default")
	apply := func(manager string, spec map[string]any, force bool) (*unstructured.Unstructured, error) {
		object := widget("applied")
		object.Object["spec"] = spec
		return client.Apply(ctx, "applied", object, metav1.ApplyOptions{FieldManager: manager, Force: force})
	}
	if _, err := apply("one", map[string]any{"color": "red"}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := apply("two", map[string]any{"size": int64(7)}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := apply("two", map[string]any{"color": "blue"}, false); !apierrors.IsConflict(err) {
		t.Errorf("two managers of one field: %v", err)
	}
	merged, err := apply("two", map[string]any{"color": "blue", "size": int64(7)}, true)
	if err != nil || field(t, merged, "spec", "color") != "blue" {
		t.Errorf("forced: %v, %v", merged, err)
	}
	// Built-in kinds take it too, which needs their schemas.
	cm := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "applied"}, "data": map[string]any{"a": "1"},
	}}
	maps := corev1.SchemeGroupVersion.WithResource("configmaps")
	if _, err := admin.dynamic.Resource(maps).Namespace("default").Apply(ctx, "applied", cm, metav1.ApplyOptions{FieldManager: "one"}); err != nil {
		t.Errorf("applying a config map: %v", err)
	}
}

func TestOwnedObjectsGoWithTheirOwner(t *testing.T) {
	admin, ctx := administrator(t, sharedServer(t)), t.Context()
	owners := admin.dynamic.Resource(widgets).Namespace("default")
	owner, err := owners.Create(ctx, widget("owner"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secrets := admin.CoreV1().Secrets("default")
	for _, name := range []string{"owned", "free"} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if name == "owned" {
			secret.OwnerReferences = []metav1.OwnerReference{{APIVersion: "test.example.com/v1", Kind: "Widget", Name: "owner", UID: owner.GetUID()}}
		}
		if _, err := secrets.Create(ctx, secret, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	foreground := metav1.DeletePropagationForeground
	if err := owners.Delete(ctx, "owner", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the owned secret goes", func(ctx context.Context) (bool, error) {
		_, err := secrets.Get(ctx, "owned", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	eventually(t, "the owner goes", func(ctx context.Context) (bool, error) {
		_, err := owners.Get(ctx, "owner", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	if _, err := secrets.Get(ctx, "free", metav1.GetOptions{}); err != nil {
		t.Errorf("a secret without an owner: %v", err)
	}
}

func TestNamespaceDeletionEmptiesIt(t *testing.T) {
	admin, ctx := administrator(t, sharedServer(t)), t.Context()
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "doomed"}}
	if _, err := admin.CoreV1().Namespaces().Create(ctx, space, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.dynamic.Resource(widgets).Namespace("doomed").Create(ctx, widget("w"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := admin.CoreV1().Namespaces().Delete(ctx, "doomed", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace goes", func(ctx context.Context) (bool, error) {
		_, err := admin.CoreV1().Namespaces().Get(ctx, "doomed", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	if _, err := admin.CoreV1().Namespaces().Create(ctx, space, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	left, err := admin.dynamic.Resource(widgets).Namespace("doomed").List(ctx, metav1.ListOptions{})
	if err != nil || len(left.Items) != 0 {
		t.Errorf("left in a deleted namespace: %v, %v", left, err)
	}
	_, err = admin.CoreV1().ConfigMaps("missing").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("an object in a namespace that does not exist: %v", err)
	}
}

// Both forms of discovery, and the schemas, know the custom kinds.
func TestDiscovery(t *testing.T) {
	admin := administrator(t, sharedServer(t))
	raw, err := admin.RESTClient().Get().AbsPath("/apis").SetHeader("Accept", "application/json").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var groups metav1.APIGroupList
	if err := json.Unmarshal(raw, &groups); err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == "test.example.com" })
	if at < 0 || groups.Groups[at].PreferredVersion.Version != "v1" || len(groups.Groups[at].Versions) != 2 {
		t.Errorf("/apis: %v; want test.example.com, v1 before v1beta1", groups.Groups)
	}
	if !slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == "apiextensions.k8s.io" }) {
		t.Error("/apis lacks apiextensions.k8s.io")
	}
	resources, err := admin.Discovery().ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(resources, func(l *metav1.APIResourceList) bool { return l.GroupVersion == "test.example.com/v1" }) {
		t.Error("discovery lacks the custom group")
	}
	eventually(t, "the schema of the custom kind", func(ctx context.Context) (bool, error) {
		body, err := admin.RESTClient().Get().AbsPath("/openapi/v3/apis/test.example.com/v1").DoRaw(ctx)
		return strings.Contains(string(body), "com.example.test.v1.Widget"), err
	})
	version, err := admin.Discovery().ServerVersion()
	if err != nil || !strings.HasPrefix(version.GitVersion, "v1.") {
		t.Errorf("version %v, %v", version, err)
	}
}

// kubectl as it comes, with its validation on, against kinds that it cannot know.
func TestKubectl(t *testing.T) {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("kubectl is not on the PATH")
	}
	server := sharedServer(t)
	eventually(t, "the schema of the custom kind", func(ctx context.Context) (bool, error) {
		_, err := administrator(t, server).RESTClient().Get().AbsPath("/openapi/v3/apis/test.example.com/v1").DoRaw(ctx)
		return err == nil, err
	})
	const (
		green = "apiVersion: test.example.com/v1\nkind: Widget\nmetadata: {name: by-kubectl}\nspec: {color: green}\n"
		blue  = "apiVersion: test.example.com/v1\nkind: Widget\nmetadata: {name: by-kubectl}\nspec: {color: blue}\n"
		typo  = "apiVersion: test.example.com/v1\nkind: Widget\nmetadata: {name: typo}\nspec: {color: red, colour: blue}\n"
		cm    = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: by-kubectl}\ndata: {a: \"2\"}\n"
	)
	cache := t.TempDir()
	for _, step := range []struct{ input, args, want string }{
		{green, "apply -f -", "created"},
		{blue, "apply -f -", "configured"},
		{green, "diff -f -", "+  color: green"},
		{green, "apply --server-side --force-conflicts -f -", "serverside-applied"},
		{typo, "apply -f -", `unknown field "spec.colour"`},
		{typo, "apply --validate=warn -f -", `Warning: unknown field "spec.colour"`},
		{typo, "apply --server-side --validate=warn --force-conflicts -f -", `Warning: unknown field "spec.colour"`},
		{typo, "apply --server-side --validate=warn -f -", "serverside-applied"},
		{typo, "apply --server-side -f -", `strict decoding error: unknown field "spec.colour"`},
		{cm, "apply -f -", "created"},
		{"", "get widgets by-kubectl -o jsonpath={.spec.color}", "green"},
		{"", "explain widgets.spec", "color"},
		{"", "explain configmap.data", "map[string]string"},
		{"", "api-resources", "widgets"},
		{"", "label widgets by-kubectl a=b", "labeled"},
		{"", "annotate widgets by-kubectl a=b", "annotated"},
		{"", "describe widgets by-kubectl", "Color:"},
		{"", `patch widgets by-kubectl --type=merge -p {"spec":{"size":2}}`, "patched"},
		{"", `patch widgets by-kubectl --subresource=status --type=merge -p {"status":{"ready":true}}`, "patched"},
		{"", "get widgets -l a=b -o name", "widget.test.example.com/by-kubectl"},
		{"", "get widgets --field-selector metadata.name=by-kubectl -o wide", "by-kubectl"},
		{"", "get widgets --watch --request-timeout=1s", "by-kubectl"},
		{"", "wait --for=jsonpath={.spec.color}=green widget/by-kubectl", "condition met"},
		{"", "create token default", "ey"},
		{"", "auth can-i create widgets", "yes"},
		{"", "delete widget by-kubectl --cascade=foreground", "deleted"},
		{"", "delete widget typo --cascade=orphan", "deleted"},
	} {
		cmd := exec.CommandContext(t.Context(), kubectl, append([]string{"--kubeconfig", server.KubeconfigPath(), "--cache-dir", cache}, strings.Fields(step.args)...)...)
		cmd.Stdin = strings.NewReader(step.input)
		out, err := cmd.CombinedOutput()
		if !strings.Contains(string(out), step.want) {
			t.Errorf("kubectl %s: %q (%v) lacks %q", step.args, out, err, step.want)
		}
	}
}

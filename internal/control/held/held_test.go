package held

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const label = "example.com/function"

var thing = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Thing"}

func object(kind schema.GroupVersionKind, namespace, name, function string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"count": int64(3), "ratio": 0.5, "list": []any{"a", map[string]any{"b": true}}}, "data": map[string]any{"k": name}}}
	u.SetGroupVersionKind(kind)
	u.SetNamespace(namespace)
	u.SetName(name)
	u.SetResourceVersion("7")
	u.SetAnnotations(map[string]string{"note": "of " + name})
	if function != "" {
		u.SetLabels(map[string]string{label: function, "other": "x"})
	}
	return u
}

// server answers lists and watches with these objects, of whichever kind is asked for.
func server(t *testing.T, objects ...*unstructured.Unstructured) *rest.Config {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of := slices.DeleteFunc(slices.Clone(objects), func(u *unstructured.Unstructured) bool {
			parts := strings.Split(r.URL.Path, "/")
			elsewhere := slices.Contains(parts, "namespaces") && !slices.Contains(parts, u.GetNamespace())
			return elsewhere || parts[len(parts)-1] != strings.ToLower(u.GetKind())+"s"
		})
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") == "" {
			list := map[string]any{"apiVersion": of[0].GetAPIVersion(), "kind": of[0].GetKind() + "List", "metadata": map[string]any{"resourceVersion": "7"}, "items": of}
			_ = json.NewEncoder(w).Encode(list)
			return
		}
		if r.URL.Query().Get("sendInitialEvents") == "true" {
			for _, u := range of {
				_ = json.NewEncoder(w).Encode(map[string]any{"type": "ADDED", "object": u})
			}
			end := &unstructured.Unstructured{}
			end.SetGroupVersionKind(of[0].GroupVersionKind())
			end.SetResourceVersion("7")
			end.SetAnnotations(map[string]string{"k8s.io/initial-events-end": "true"})
			_ = json.NewEncoder(w).Encode(map[string]any{"type": "BOOKMARK", "object": end})
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	return &rest.Config{Host: s.URL}
}

// started is a cache of ConfigMaps and Things.
func started(t *testing.T, config *rest.Config, namespaces ...string) cache.Cache {
	t.Helper()
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []schema.GroupVersionKind{thing, corev1.SchemeGroupVersion.WithKind("ConfigMap")} {
		mapper.Add(kind, meta.RESTScopeNamespace)
		mapper.Add(kind.GroupVersion().WithKind(kind.Kind+"List"), meta.RESTScopeNamespace) // as discovery does
	}
	o := cache.Options{Scheme: scheme.Scheme, Mapper: mapper, DefaultTransform: cache.TransformStripManagedFields(), DefaultNamespaces: map[string]cache.Config{}}
	for _, n := range namespaces {
		o.DefaultNamespaces[n] = cache.Config{}
	}
	c, err := New("example.com/unused", label)(config, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if !c.WaitForCacheSync(ctx) {
		t.Fatal("the cache does not start")
	}
	return c
}

func things() []*unstructured.Unstructured {
	maps := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	return []*unstructured.Unstructured{
		object(thing, "a", "one", "f"), object(thing, "a", "two", "g"), object(thing, "b", "three", "f"), object(thing, "a", "none", ""),
		object(maps, "a", "one", "f"), object(maps, "a", "two", "g"), object(maps, "b", "three", "f"),
	}
}

func TestReads(t *testing.T) {
	for name, namespaces := range map[string][]string{"all namespaces": nil, "two namespaces": {"a", "b"}} {
		t.Run(name, func(t *testing.T) {
			objects := things()
			c := started(t, server(t, objects...), namespaces...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got := &unstructured.Unstructured{}
			got.SetGroupVersionKind(thing)
			if err := c.Get(ctx, client.ObjectKey{Namespace: "a", Name: "one"}, got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Object, objects[0].Object) {
				t.Errorf("read %v, want %v", got.Object, objects[0].Object)
			}
			got.Object["spec"] = "changed by who read it"
			if err := c.Get(ctx, client.ObjectKey{Namespace: "a", Name: "one"}, got); err != nil || !reflect.DeepEqual(got.Object, objects[0].Object) {
				t.Errorf("read again %v (%v), want %v", got.Object, err, objects[0].Object)
			}
			if err := c.Get(ctx, client.ObjectKey{Namespace: "a", Name: "missing"}, got); client.IgnoreNotFound(err) != nil || err == nil {
				t.Errorf("what is not there: %v", err)
			}
			for _, test := range lists {
				t.Run(test.name, func(t *testing.T) {
					untyped := &unstructured.UnstructuredList{}
					untyped.SetGroupVersionKind(thing.GroupVersion().WithKind("ThingList"))
					if err := c.List(ctx, untyped, test.options...); err != nil {
						t.Fatal(err)
					}
					var names []string
					for i := range untyped.Items {
						names = append(names, untyped.Items[i].GetName())
						if data, _, _ := unstructured.NestedString(untyped.Items[i].Object, "data", "k"); data != names[i] {
							t.Errorf("%s holds %q", names[i], data)
						}
					}
					if slices.Sort(names); !slices.Equal(names, test.want) {
						t.Errorf("things %q, want %q", names, test.want)
					}
					typed, names := &corev1.ConfigMapList{}, nil
					if err := c.List(ctx, typed, test.options...); err != nil {
						t.Fatal(err)
					}
					for i := range typed.Items {
						names = append(names, typed.Items[i].Name)
					}
					want := slices.DeleteFunc(slices.Clone(test.want), func(n string) bool { return n == "none" })
					if slices.Sort(names); !slices.Equal(names, want) {
						t.Errorf("config maps %q, want %q", names, want)
					}
				})
			}
		})
	}
}

var lists = []struct {
	name    string
	options []client.ListOption
	want    []string
}{
	{"by label", []client.ListOption{client.InNamespace("a"), client.MatchingLabels{label: "f"}}, []string{"one"}},
	{"by label and another", []client.ListOption{client.InNamespace("a"), client.MatchingLabels{label: "f", "other": "y"}}, nil},
	{"nothing of the value", []client.ListOption{client.InNamespace("a"), client.MatchingLabels{label: "h"}}, nil},
	{"by label in all namespaces", []client.ListOption{client.MatchingLabels{label: "f"}}, []string{"one", "three"}},
	{"by another label", []client.ListOption{client.InNamespace("a"), client.MatchingLabels{"other": "x"}}, []string{"one", "two"}},
	{"all", []client.ListOption{client.InNamespace("a")}, []string{"none", "one", "two"}},
	{"that have it", []client.ListOption{client.InNamespace("a"), client.HasLabels{label}}, []string{"one", "two"}},
}

// watching counts the lists that looked at every object.
type watching struct {
	cache.Cache
	whole int
}

func (w *watching) List(_ context.Context, _ client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	if o.ApplyOptions(opts); o.FieldSelector == nil {
		w.whole++
	}
	return nil
}

func TestListsByLabelUseTheIndex(t *testing.T) {
	w := &watching{}
	h := &held{Cache: w, labels: []string{label}}
	for range 3 {
		for _, list := range []client.ObjectList{&corev1.PodList{}, &unstructured.UnstructuredList{}} {
			if err := h.List(t.Context(), list, client.InNamespace("a"), client.MatchingLabels{label: "f", "other": "x"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if w.whole > 0 {
		t.Errorf("%d of 6 lists looked at all objects", w.whole)
	}
}

func TestEventsHaveMetadata(t *testing.T) {
	c := started(t, server(t, things()...))
	informer, err := c.GetInformer(t.Context(), object(thing, "", "", ""), cache.BlockUntilSynced(false))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan client.Object, 10)
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: func(o any) { seen <- o.(client.Object) }}); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		select {
		case o := <-seen:
			if o.GetObjectKind().GroupVersionKind() != thing || o.GetAnnotations()["note"] != "of "+o.GetName() || o.GetResourceVersion() != "7" {
				t.Errorf("an event is about %v", o)
			}
		case <-time.After(time.Minute):
			t.Fatal("no event came")
		}
	}
}

func BenchmarkListByLabel(b *testing.B) {
	for _, n := range []int{100, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			indexer := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, toolscache.Indexers{indexName(label): byLabel(label)})
			for i := range n {
				p, err := pack(object(thing, "a", fmt.Sprint("n-", i), fmt.Sprint("f-", i)))
				if err != nil {
					b.Fatal(err)
				}
				if err := indexer.Add(p); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if got, err := indexer.ByIndex(indexName(label), "a/f-7"); err != nil || len(got) != 1 {
					b.Fatal(got, err)
				}
			}
		})
	}
}

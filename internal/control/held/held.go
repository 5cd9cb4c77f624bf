// Package held is the cache of a program that holds thousands of objects. It is that of controller-runtime with two differences: lists by
// certain labels are answered from an index and do not look at all objects there are, and objects without a Go type are kept
// as their JSON beside their metadata, which takes a quarter of the memory that nested maps do. Who reads one gets it unpacked.
package held

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// New is a cache.NewCacheFunc. Lists in one namespace that ask for a value of one of the labels use an index.
//
// Handlers of events are given objects without a Go type packed: their kind and metadata can be read, nothing else.
func New(labels ...string) cache.NewCacheFunc {
	return func(config *rest.Config, o cache.Options) (cache.Cache, error) {
		o.NewInformer = informers(labels)
		inner, err := cache.New(config, o)
		if err != nil {
			return nil, err
		}
		return &held{Cache: inner, labels: labels}, nil
	}
}

type held struct {
	cache.Cache
	labels []string
}

// Get implements client.Reader.
func (h *held) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	into, ok := o.(*unstructured.Unstructured)
	if !ok {
		return h.Cache.Get(ctx, key, o, opts...)
	}
	var p packed
	p.SetGroupVersionKind(into.GroupVersionKind())
	if err := h.Cache.Get(ctx, key, &p, append(slices.Clip(opts), client.UnsafeDisableDeepCopy)...); err != nil { // it is not changed here
		return err
	}
	return p.unpack(into)
}

// List implements client.Reader.
func (h *held) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	h.narrow(&o)
	into, ok := list.(*unstructured.UnstructuredList)
	if !ok {
		return h.Cache.List(ctx, list, &o)
	}
	var all packedList
	all.SetGroupVersionKind(into.GroupVersionKind())
	o.UnsafeDisableDeepCopy = new(true) // as above
	if err := h.Cache.List(ctx, &all, &o); err != nil {
		return err
	}
	into.SetResourceVersion(all.GetResourceVersion())
	into.SetContinue(all.GetContinue())
	into.Items = make([]unstructured.Unstructured, len(all.Items))
	for i := range all.Items {
		if err := all.Items[i].unpack(&into.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// narrow lets a list by label begin with what an index holds.
func (h *held) narrow(o *client.ListOptions) {
	if o.Namespace == "" || o.LabelSelector == nil || o.FieldSelector != nil {
		return
	}
	for _, label := range h.labels {
		if value, ok := o.LabelSelector.RequiresExactMatch(label); ok {
			o.FieldSelector = fields.OneTermEqualSelector(label, value)
			return
		}
	}
}

// informers makes those that have an index for each label, and that pack.
func informers(labels []string) func(toolscache.ListerWatcher, runtime.Object, time.Duration, toolscache.Indexers) toolscache.SharedIndexInformer {
	return func(from toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
		for _, label := range labels {
			indexers[indexName(label)] = byLabel(label)
		}
		if p, ok := example.(*packed); ok { // objects come as what the API server sends
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(p.GroupVersionKind())
			example = u
		}
		return packing{toolscache.NewSharedIndexInformer(from, example, resync, indexers)}
	}
}

// indexName and byLabel name an index of controller-runtime and make its keys: as those of its own IndexField, which would have to be
// asked for whenever the informer of a kind is started, and keeps as many keys again for lists in all namespaces.
func indexName(field string) string { return "field:" + field }

func byLabel(label string) toolscache.IndexFunc {
	return func(of any) ([]string, error) {
		o, ok := of.(client.Object)
		if !ok {
			return nil, fmt.Errorf("%T is no object", of)
		}
		value := o.GetLabels()[label]
		if value == "" || o.GetNamespace() == "" {
			return nil, nil
		}
		return []string{o.GetNamespace() + "/" + value}, nil
	}
}

// packing is an informer that packs what its transformation leaves.
type packing struct{ toolscache.SharedIndexInformer }

// SetTransform implements SharedIndexInformer.
func (p packing) SetTransform(first toolscache.TransformFunc) error {
	return p.SharedIndexInformer.SetTransform(func(o any) (any, error) {
		if first != nil {
			var err error
			if o, err = first(o); err != nil {
				return nil, err
			}
		}
		if u, ok := o.(*unstructured.Unstructured); ok {
			return pack(u)
		}
		return o, nil
	})
}

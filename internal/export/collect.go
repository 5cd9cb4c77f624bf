package export

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Registry finds images in the platform's own registry.
type Registry interface {
	// Digest of an image; empty when the registry does not have it.
	Digest(ctx context.Context, image string) (string, error)
}

// collector gathers a Bundle.
type collector struct {
	Options
	reader client.Reader
	own    Registry
	bundle Bundle
	// users of what is named.
	users map[named][]string
	has   map[named]bool
}

// Collect reads what belongs to the functions. own is nil where the control plane has no registry.
func Collect(ctx context.Context, c client.Reader, own Registry, o Options) (*Bundle, error) {
	x := &collector{Options: o, reader: c, own: own, users: map[named][]string{}, has: map[named]bool{}}
	found, err := x.read(ctx)
	if err != nil {
		return nil, err
	}
	if len(o.Names) > 0 {
		if found, err = closure(found, o.Names, o.Namespace); err != nil {
			return nil, err
		}
	}
	for _, each := range found {
		if err := x.add(ctx, each); err != nil {
			return nil, err
		}
	}
	if err := x.named(ctx); err != nil {
		return nil, err
	}
	if err := x.namespaces(ctx); err != nil {
		return nil, err
	}
	ordered(x.bundle.Objects)
	slices.SortFunc(x.bundle.Images, func(a, b Image) int { return compare(a.From+a.To, b.From+b.To) })
	x.bundle.Images = slices.Compact(x.bundle.Images)
	slices.SortStableFunc(x.bundle.Warnings, func(a, b Warning) int { return compare(a.Object, b.Object) })
	return &x.bundle, nil
}

// read lists the kinds. One that the control plane does not have has no objects.
func (x *collector) read(ctx context.Context) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for _, kind := range listed() {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		err := x.reader.List(ctx, list, client.InNamespace(x.Namespace))
		if absent := meta.IsNoMatchError(err) || apierrors.IsNotFound(err); absent && kind.Kind != "Function" {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("reading %s objects: %w", kind.Kind, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if !generated(o) && o.GetDeletionTimestamp().IsZero() {
				out = append(out, o)
			}
		}
	}
	return out, nil
}

// add takes an object into the bundle, as it is to be there.
func (x *collector) add(ctx context.Context, o *unstructured.Unstructured) error {
	if x.defaultGateway(o) {
		return nil
	}
	c := clean(o)
	if o.GetKind() == "Function" {
		if err := x.relocate(ctx, o, c); err != nil {
			return fmt.Errorf("%s: %w", nameOf(o), err)
		}
	}
	if err := x.limits(c); err != nil {
		return err
	}
	x.take(c)
	return nil
}

func (x *collector) take(c *unstructured.Unstructured) {
	x.bundle.Objects = append(x.bundle.Objects, c)
	x.has[named{c.GetKind(), c.GetNamespace(), c.GetName()}] = true
	for _, ref := range references(c) {
		x.users[ref] = append(x.users[ref], nameOf(c))
	}
}

// defaultGateway is the one that every control plane has of its own: its domain is that of the place.
func (x *collector) defaultGateway(o *unstructured.Unstructured) bool {
	if o.GetKind() != "Gateway" || o.GetName() != v1beta2.DefaultGatewayName || o.GetNamespace() != v1beta2.DefaultGatewayNamespace {
		return false
	}
	domain, _, _ := unstructured.NestedString(o.Object, "spec", "domain")
	x.warn(o, "is left out: its domain %q is that of this place; the target has, or needs, a Gateway of this name of its own", domain)
	return true
}

// named reads what the objects name: configmaps and secrets.
func (x *collector) named(ctx context.Context) error {
	refs := slices.Collect(maps.Keys(x.users))
	slices.SortFunc(refs, func(a, b named) int {
		return compare(a.kind+"/"+a.namespace+"/"+a.name, b.kind+"/"+b.namespace+"/"+b.name)
	})
	for _, ref := range refs {
		if x.has[ref] {
			continue
		}
		m := Missing{Kind: ref.kind, Namespace: ref.namespace, Name: ref.name, UsedBy: users(x.users[ref])}
		o := &unstructured.Unstructured{}
		if i := slices.IndexFunc(kinds(), of(ref.kind)); i >= 0 {
			o.SetGroupVersionKind(kinds()[i])
		} else {
			x.bundle.Missing = append(x.bundle.Missing, m)
			continue
		}
		err := x.reader.Get(ctx, client.ObjectKey{Namespace: ref.namespace, Name: ref.name}, o)
		switch {
		case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
			m.Absent = true
			x.bundle.Missing = append(x.bundle.Missing, m)
		case err != nil:
			return fmt.Errorf("reading %s %s/%s: %w", strings.ToLower(ref.kind), ref.namespace, ref.name, err)
		case ref.kind == "Secret" && !x.Secrets:
			m.Type, _, _ = unstructured.NestedString(o.Object, "type")
			data, _, _ := unstructured.NestedMap(o.Object, "data")
			m.Keys = slices.Sorted(maps.Keys(data))
			x.bundle.Missing = append(x.bundle.Missing, m)
		default:
			x.take(clean(o))
		}
	}
	return nil
}

func users(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// namespaces adds those of the objects. One that may not be read is made without labels.
func (x *collector) namespaces(ctx context.Context) error {
	names := map[string]bool{}
	for _, o := range x.bundle.Objects {
		names[o.GetNamespace()] = true
	}
	delete(names, "")
	delete(names, "default") // it is everywhere
	for name := range names {
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(core.WithKind("Namespace"))
		err := x.reader.Get(ctx, client.ObjectKey{Name: name}, o)
		if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading namespace %s: %w", name, err)
		}
		o.SetName(name)
		x.take(clean(o))
	}
	return nil
}

func (x *collector) warn(o *unstructured.Unstructured, format string, args ...any) {
	x.bundle.Warnings = append(x.bundle.Warnings, Warning{nameOf(o), fmt.Sprintf(format, args...)})
}

// nameOf is an object in a sentence: "function default/hello".
func nameOf(o *unstructured.Unstructured) string {
	kind := strings.ToLower(o.GetKind())
	if o.GetNamespace() == "" {
		return kind + " " + o.GetName()
	}
	return kind + " " + o.GetNamespace() + "/" + o.GetName()
}

// decode reads an object into its Go type.
func decode(o *unstructured.Unstructured, into any) error {
	data, err := o.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", nameOf(o), err)
	}
	return nil
}

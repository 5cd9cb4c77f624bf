package install

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Progress is told how it goes. Done is told what became of an object: created, configured, unchanged, deleted.
type Progress struct {
	Step func(format string, args ...any)
	Line func(format string, args ...any)
	Done func(object, outcome string)
}

// Installer works on one cluster. It keeps no state.
type Installer struct {
	Client client.Client
	Progress
	// DryRun lets the server check everything and changes nothing.
	DryRun bool
	// Interval is how often something that is waited for is looked at.
	Interval time.Duration
}

// What became of an object.
const (
	created    = "created"
	configured = "configured"
	unchanged  = "unchanged"
	deleted    = "deleted"
)

// apply makes objects as they are given, whoever else has set their fields, and puts what the server made of each in its place.
func (i *Installer) apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	made := map[string]bool{} // namespaces that a dry run would make
	for _, o := range objects {
		outcome, err := i.applyOne(ctx, o)
		if i.DryRun && apierrors.IsNotFound(err) && made[o.GetNamespace()] {
			outcome, err = created, nil // it cannot be checked before its namespace is there
		}
		if i.DryRun && meta.IsNoMatchError(err) {
			outcome, err = created, nil // nor before its kind is there
		}
		if err != nil {
			return fmt.Errorf("applying %s: %w", Identity(o), err)
		}
		if o.GetKind() == "Namespace" && outcome == created {
			made[o.GetName()] = true
		}
		i.Done(Identity(o), outcome)
	}
	return nil
}

func (i *Installer) applyOne(ctx context.Context, o *unstructured.Unstructured) (string, error) {
	before := blank(o)
	err := i.Client.Get(ctx, client.ObjectKeyFromObject(o), before)
	if client.IgnoreNotFound(err) != nil {
		return "", err
	}
	there := err == nil
	if err := i.applyAs(ctx, Manager, o); err != nil {
		return "", err
	}
	switch {
	case !there:
		return created, nil
	case content(before) == content(o):
		return unchanged, nil
	}
	return configured, nil
}

// applyAs is server-side apply in the name of a manager of fields.
func (i *Installer) applyAs(ctx context.Context, manager string, o *unstructured.Unstructured) error {
	options := []client.ApplyOption{client.FieldOwner(manager), client.ForceOwnership}
	if i.DryRun {
		options = append(options, client.DryRunAll)
	}
	return i.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), options...)
}

// content is what of an object an installation decides.
func content(o *unstructured.Unstructured) string {
	c := o.DeepCopy()
	c.SetManagedFields(nil)
	c.SetResourceVersion("")
	c.SetGeneration(0)
	unstructured.RemoveNestedField(c.Object, "status")
	data, err := c.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func blank(o *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(o.GroupVersionKind())
	return out
}

// get reads an object by kind and name; nil when it is not there, or its kind is not.
func (i *Installer) get(ctx context.Context, kind kindOf, namespace, name string) (*unstructured.Unstructured, error) {
	o := kind.object()
	err := i.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return nil, nil //nolint:nilnil // as said
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", kind.named(name), err)
	}
	return o, nil
}

// until looks every interval until what is waited for is nothing. When ctx ends first, that is the error.
func (i *Installer) until(ctx context.Context, look func(context.Context) (waitsFor string, err error)) error {
	tick := time.NewTicker(i.Interval)
	defer tick.Stop()
	waits := ""
	for {
		now, err := look(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			return err
		case err == nil && now == "":
			return nil
		case err == nil:
			waits = now
			i.Step("waiting until %s", waits)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s: %w", waits, ctx.Err())
		}
	}
}

// blankNamed is an object with the name of another, and nothing else.
func blankNamed(o *unstructured.Unstructured) *unstructured.Unstructured {
	out := blank(o)
	out.SetNamespace(o.GetNamespace())
	out.SetName(o.GetName())
	return out
}

// runtimeMap is an object with Go types, or none, as a map.
func runtimeMap(o client.Object) (map[string]any, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.GetName(), err)
	}
	return m, nil
}

package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Removal says what is to be taken away.
type Removal struct {
	Manifests
	// Made are the objects that an operator of a scope makes for itself while it runs.
	Made func(scope string) []client.Object
	// Purge takes the definitions too, with all functions and everything else of their kinds.
	Purge bool
	// Wait until what is purged is gone.
	Wait bool
}

// Functions counts the functions of a cluster, and names some of them.
func (i *Installer) Functions(ctx context.Context) (n int, some []string, err error) {
	all, err := i.all(ctx, functions)
	if err != nil {
		return 0, nil, err
	}
	for _, f := range all[:min(len(all), 5)] {
		some = append(some, f.GetNamespace()+"/"+f.GetName())
	}
	return len(all), some, nil
}

// all lists the objects of a kind; none when the cluster does not have it.
func (i *Installer) all(ctx context.Context, kind kindOf, options ...client.ListOption) ([]unstructured.Unstructured, error) {
	list := kind.list()
	err := i.Client.List(ctx, list, options...)
	if meta.IsNoMatchError(err) || client.IgnoreNotFound(err) == nil && err != nil {
		return nil, nil
	}
	if err != nil {
		return nil, explained(fmt.Errorf("listing %s: %w", kind.named(""), err))
	}
	return list.Items, nil
}

// Uninstall removes the operator. Functions, their kinds and the engines' objects that serve them stay, unless they are purged.
func (i *Installer) Uninstall(ctx context.Context, r Removal) error {
	i.Step("looking at the cluster")
	there, err := i.get(ctx, deployments, Namespace, Operator)
	if err != nil {
		return explained(err)
	}
	if there != nil && there.GetLabels()[managedByLabel] == "Helm" {
		return errHelm(there)
	}
	r.Gateway = r.Purge // otherwise it stays: functions answer through it
	objects, err := r.Objects()
	if err != nil {
		return err
	}
	if there != nil {
		if err := i.stop(ctx, there); err != nil {
			return err
		}
	}
	if err := i.removeParts(ctx, r, r.Made(scopeOf(there)), objects); err != nil {
		return err
	}
	if !r.Purge {
		return nil
	}
	var kinds []*unstructured.Unstructured
	for _, o := range objects {
		if o.GetKind() == definitions.Kind {
			kinds = append(kinds, o)
		}
	}
	return i.purge(ctx, kinds, r.Wait)
}

// stop deletes the Deployment and waits until none of its pods runs: one that does would make its webhooks again.
func (i *Installer) stop(ctx context.Context, deployment *unstructured.Unstructured) error {
	i.Step("stopping the operator")
	if err := i.delete(ctx, deployment); err != nil || i.DryRun {
		return err
	}
	return i.until(ctx, func(ctx context.Context) (string, error) {
		left, err := i.all(ctx, pods, client.InNamespace(Namespace), client.MatchingLabels{nameLabel: Operator})
		if err != nil || len(left) == 0 {
			return "", err
		}
		return fmt.Sprintf("the operator has stopped (%d left)", len(left)), nil
	})
}

// scopeOf is the namespace that an operator looks after; empty for all.
func scopeOf(deployment *unstructured.Unstructured) string {
	if deployment == nil {
		return ""
	}
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		m, _ := c.(map[string]any)
		args, _, _ := unstructured.NestedStringSlice(m, "args")
		for _, a := range args {
			if scope, ok := strings.CutPrefix(a, "--namespace="); ok {
				return scope
			}
		}
	}
	return ""
}

// webhookService is in front of the operator's webhooks.
const webhookService = "ofn-webhook"

// ours is whether an object that has a name of the operator's is the operator's: OpenFunction's own has webhooks of the same names.
func ours(o *unstructured.Unstructured) bool {
	if o.GroupVersionKind().Group != mutating.Group {
		return true
	}
	hooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
	return slices.ContainsFunc(hooks, func(h any) bool {
		m, _ := h.(map[string]any)
		name, _, _ := unstructured.NestedString(m, "clientConfig", "service", "name")
		return name == webhookService
	})
}

// removeParts deletes what is left of the operator, webhooks first, so that nothing is refused for want of an answer.
func (i *Installer) removeParts(ctx context.Context, r Removal, made []client.Object, objects []*unstructured.Unstructured) error {
	i.Step("removing the operator")
	for _, m := range made {
		content, err := runtimeMap(m)
		if err != nil {
			return err
		}
		o := &unstructured.Unstructured{Object: content}
		live, err := i.get(ctx, kindOf(o.GroupVersionKind()), o.GetNamespace(), o.GetName())
		if err != nil {
			return explained(err)
		}
		if live == nil || !ours(live) {
			continue
		}
		if err := i.delete(ctx, live); err != nil {
			return err
		}
	}
	if err := i.deleteParts(ctx, func(o *unstructured.Unstructured) bool { return r.Purge || o.GetLabels()[componentLabel] != gateway }); err != nil {
		return err
	}
	for _, o := range slices.Backward(objects) { // those that were applied without labels, with kubectl
		if kind := o.GetKind(); kind == definitions.Kind || kind == "Namespace" {
			continue
		}
		live, err := i.get(ctx, kindOf(o.GroupVersionKind()), o.GetNamespace(), o.GetName())
		if err != nil {
			return explained(err)
		}
		if live == nil || live.GetDeletionTimestamp() != nil || i.DryRun && live.GetLabels()[managedByLabel] == Manager {
			continue
		}
		if err := i.delete(ctx, live); err != nil {
			return err
		}
	}
	return nil
}

// purge deletes definitions with their objects. The operator is gone, so that nobody makes anything again, and nobody removes a
// finalizer of OpenFunction: those are taken off here.
func (i *Installer) purge(ctx context.Context, kinds []*unstructured.Unstructured, wait bool) error {
	for _, d := range kinds {
		i.Step("deleting all %s", d.GetName())
		if err := i.delete(ctx, blankNamed(d)); err != nil {
			return err
		}
	}
	if i.DryRun || !wait {
		return nil
	}
	return i.until(ctx, func(ctx context.Context) (string, error) {
		var left []string
		for _, d := range kinds {
			live, err := i.get(ctx, definitions, "", d.GetName())
			if err != nil {
				return "", err
			}
			if live == nil {
				continue
			}
			left = append(left, d.GetName())
			if err := i.release(ctx, live); err != nil {
				return "", err
			}
		}
		if len(left) == 0 {
			return "", nil
		}
		return "the cluster has deleted " + strings.Join(left, ", "), nil
	})
}

// release takes the finalizers of OpenFunction off the objects of a definition that is being deleted; those of others stay.
func (i *Installer) release(ctx context.Context, definition *unstructured.Unstructured) error {
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	items, err := i.all(ctx, kindOf{group, storageVersion(definition), kind})
	if err != nil {
		return err
	}
	for j := range items {
		o := &items[j]
		keep := slices.DeleteFunc(slices.Clone(o.GetFinalizers()), func(f string) bool { return strings.Contains(f, "openfunction.io") })
		if o.GetDeletionTimestamp() == nil || len(keep) == len(o.GetFinalizers()) {
			continue
		}
		before := o.DeepCopy()
		o.SetFinalizers(keep)
		if err := i.Client.Patch(ctx, o, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return explained(fmt.Errorf("taking the finalizers off %s: %w", Identity(o), err))
		}
	}
	return nil
}

func storageVersion(definition *unstructured.Unstructured) string {
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	for _, v := range versions {
		if m, ok := v.(map[string]any); ok && m["storage"] == true {
			name, _ := m["name"].(string)
			return name
		}
	}
	return ""
}

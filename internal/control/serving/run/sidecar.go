package run

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/run"
)

// sidecar is the daprd that a revision wants beside its copies; nil when it wants none, or the runner starts none.
func (c *Controller) sidecar(ctx context.Context, s *v1beta2.Serving) (*run.Sidecar, error) {
	if !c.options.Sidecars || !daprapp.HasSidecar(s) {
		return nil, nil
	}
	out, err := daprapp.Sidecar(s)
	if err != nil {
		return nil, &invalid{"InvalidAnnotation", err}
	}
	if name := daprapp.Annotation(s, daprapp.AnnotationConfig); name != "" {
		config := &daprv1.Configuration{}
		if err := c.client.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: name}, config); err != nil {
			if client.IgnoreNotFound(err) != nil {
				return nil, fmt.Errorf("reading configuration %s: %w", name, err)
			}
			return nil, &invalid{"MissingReference", fmt.Errorf("annotation %s: there is no Configuration %q in namespace %q", daprapp.AnnotationConfig, name, s.Namespace)}
		}
		if out.Files[run.SidecarConfig], err = manifest("Configuration", name, config.Spec); err != nil {
			return nil, err
		}
	}
	var all daprv1.ResiliencyList
	if err := c.client.List(ctx, &all, client.InNamespace(s.Namespace)); err != nil {
		return nil, fmt.Errorf("listing resiliencies: %w", err)
	}
	for i := range all.Items {
		r := &all.Items[i]
		if len(r.Scopes) > 0 && !slices.Contains(r.Scopes, out.AppID) && !slices.Contains(r.Scopes, s.Labels[v1beta2.LabelFunction]) {
			continue
		}
		if out.Files["resiliency-"+r.Name+".yaml"], err = manifest("Resiliency", r.Name, r.Spec); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// manifest is an object of Dapr as daprd reads it. It has no scopes: whom it is not for does not get it.
func manifest(kind, name string, spec any) ([]byte, error) {
	data, err := json.Marshal(map[string]any{"apiVersion": "dapr.io/v1alpha1", "kind": kind, "metadata": map[string]string{"name": name}, "spec": spec})
	if err != nil {
		return nil, fmt.Errorf("writing %s %s: %w", kind, name, err)
	}
	return data, nil
}

package kubeapi

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
)

// applyCRDs returns when all are established: their objects can be read and written.
func (in *installer) applyCRDs(ctx context.Context, crds []*apiextensionsv1.CustomResourceDefinition) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, crd := range crds {
		group.Go(func() error {
			crd := crd.DeepCopy()
			crd.TypeMeta = metav1.TypeMeta{APIVersion: apiextensionsv1.SchemeGroupVersion.String(), Kind: "CustomResourceDefinition"}
			applied, err := in.apply(ctx, located{crdResource, crd})
			if err != nil {
				return err
			}
			return in.awaitEstablished(ctx, applied)
		})
	}
	return group.Wait()
}

// awaitEstablished watches a CRD from the state just applied on.
func (in *installer) awaitEstablished(ctx context.Context, crd *unstructured.Unstructured) error {
	if done, err := established(crd); done || err != nil {
		return err
	}
	events, err := in.client.Resource(crdResource).Watch(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector("metadata.name", crd.GetName()).String(),
		ResourceVersion: crd.GetResourceVersion(),
	})
	if err != nil {
		return fmt.Errorf("watching custom resource definition %s: %w", crd.GetName(), err)
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		state, ok := event.Object.(*unstructured.Unstructured)
		if !ok || event.Type == watch.Deleted {
			return fmt.Errorf("custom resource definition %s went away while it was installed", crd.GetName())
		}
		if done, err := established(state); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("waiting for custom resource definition %s to be established: %w", crd.GetName(), context.Cause(ctx))
}

// established says whether a CRD is served; names that another one holds are an error.
func established(crd *unstructured.Unstructured) (bool, error) {
	conditions, _, err := unstructured.NestedSlice(crd.Object, "status", "conditions")
	if err != nil {
		return false, fmt.Errorf("reading the status of custom resource definition %s: %w", crd.GetName(), err)
	}
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		switch {
		case condition["type"] == string(apiextensionsv1.NamesAccepted) && condition["status"] == "False":
			return false, fmt.Errorf("custom resource definition %s is refused: %v", crd.GetName(), condition["message"])
		case condition["type"] == string(apiextensionsv1.Established) && condition["status"] == "True":
			return true, nil
		}
	}
	return false, nil
}

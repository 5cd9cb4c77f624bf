package kubeapi

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
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
	var typed apiextensionsv1.CustomResourceDefinition
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(crd.Object, &typed); err != nil {
		return false, fmt.Errorf("reading custom resource definition %s: %w", crd.GetName(), err)
	}
	refused := apihelpers.FindCRDCondition(&typed, apiextensionsv1.NamesAccepted)
	if refused != nil && refused.Status == apiextensionsv1.ConditionFalse {
		return false, fmt.Errorf("custom resource definition %s is refused: %s", crd.GetName(), refused.Message)
	}
	return apihelpers.IsCRDConditionTrue(&typed, apiextensionsv1.Established), nil
}

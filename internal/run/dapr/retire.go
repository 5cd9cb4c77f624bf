package dapr

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// object names one that was made.
type object struct{ kind, name string }

func key(o *unstructured.Unstructured) object { return object{o.GetKind(), o.GetName()} }

// kinds are those of which objects are made. KEDA's come first: nothing is to scale what is about to go.
func kinds(keda bool) []schema.GroupVersionKind {
	own := []schema.GroupVersionKind{
		{Group: "apps", Version: "v1", Kind: v1beta2.WorkloadTypeDeployment},
		{Group: "apps", Version: "v1", Kind: v1beta2.WorkloadTypeStatefulSet},
		{Group: "batch", Version: "v1", Kind: v1beta2.WorkloadTypeJob},
		{Version: "v1", Kind: "Service"},
	}
	if !keda {
		return own
	}
	return append([]schema.GroupVersionKind{
		schema.FromAPIVersionAndKind(kedaAPI, kindScaledObject),
		schema.FromAPIVersionAndKind(kedaAPI, kindScaledJob),
		schema.FromAPIVersionAndKind(kedaAPI, kindAuthentication),
	}, own...)
}

// each goes over everything that this engine has made for a function.
func (e *Engine) each(ctx context.Context, namespace, name string, owner metav1.OwnerReference, keda bool, do func(*unstructured.Unstructured) error) error {
	for _, kind := range kinds(keda) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		if err := e.client.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{v1beta2.LabelFunction: name, labelEngine: engineName}); err != nil {
			return fmt.Errorf("listing %ss: %w", kind.Kind, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if by := metav1.GetControllerOf(o); by == nil || by.UID != owner.UID || !o.GetDeletionTimestamp().IsZero() {
				continue
			}
			o.SetGroupVersionKind(kind)
			if err := do(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// retire takes away what is not wanted any more.
func (e *Engine) retire(ctx context.Context, s *cluster.Service, p plan, liveReady, keda bool, made map[object]bool) error {
	return e.each(ctx, s.Namespace, s.Name, s.Owner, keda, func(o *unstructured.Unstructured) error {
		revision := o.GetLabels()[v1beta2.LabelServing]
		switch {
		case made[key(o)], revision != "" && p.keeps(revision, liveReady):
			return nil
		case o.GetKind() == kindScaledJob:
			if busy, err := e.busy(ctx, o.GetNamespace(), revision); err != nil || busy {
				if err != nil {
					return err
				}
				return e.pause(ctx, o, true)
			}
		}
		return e.delete(ctx, o)
	})
}

// busy says whether a revision has pods that work.
func (e *Engine) busy(ctx context.Context, namespace, revision string) (bool, error) {
	pods, err := e.pods(ctx, namespace, revision)
	for i := range pods {
		if phase := pods[i].Status.Phase; phase == corev1.PodRunning || phase == corev1.PodPending {
			return true, nil
		}
	}
	return false, err
}

// pause lets a ScaledJob make no more Jobs, or go on. Those that it made would end with it.
func (e *Engine) pause(ctx context.Context, o *unstructured.Unstructured, paused bool) error {
	var value any
	if paused {
		value = "true"
	}
	if _, is := o.GetAnnotations()[v1beta2.AnnotationPaused]; is == paused {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{v1beta2.AnnotationPaused: value}}})
	if err != nil {
		return fmt.Errorf("encoding a pause: %w", err)
	}
	if err := e.client.Patch(ctx, o, client.RawPatch("application/merge-patch+json", patch)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("pausing %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

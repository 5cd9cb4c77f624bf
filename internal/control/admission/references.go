package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// references looks for what a Function's pods name on a cluster. Only a runtime class that is not there is refused: which there are
// is the cluster's, and seldom changes, while the rest is often applied together with the function. A function that has had the
// class from before can still be changed.
func (o Options) references(ctx context.Context, f, old *v1beta2.Function) ([]string, field.ErrorList) {
	if o.Cluster == nil || f.Spec.Serving == nil {
		return nil, nil
	}
	pod, err := f.Spec.Serving.PodSpec()
	if err != nil {
		return nil, nil // said by Validate
	}
	template := field.NewPath("spec", "serving", "template")
	var warnings []string
	var errs field.ErrorList
	if class := pod.RuntimeClassName; class != nil && *class != "" && *class != runtimeClass(old) {
		errs = o.runtimeClass(ctx, template.Child("runtimeClassName"), *class)
	}
	warn := func(p *field.Path, kind schema.GroupVersionKind, key client.ObjectKey) {
		if key.Name != "" && o.absent(ctx, kind, key) {
			warnings = append(warnings, fmt.Sprintf("%s: %s %q is not there yet: no copy can start without it", p, kind.Kind, key.Name))
		}
	}
	core := corev1.SchemeGroupVersion
	warn(template.Child("priorityClassName"), schedulingv1.SchemeGroupVersion.WithKind("PriorityClass"), client.ObjectKey{Name: pod.PriorityClassName})
	warn(template.Child("serviceAccountName"), core.WithKind("ServiceAccount"), client.ObjectKey{Namespace: f.Namespace, Name: pod.ServiceAccountName})
	for i, s := range pod.ImagePullSecrets {
		warn(template.Child("imagePullSecrets").Index(i), core.WithKind("Secret"), client.ObjectKey{Namespace: f.Namespace, Name: s.Name})
	}
	if s := f.Spec.ImageCredentials; s != nil {
		warn(field.NewPath("spec", "imageCredentials"), core.WithKind("Secret"), client.ObjectKey{Namespace: f.Namespace, Name: s.Name})
	}
	return warnings, errs
}

// runtimeClass is the one that a Function had; empty when it had none, or there was no Function.
func runtimeClass(f *v1beta2.Function) string {
	if f == nil || f.Spec.Serving == nil {
		return ""
	}
	pod, err := f.Spec.Serving.PodSpec()
	if err != nil || pod.RuntimeClassName == nil {
		return ""
	}
	return *pod.RuntimeClassName
}

// runtimeClass refuses a class that the cluster does not have, and names those that it has.
func (o Options) runtimeClass(ctx context.Context, p *field.Path, name string) field.ErrorList {
	if !o.absent(ctx, nodev1.SchemeGroupVersion.WithKind("RuntimeClass"), client.ObjectKey{Name: name}) {
		return nil
	}
	list := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: nodev1.SchemeGroupVersion.String(), Kind: "RuntimeClassList"}}
	if err := o.Cluster.List(ctx, list); err != nil {
		return nil // an API server without the kind, or one that does not tell
	}
	said := "this cluster has no such RuntimeClass, and no other: leave it out, or ask who runs the cluster to install one"
	if len(list.Items) > 0 {
		var there []string
		for i := range list.Items {
			there = append(there, list.Items[i].Name)
		}
		slices.Sort(there)
		said = "this cluster has no such RuntimeClass; there are: " + strings.Join(there, ", ")
	}
	if name == v1beta2.OwnWasmRuntimeClass || name == v1beta2.WasmRuntimeClass {
		said += ". On one machine ofn runs WebAssembly itself; on a cluster a containerd shim for it must be installed, with a RuntimeClass of this name"
	}
	return field.ErrorList{field.Invalid(p, name, said)}
}

// absent says whether an object is certainly not there. What may not be read, or has no such kind here, may be there.
func (o Options) absent(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) bool {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	err := o.Cluster.Get(ctx, key, object)
	return apierrors.IsNotFound(err) && !meta.IsNoMatchError(err)
}

package export

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
)

// dropped are annotations of those who wrote an object here. What converts between versions of the API stays, because it holds what
// the user said in the older one.
var dropped = map[string]bool{
	corev1.LastAppliedConfigAnnotation:     true,
	networking.AnnotationLastApplied:       true,
	networking.AnnotationInjectedListeners: true,
	v1beta2.AnnotationRebuild:              true,
	"openfunction.io/spec-hash":            true,
	"openfunction.io/applied-hash":         true,
	"openfunction.io/adoption":             true,
	"kubernetes.io/metadata.name":          true, // a label of namespaces, made by the server
}

// clean is what its user said of an object, and nothing that a server or a controller added.
func clean(o *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{}}
	for k, v := range o.DeepCopy().Object {
		if k != "metadata" && k != "status" {
			out.Object[k] = v
		}
	}
	if o.GetKind() == "Namespace" {
		delete(out.Object, "spec")
	}
	out.SetName(o.GetName())
	if ns := o.GetNamespace(); ns != "" {
		out.SetNamespace(ns)
	}
	if l := kept(o.GetLabels()); len(l) > 0 {
		out.SetLabels(l)
	}
	if a := kept(o.GetAnnotations()); len(a) > 0 {
		out.SetAnnotations(a)
	}
	return out
}

func kept(all map[string]string) map[string]string {
	out := maps.Clone(all)
	maps.DeleteFunc(out, func(k, _ string) bool { return dropped[k] })
	return out
}

// generated tells whether a controller of OpenFunction made the object and will make it again.
func generated(o *unstructured.Unstructured) bool {
	for _, ref := range o.GetOwnerReferences() {
		group, _, _ := strings.Cut(ref.APIVersion, "/")
		if ref.Controller != nil && *ref.Controller && strings.HasSuffix(group, ".openfunction.io") {
			return true
		}
	}
	return false
}

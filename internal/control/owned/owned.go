// Package owned makes and orders the children of a Function: its Builders and Servings. Their names carry a number that
// only grows, so that a second attempt to make the same child, from a stale cache or after a crash, fails instead of
// making another.
package owned

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// AnnotationHash keeps on a child the hash of the specification it was made from.
const AnnotationHash = "openfunction.io/spec-hash"

// Hash is a decimal 64-bit FNV-1a hash over the JSON of the parts, which must marshal deterministically.
func Hash(parts ...any) (string, error) {
	h := fnv.New64a()
	enc := json.NewEncoder(h)
	for _, p := range parts {
		if err := enc.Encode(p); err != nil {
			return "", fmt.Errorf("hashing %T: %w", p, err)
		}
	}
	return strconv.FormatUint(h.Sum64(), 10), nil
}

// Number is the number in a child's name, 0 when it has none.
func Number(name string) int {
	i := strings.LastIndexByte(name, '-')
	n, err := strconv.Atoi(name[i+1:])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Newest orders children by their number, the newest first; those without a number come last, by age.
func Newest[T client.Object](children []T) []T {
	slices.SortStableFunc(children, func(a, b T) int {
		if d := Number(b.GetName()) - Number(a.GetName()); d != 0 {
			return d
		}
		return b.GetCreationTimestamp().Compare(a.GetCreationTimestamp().Time)
	})
	return children
}

// Next is the name of the child after all of these: "<prefix>-00001", "<prefix>-00002", … known are further names that
// must not be used again, such as those in a status.
func Next[T client.Object](prefix string, children []T, known ...string) string {
	top := 0
	for _, c := range children {
		top = max(top, Number(c.GetName()))
	}
	for _, k := range known {
		if rest, ok := strings.CutPrefix(k, prefix+"-"); ok && !strings.Contains(rest, "-") {
			top = max(top, Number(k))
		}
	}
	return numbered(prefix, top+1)
}

func numbered(prefix string, n int) string { return fmt.Sprintf("%s-%05d", prefix, n) }

// Create makes a child under the name given; where an object that is not the function's holds it (one that was orphaned, or
// that an earlier function of the same name left to the garbage collector), under the next free number after it. False says
// that the function has a child of the name which the cache does not show yet, or which is being removed: look again soon.
func Create[T client.Object](ctx context.Context, c client.Client, fn *v1beta2.Function, child T, prefix, name, hash string) (bool, error) {
	for {
		adopt(fn, child, name, hash)
		err := c.Create(ctx, child)
		if err == nil {
			return true, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return false, fmt.Errorf("creating %s: %w", name, err)
		}
		holder := child.DeepCopyObject().(T)
		if err := c.Get(ctx, client.ObjectKeyFromObject(child), holder); err != nil {
			if apierrors.IsNotFound(err) {
				return false, nil
			}
			return false, fmt.Errorf("reading %s: %w", name, err)
		}
		if By(fn, holder) {
			return false, nil
		}
		name = numbered(prefix, Number(name)+1)
	}
}

// notInherited are annotations of a Function that say nothing of its children.
var notInherited = []string{corev1.LastAppliedConfigAnnotation, v1beta2.AnnotationConversionData}

// adopt gives a new child its name, labels, annotations and owner. Annotations that it has already stay.
func adopt(fn *v1beta2.Function, child client.Object, name, hash string) {
	annotations := map[string]string{}
	for k, v := range fn.Annotations {
		if !slices.Contains(notInherited, k) {
			annotations[k] = v
		}
	}
	maps.Copy(annotations, child.GetAnnotations())
	annotations[AnnotationHash] = hash
	child.SetName(name)
	child.SetNamespace(fn.Namespace)
	child.SetLabels(map[string]string{v1beta2.LabelFunction: fn.Name})
	child.SetAnnotations(annotations)
	child.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(fn, v1beta2.GroupVersion.WithKind("Function"))})
}

// By says whether a child is controlled by the function (and not by an earlier one of the same name).
func By(fn *v1beta2.Function, child client.Object) bool { return metav1.IsControlledBy(child, fn) }

// Foreign says whether a child that a Function controls was made by another program, which is OpenFunction's operator: it does not
// have the hash that every child has which this one made.
func Foreign(child client.Object) bool {
	owner := metav1.GetControllerOf(child)
	return owner != nil && owner.Kind == "Function" && strings.HasPrefix(owner.APIVersion, v1beta2.Group+"/") && child.GetAnnotations()[AnnotationHash] == ""
}

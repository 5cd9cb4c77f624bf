// Package owned makes and orders the children of a Function: its Builders and Servings. Their names carry a number that
// only grows, so that a second attempt to make the same child, from a stale cache or after a crash, fails instead of
// making another.
package owned

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

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
	return fmt.Sprintf("%s-%05d", prefix, top+1)
}

// Adopt gives a new child its name, labels, annotations and owner.
func Adopt(fn *v1beta2.Function, child client.Object, name, hash string) {
	child.SetName(name)
	child.SetNamespace(fn.Namespace)
	labels := map[string]string{v1beta2.LabelFunction: fn.Name}
	annotations := map[string]string{AnnotationHash: hash}
	for k, v := range fn.Annotations {
		if k != "kubectl.kubernetes.io/last-applied-configuration" && k != v1beta2.AnnotationConversionData {
			annotations[k] = v
		}
	}
	child.SetLabels(labels)
	child.SetAnnotations(annotations)
	child.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(fn, v1beta2.GroupVersion.WithKind("Function"))})
}

// By says whether a child is controlled by the function (and not by an earlier one of the same name).
func By(fn *v1beta2.Function, child client.Object) bool { return metav1.IsControlledBy(child, fn) }

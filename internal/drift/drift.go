// Package drift keeps objects of engines as they were made: it tells whether one still holds what was applied, and applies it
// again when it does not. An object that does costs no request at all, because it is read from a cache.
package drift

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// AnnotationHash keeps on an object the hash of what was applied, so that what is wanted no longer is found out, too.
const AnnotationHash = "openfunction.io/applied-hash"

// manager owns the fields that are applied.
const manager = "ofn"

// Taken says that an object of the name is there and is somebody else's.
type Taken struct{ Kind, Namespace, Name string }

// Error names the object and what to do.
func (t *Taken) Error() string {
	return fmt.Sprintf("%s %s/%s exists and does not belong to this function: delete or rename it, or rename the function", t.Kind, t.Namespace, t.Name)
}

// Object makes any value that marshals to an object of Kubernetes into one that Ensure takes.
func Object(v any) (*unstructured.Unstructured, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return u, nil
}

// Read reads an object that wanted names; nil when there is none. One that another owner controls is a *Taken.
func Read(ctx context.Context, c client.Reader, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	current := &unstructured.Unstructured{}
	current.SetGroupVersionKind(wanted.GroupVersionKind())
	if err := c.Get(ctx, client.ObjectKeyFromObject(wanted), current); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading %s %s: %w", wanted.GetKind(), wanted.GetName(), err)
	}
	owner := metav1.GetControllerOf(wanted)
	if owner == nil || !ownedBy(current, owner) {
		return nil, &Taken{wanted.GetKind(), wanted.GetNamespace(), wanted.GetName()}
	}
	return current, nil
}

func ownedBy(o client.Object, owner *metav1.OwnerReference) bool {
	own := metav1.GetControllerOf(o)
	return own != nil && own.UID == owner.UID
}

// Ensure makes the object hold what wanted says, which must name its controller, and returns it as it is then. Fields that wanted
// does not mention are left to others, such as an engine's defaults. One request is made when something differs, none otherwise.
// The client reads from a cache; live is asked before anything is made, because the cache may not show yet what somebody else made.
func Ensure(ctx context.Context, c client.Client, live client.Reader, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	current, err := Read(ctx, c, wanted)
	if err == nil && current == nil {
		current, err = Read(ctx, live, wanted)
	}
	if err != nil {
		return nil, err
	}
	if current != nil && !current.GetDeletionTimestamp().IsZero() {
		return current, nil // its end comes as an event, and it is made anew then
	}
	wanted = wanted.DeepCopy()
	if err := sign(wanted); err != nil {
		return nil, err
	}
	if current != nil && Holds(wanted.Object, current.Object) {
		return current, nil
	}
	options := []client.ApplyOption{client.FieldOwner(manager)}
	if current != nil { // without it, an object that came in between is not taken over
		options = append(options, client.ForceOwnership)
	}
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(wanted), options...); err != nil {
		return nil, fmt.Errorf("applying %s %s: %w", wanted.GetKind(), wanted.GetName(), err)
	}
	return wanted, nil
}

// Delete removes the object that names, when it belongs to the owner in it. Nothing there, or another's, is no error.
func Delete(ctx context.Context, c client.Client, named *unstructured.Unstructured) error {
	current, err := Read(ctx, c, named)
	if _, taken := err.(*Taken); taken || err == nil && (current == nil || !current.GetDeletionTimestamp().IsZero()) { //nolint:errorlint // Read returns it bare
		return nil
	}
	if err != nil {
		return err
	}
	uid := current.GetUID()
	if err := c.Delete(ctx, current, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting %s %s: %w", named.GetKind(), named.GetName(), err)
	}
	return nil
}

// Undeclared is whether an object was refused for a field that the definition of its kind has not. The API server calls it an internal
// error.
func Undeclared(err error) bool {
	return err != nil && strings.Contains(err.Error(), "field not declared in schema")
}

func sign(o *unstructured.Unstructured) error {
	h := fnv.New64a()
	if err := json.NewEncoder(h).Encode(o.Object); err != nil {
		return fmt.Errorf("hashing %s: %w", o.GetKind(), err)
	}
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationHash] = strconv.FormatUint(h.Sum64(), 10)
	o.SetAnnotations(annotations)
	return nil
}

// Holds says whether have says everything that want says: each field of an object, and lists as a whole. An empty value
// is as good as none.
func Holds(want, have any) bool {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return len(w) == 0 && have == nil
		}
		for k, v := range w {
			if !Holds(v, h[k]) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		if !ok || len(h) != len(w) {
			return len(w) == 0 && have == nil
		}
		for i := range w {
			if !Holds(w[i], h[i]) {
				return false
			}
		}
		return true
	case nil:
		return true
	default:
		return same(want, have)
	}
}

// same compares scalars: a whole number is the same however it was decoded.
func same(want, have any) bool {
	if w, ok := want.(int64); ok {
		if h, ok := have.(float64); ok {
			return float64(w) == h
		}
	}
	return reflect.DeepEqual(want, have)
}

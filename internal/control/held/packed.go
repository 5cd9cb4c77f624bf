package held

import (
	"fmt"
	"slices"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// packed is an object as it is held. It is never changed.
type packed struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	json []byte // of the whole object
}

var (
	_ client.Object     = (*packed)(nil)
	_ client.ObjectList = (*packedList)(nil)
	// The caches of controller-runtime hold what has no Go type apart from what has one, and know it by this.
	_ runtime.Unstructured = (*packed)(nil)
	_ runtime.Unstructured = (*packedList)(nil)
)

func pack(u *unstructured.Unstructured) (*packed, error) {
	p := &packed{}
	p.APIVersion, p.Kind = shared(u.GetAPIVersion()), shared(u.GetKind())
	p.Namespace, p.Name, p.UID = shared(u.GetNamespace()), u.GetName(), u.GetUID()
	p.ResourceVersion, p.Generation = u.GetResourceVersion(), u.GetGeneration()
	p.CreationTimestamp, p.DeletionTimestamp = u.GetCreationTimestamp(), u.GetDeletionTimestamp()
	p.Labels, p.Annotations = sharedKeys(u.GetLabels()), sharedKeys(u.GetAnnotations())
	p.OwnerReferences, p.Finalizers = u.GetOwnerReferences(), u.GetFinalizers()
	for i := range p.OwnerReferences {
		o := &p.OwnerReferences[i]
		o.APIVersion, o.Kind = shared(o.APIVersion), shared(o.Kind)
	}
	data, err := u.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("packing %s %s: %w", p.Kind, p.Name, err)
	}
	p.json = slices.Clone(data) // the encoder's buffer is longer
	return p, nil
}

// shared is the same string, of which there is one however many objects have it.
func shared(s string) string { return unique.Make(s).Value() }

func sharedKeys(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[shared(k)] = v
	}
	return out
}

func (p *packed) unpack(into *unstructured.Unstructured) error {
	if err := into.UnmarshalJSON(p.json); err != nil {
		return fmt.Errorf("unpacking %s %s: %w", p.Kind, p.Name, err)
	}
	return nil
}

// DeepCopyObject implements runtime.Object.
func (p *packed) DeepCopyObject() runtime.Object {
	out := *p
	p.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

// NewEmptyInstance implements runtime.Unstructured.
func (p *packed) NewEmptyInstance() runtime.Unstructured {
	return &packed{TypeMeta: p.TypeMeta}
}

// UnstructuredContent implements runtime.Unstructured.
func (p *packed) UnstructuredContent() map[string]any {
	var u unstructured.Unstructured
	if len(p.json) == 0 || p.unpack(&u) != nil {
		u.SetGroupVersionKind(p.GroupVersionKind())
	}
	return u.Object
}

// SetUnstructuredContent implements runtime.Unstructured.
func (p *packed) SetUnstructuredContent(content map[string]any) {
	if is, err := pack(&unstructured.Unstructured{Object: content}); err == nil {
		*p = *is
	}
}

// IsList implements runtime.Unstructured.
func (p *packed) IsList() bool { return false }

// EachListItem implements runtime.Unstructured.
func (p *packed) EachListItem(func(runtime.Object) error) error { return nil }

// EachListItemWithAlloc implements runtime.Unstructured.
func (p *packed) EachListItemWithAlloc(func(runtime.Object) error) error { return nil }

// packedList is what a list of such objects is read into.
type packedList struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []packed
}

// DeepCopyObject implements runtime.Object.
func (l *packedList) DeepCopyObject() runtime.Object {
	out := *l
	out.Items = slices.Clone(l.Items) // which are never changed
	return &out
}

// NewEmptyInstance implements runtime.Unstructured.
func (l *packedList) NewEmptyInstance() runtime.Unstructured {
	return &packedList{TypeMeta: l.TypeMeta}
}

// UnstructuredContent implements runtime.Unstructured.
func (l *packedList) UnstructuredContent() map[string]any {
	items := make([]any, len(l.Items))
	for i := range l.Items {
		items[i] = l.Items[i].UnstructuredContent()
	}
	return map[string]any{"apiVersion": l.APIVersion, "kind": l.Kind, "items": items}
}

// SetUnstructuredContent implements runtime.Unstructured.
func (l *packedList) SetUnstructuredContent(content map[string]any) {
	items, _ := content["items"].([]any)
	l.Items = make([]packed, len(items))
	for i, item := range items {
		if each, ok := item.(map[string]any); ok {
			l.Items[i].SetUnstructuredContent(each)
		}
	}
}

// IsList implements runtime.Unstructured.
func (l *packedList) IsList() bool { return true }

// EachListItem implements runtime.Unstructured.
func (l *packedList) EachListItem(do func(runtime.Object) error) error {
	for i := range l.Items {
		if err := do(&l.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// EachListItemWithAlloc implements runtime.Unstructured.
func (l *packedList) EachListItemWithAlloc(do func(runtime.Object) error) error {
	return l.EachListItem(func(o runtime.Object) error { return do(o.DeepCopyObject()) })
}

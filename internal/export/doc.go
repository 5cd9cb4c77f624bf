// Package export takes the functions of a control plane, and everything that belongs to them, to another one: as manifests that
// are applied there unchanged, with their images. It reads, and writes files and registries, never the API.
package export

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	daprv2 "github.com/openfunction/ofn/api/dapr/v2alpha1"
	eventsv1 "github.com/openfunction/ofn/api/events/v1alpha1"
	kedav1 "github.com/openfunction/ofn/api/keda/v1alpha1"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
)

// Target is what the manifests are for.
type Target string

// The targets.
const (
	Cluster Target = "cluster"
	Machine Target = "machine"
)

// Options say what is exported, and how.
type Options struct {
	// Names of the functions; none is everything of the namespace.
	Names []string
	// Namespace that is read; empty is all of them.
	Namespace string
	Target    Target
	// Secrets exports those that are referred to with their content, too.
	Secrets bool
	// Prebuilt takes the image that runs instead of the source.
	Prebuilt bool
	// Registry is the host and prefix, "registry.example.com/team", that images of the platform's own registry move to; empty leaves
	// them where they are.
	Registry string
	// Credentials names the secret that the manifests name where they name such an image.
	Credentials string
	// Kept says that the images come with the manifests.
	Kept bool
}

// Bundle is what there is to move.
type Bundle struct {
	// Objects in the order in which they are to be applied.
	Objects []*unstructured.Unstructured
	// Images that the manifests name and that must be moved.
	Images []Image
	// Missing are objects that the others name and that are not among them.
	Missing []Missing
	// Warnings are of what the target cannot do as it is.
	Warnings []Warning
}

// Image is one to be moved.
type Image struct {
	// From is its name here, To there; both with digest. They are the same when only the place changes.
	From string `json:"from"`
	To   string `json:"to"`
}

// Missing is an object that must be made by hand.
type Missing struct {
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace,omitempty"`
	Name      string   `json:"name"`
	UsedBy    []string `json:"usedBy"`
	// Type and Keys are those of a Secret that is here and stays here.
	Type string   `json:"type,omitempty"`
	Keys []string `json:"keys,omitempty"`
	// Absent says that it is not here either.
	Absent bool `json:"absent,omitempty"`
}

// Warning is one line about an object.
type Warning struct {
	Object  string `json:"object"` // "function default/hello"
	Message string `json:"message"`
}

// String is the line.
func (w Warning) String() string { return w.Object + ": " + w.Message }

func gv(v schema.GroupVersion, kind string) schema.GroupVersionKind { return v.WithKind(kind) }

var core = schema.GroupVersion{Version: "v1"}

// kinds that are exported, in the order in which they are applied: what others name comes first.
func kinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		gv(core, "Namespace"), gv(core, "Secret"), gv(core, "ConfigMap"),
		gv(kedav1.GroupVersion, "TriggerAuthentication"),
		gv(daprv1.GroupVersion, "Configuration"), gv(daprv1.GroupVersion, "Resiliency"), gv(daprv1.GroupVersion, "Component"), gv(daprv2.GroupVersion, "Subscription"),
		gv(networking.GroupVersion, "Gateway"),
		gv(eventsv1.GroupVersion, "ClusterEventBus"), gv(eventsv1.GroupVersion, "EventBus"),
		gv(v1beta2.GroupVersion, "Function"),
		gv(eventsv1.GroupVersion, "EventSource"), gv(eventsv1.GroupVersion, "Trigger"),
	}
}

// listed are the kinds that are read as a whole; the others are read by the names that these name.
func listed() []schema.GroupVersionKind {
	return slices.DeleteFunc(kinds(), func(k schema.GroupVersionKind) bool { return k.Group == "" })
}

func ordered(objects []*unstructured.Unstructured) {
	all := kinds()
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		if d := slices.Index(all, a.GroupVersionKind()) - slices.Index(all, b.GroupVersionKind()); d != 0 {
			return d
		}
		return compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName())
	})
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func of(kind string) func(schema.GroupVersionKind) bool {
	return func(k schema.GroupVersionKind) bool { return k.Kind == kind }
}

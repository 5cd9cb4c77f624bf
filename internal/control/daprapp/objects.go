package daprapp

import (
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
)

// Annotations that a pod gets for Dapr's injector, beside those that mean something without a sidecar.
const (
	annotationEnabled     = annotation + "enabled"
	annotationLogAsJSON   = annotation + "log-as-json"
	annotationMetricsPort = annotation + "metrics-port"
)

// metricsPort of a sidecar is not Dapr's own 9090, which Knative's queue-proxy has.
const metricsPort = "19090"

// ID is by which Dapr knows the application. All revisions of a function are the same one, so that what is kept under its id, such
// as the place of a group of consumers and the keys of a state store, goes on from one to the next.
func ID(s *v1beta2.Serving) string {
	if id := Annotation(s, AnnotationAppID); id != "" {
		return id
	}
	return s.Labels[v1beta2.LabelFunction] + "-" + s.Namespace
}

// PodAnnotations are those by which Dapr puts a sidecar beside each copy on a cluster. What the user says of Dapr wins.
func PodAnnotations(s *v1beta2.Serving) map[string]string {
	out := map[string]string{annotationEnabled: "true", AnnotationAppID: ID(s), annotationLogAsJSON: "true", annotationMetricsPort: metricsPort}
	t := s.Spec.Triggers
	switch {
	case t == nil: // a sidecar that is told of a port waits until somebody listens there
	case len(t.Dapr) > 0 && s.Annotations[v1beta2.AnnotationImageUser] != v1beta2.ImageUserNonroot:
		out[AnnotationAppPort], out[AnnotationAppProtocol] = strconv.Itoa(Port(s)), "grpc" // what OpenFunction's frameworks speak
	case len(t.Dapr) > 0: // ofn built the image, whose framework speaks HTTP in every language
		out[AnnotationAppPort], out[AnnotationAppProtocol] = strconv.Itoa(Port(s)), "http"
	case t.HTTP != nil:
		out[AnnotationAppPort], out[AnnotationAppProtocol] = strconv.Itoa(Port(s)), "http"
	}
	for _, said := range []map[string]string{s.Annotations, s.Spec.Annotations} {
		for k, v := range said {
			if strings.HasPrefix(k, annotation) {
				out[k] = v
			}
		}
	}
	return out
}

// ObjectName is the name of the Component that is made on a cluster for one of a function's own components. Names of functions
// have no dot, so that no two functions can mean the same one.
func ObjectName(fn, component string) string {
	const most = 180 // with the function's name less than the 253 characters of a name
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, component)
	clean = strings.Trim(clean[:min(len(clean), most)], "-")
	if clean == component {
		return fn + "." + clean
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(component)) // never fails
	return fn + "." + strings.TrimPrefix(clean+"-"+strconv.FormatUint(uint64(h.Sum32()), 36), "-")
}

// Object is a Component as it is applied: Dapr's definition has no status.
type Object struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        ObjectMeta           `json:"metadata"`
	Spec            daprv1.ComponentSpec `json:"spec"`
	Scopes          []string             `json:"scopes"`
}

// ObjectMeta is the part of an object's metadata that is said.
type ObjectMeta struct {
	Namespace       string                  `json:"namespace"`
	Name            string                  `json:"name"`
	Labels          map[string]string       `json:"labels,omitempty"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences,omitempty"`
}

// Objects are the Components that revisions of one function define, ordered by name, for their application alone. Where several
// define the same one, the first revision wins.
func Objects(owner metav1.OwnerReference, revisions []*v1beta2.Serving) []Object {
	var scopes []string
	found := map[string]*Object{}
	for _, s := range revisions {
		if !Enabled(s) {
			continue
		}
		if id := ID(s); !slices.Contains(scopes, id) {
			scopes = append(scopes, id)
		}
		fn, all := s.Labels[v1beta2.LabelFunction], groups(&s.Spec.ServingTemplate)
		for i, g := range all {
			for key, c := range g.of {
				n := ObjectName(fn, name(all, i, key))
				if c == nil || found[n] != nil {
					continue
				}
				found[n] = &Object{TypeMeta: metav1.TypeMeta{APIVersion: daprv1.GroupVersion.String(), Kind: "Component"}, Spec: spec(c),
					Metadata: ObjectMeta{Namespace: s.Namespace, Name: n, OwnerReferences: []metav1.OwnerReference{owner},
						Labels: map[string]string{v1beta2.LabelManaged: "true", v1beta2.LabelFunction: fn}}}
			}
		}
	}
	slices.Sort(scopes)
	out := make([]Object, 0, len(found))
	for _, n := range slices.Sorted(maps.Keys(found)) {
		found[n].Scopes = scopes
		out = append(out, *found[n])
	}
	return out
}

func spec(c *v1beta2.Component) daprv1.ComponentSpec {
	out := daprv1.ComponentSpec{Type: c.Type, Version: c.Version, IgnoreErrors: c.IgnoreErrors, InitTimeout: c.InitTimeout}
	for _, m := range c.Metadata {
		item := daprv1.MetadataItem{Name: m.Name, Value: m.Value}
		if ref := m.SecretKeyRef; ref != nil && ref.Name != "" {
			item.SecretKeyRef = &daprv1.SecretKeyRef{Name: ref.Name, Key: ref.Key}
			if ref.Key == "" {
				item.SecretKeyRef.Key = m.Name
			}
		}
		out.Metadata = append(out.Metadata, item)
	}
	return out
}

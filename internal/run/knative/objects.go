package knative

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// Labels and annotations of Knative.
const (
	labelService = "serving.knative.dev/service"
	// annotationNoGC keeps a Revision without traffic, to which one may roll back.
	annotationNoGC = "serving.knative.dev/no-gc"
	// annotationConcurrency is OpenFunction's way to give containerConcurrency; Knative refuses it as an unknown annotation.
	annotationConcurrency = "autoscaling.knative.dev/container-concurrency"
)

// own are the prefixes of what concerns a Service as a whole.
var own = []string{"serving.knative.dev/", "networking.knative.dev/"}

// service is a Knative Service as it is applied.
type service struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Metadata   metadata    `json:"metadata"`
	Spec       serviceSpec `json:"spec,omitzero"`
}

type metadata struct {
	Namespace   string                  `json:"namespace,omitempty"`
	Name        string                  `json:"name"`
	Labels      map[string]string       `json:"labels,omitempty"`
	Annotations map[string]string       `json:"annotations,omitempty"`
	Owners      []metav1.OwnerReference `json:"ownerReferences,omitempty"`
}

type serviceSpec struct {
	Template template  `json:"template"`
	Traffic  []traffic `json:"traffic,omitempty"`
}

type template struct {
	Metadata metadata       `json:"metadata"`
	Spec     map[string]any `json:"spec"`
}

// revisionSpec is what Knative adds to the template of a pod.
type revisionSpec struct {
	corev1.PodSpec       `json:",inline"`
	ContainerConcurrency *int64 `json:"containerConcurrency,omitempty"`
}

type traffic struct {
	RevisionName string `json:"revisionName"`
	Percent      *int64 `json:"percent,omitempty"`
	Tag          string `json:"tag,omitempty"`
	URL          string `json:"url,omitempty"` // in a status
}

// named is a Service with nothing but its name and owner.
func named(namespace, name string, owner metav1.OwnerReference) service {
	return service{APIVersion: Group + "/" + Version, Kind: serviceKind.Kind,
		Metadata: metadata{Namespace: namespace, Name: name, Owners: []metav1.OwnerReference{owner}}}
}

func serviceOf(s *cluster.Service, t template) service {
	out := named(s.Namespace, s.Name, s.Owner)
	out.Metadata.Labels = maps.Clone(s.Labels)
	if out.Metadata.Labels == nil {
		out.Metadata.Labels = map[string]string{}
	}
	out.Metadata.Labels[v1beta2.LabelFunction] = s.Name
	out.Metadata.Annotations = concerning(s.Annotations, own)
	out.Spec.Template = t
	for _, t := range shares(s) {
		out.Spec.Traffic = append(out.Spec.Traffic, traffic{RevisionName: t.Revision, Percent: &t.Percent, Tag: t.Tag})
	}
	return out
}

// shares are those of the requests; without any the newest revision has all.
func shares(s *cluster.Service) []cluster.Share {
	if len(s.Traffic) == 0 {
		return []cluster.Share{{Revision: s.Newest().Name, Percent: 100}}
	}
	return s.Traffic
}

func concerning(all map[string]string, prefixes []string) map[string]string {
	out := map[string]string{}
	for k, v := range all {
		for _, p := range prefixes {
			if strings.HasPrefix(k, p) {
				out[k] = v
			}
		}
	}
	return out
}

// templateOf is the template of a revision. Once Knative has made its Revision, that is what counts: it is immutable, and a newer
// ofn that would render a Serving otherwise must not try to change it, which Knative refuses.
func templateOf(r *cluster.Revision, made, current *unstructured.Unstructured) (template, error) {
	t, err := rendered(r)
	if err != nil || made == nil {
		return t, err
	}
	spec, ok, err := unstructured.NestedMap(made.Object, "spec")
	if err != nil || !ok {
		return t, fmt.Errorf("Knative revision %s has no spec", r.Name)
	}
	t.Spec = spec
	if current == nil {
		return t, nil
	}
	is, ok, err := unstructured.NestedMap(current.Object, "spec", "template")
	if err != nil || !ok {
		return t, fmt.Errorf("Knative service %s has no template", current.GetName())
	}
	if name, _, _ := unstructured.NestedString(is, "metadata", "name"); name != r.Name {
		return t, nil
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(is["metadata"].(map[string]any), &t.Metadata); err != nil {
		return t, fmt.Errorf("reading the template of Knative service %s: %w", current.GetName(), err)
	}
	// Knative fills in more of a Revision than of the template of a Service that is changed, and would take that for a change, too.
	if there, ok := is["spec"].(map[string]any); ok && drift.Holds(there, spec) {
		t.Spec = there
	}
	return t, nil
}

func rendered(r *cluster.Revision) (template, error) {
	t := template{Metadata: metadata{Name: r.Name, Labels: r.Labels, Annotations: maps.Clone(r.Annotations)}}
	if t.Metadata.Annotations == nil {
		t.Metadata.Annotations = map[string]string{}
	}
	delete(t.Metadata.Annotations, annotationConcurrency)
	t.Metadata.Annotations[annotationNoGC] = "true"
	spec := revisionSpec{PodSpec: *r.Pod.DeepCopy()}
	if r.Concurrency > 0 {
		spec.ContainerConcurrency = &r.Concurrency
	}
	for i := range spec.Containers {
		for j := range spec.Containers[i].Ports {
			port(&spec.Containers[i].Ports[j])
		}
		if spec.Containers[i].Name == v1beta2.FunctionContainer {
			podName(&spec.Containers[i], r.Name)
		}
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return t, fmt.Errorf("encoding the template of %s: %w", r.Name, err)
	}
	u := map[string]any{}
	if err := json.Unmarshal(data, &u); err != nil {
		return t, fmt.Errorf("encoding the template of %s: %w", r.Name, err)
	}
	t.Spec = u
	return t, nil
}

// podName gives a function POD_NAME, without which OpenFunction's frameworks do not start: the revision's name, because Knative lets a pod
// read its own only where a feature flag allows it.
func podName(c *corev1.Container, revision string) {
	if !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "POD_NAME" }) {
		c.Env = append(c.Env, corev1.EnvVar{Name: "POD_NAME", Value: revision})
	}
}

// port takes away the names of ports that Knative does not know, such as OpenFunction's "function-port".
func port(p *corev1.ContainerPort) {
	if p.Name != "h2c" && p.Name != "http1" {
		p.Name = ""
	}
}

func decode(o *unstructured.Unstructured, into any) error {
	data, err := o.MarshalJSON()
	if err != nil {
		return fmt.Errorf("reading %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

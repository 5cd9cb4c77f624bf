package drift

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Metadata is what is applied of an object's metadata: no empty times, which would count as fields that somebody wants.
type Metadata struct {
	Namespace   string                  `json:"namespace,omitempty"`
	Name        string                  `json:"name,omitempty"`
	Labels      map[string]string       `json:"labels,omitempty"`
	Annotations map[string]string       `json:"annotations,omitempty"`
	Owners      []metav1.OwnerReference `json:"ownerReferences,omitempty"`
}

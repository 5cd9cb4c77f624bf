package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion identifies the kinds of this package.
//
//nolint:gochecknoglobals // a value that never changes; Go has no struct constants
var GroupVersion = schema.GroupVersion{Group: "keda.sh", Version: "v1alpha1"}

// AddToScheme makes the kinds of this package known to s.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &TriggerAuthentication{}, &TriggerAuthenticationList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

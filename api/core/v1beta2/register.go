package v1beta2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of Function, Builder and Serving.
const Group = "core.openfunction.io"

// Version is the version this package implements.
const Version = "v1beta2"

// GroupVersion identifies the kinds of this package.
//
//nolint:gochecknoglobals // a value that never changes; Go has no struct constants
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// AddToScheme makes the kinds of this package known to s.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Function{}, &FunctionList{},
		&Builder{}, &BuilderList{},
		&Serving{}, &ServingList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// Package v1alpha1 is the networking API: the Gateway that functions are reached through, with its defaults and rules.
//
// +kubebuilder:object:generate=true
// +groupName=networking.openfunction.io
package v1alpha1

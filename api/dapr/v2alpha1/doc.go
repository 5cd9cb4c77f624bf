// Package v2alpha1 is Dapr's Subscription with routing rules, and its conversion from and to v1alpha1.
//
// +kubebuilder:object:generate=true
// +groupName=dapr.io
package v2alpha1

// Package v1alpha1 is the part of Dapr's API that functions use: Component, the older Subscription, and, accepted without
// effect, Configuration and Resiliency. The types take what Dapr's own definitions take; a cluster that has Dapr keeps those.
//
// +kubebuilder:object:generate=true
// +groupName=dapr.io
package v1alpha1

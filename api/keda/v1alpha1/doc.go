// Package v1alpha1 is the part of KEDA's API that triggers of functions refer to: TriggerAuthentication, as far as its parameters come from
// secrets and from the environment. The type takes what KEDA's own definition takes; a cluster that has KEDA keeps that.
//
// +kubebuilder:object:generate=true
// +groupName=keda.sh
package v1alpha1

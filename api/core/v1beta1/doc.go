// Package v1beta1 is the older version of the core API, served for the manifests and clients that use it and converted
// to and from v1beta2. What has the same shape in both versions is the same Go type, so only real differences are here.
//
// +kubebuilder:object:generate=true
// +groupName=core.openfunction.io
package v1beta1

// Package v1beta2 is the hub of the core API: Function, its build records (Builder) and its revisions (Serving), with
// their defaults and rules. Older versions convert to and from it.
//
// Specifications that belong to other projects are opaque objects; the accessors in this package read them strictly.
//
// +kubebuilder:object:generate=true
// +groupName=core.openfunction.io
package v1beta2

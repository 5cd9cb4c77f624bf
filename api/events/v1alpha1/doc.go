// Package v1alpha1 is the events API: EventSources take events from the outside, EventBuses keep them until they were
// handled, Triggers hand them to subscribers. It is OpenFunction's API with new optional fields; what it accepted is
// accepted, what it never honoured works.
//
// +kubebuilder:object:generate=true
// +groupName=events.openfunction.io
package v1alpha1

// Package oracle compares the decisions of internal/scale, in virtual time, with those of Knative's own autoscaler and of Kubernetes' own
// HorizontalPodAutoscaler. It is a module of its own so that nobody else pays for their dependencies.
package oracle

// Package oracle compares the decisions of internal/scale with those of Knative's own autoscaler, in virtual time. It is a module
// of its own so that nobody else pays for Knative's dependencies.
package oracle

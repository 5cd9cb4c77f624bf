// Package cluster runs the event half on a Kubernetes cluster: it is the event.Engine of `ofn operator`. A source and a trigger
// become a Deployment each, whose pods run what one machine runs (`ofn event-handler`, package embedded) by a Plan in a Secret. A
// bus that is the platform's own becomes a StatefulSet (`ofn event-bus`) with NATS JetStream in it; the others are reached where
// they are. Objects that are edited or deleted by hand are made as they were, and go with what they were made for.
//
//	source ── Deployment ── bus: StatefulSet, or somebody else's ── Deployment ── trigger
//	          reads Plan                                           reads Plan
//
// The pods say how events flow when they are asked; nothing is written to the cluster while nothing changes.
package cluster

// Package scale decides how many copies of a revision there should be. It is pure: samples, a policy and the time go in, a
// number comes out. Scaler goes by requests, with the rules of Knative's pod autoscaler (KPA) as they are when every request passes the
// activator, and two promises of its own: a burst starts no copy that nobody waits for, and a revision with work is never
// scaled to zero. Lag goes by what waits elsewhere, with the rules of KEDA and of the HorizontalPodAutoscaler, but for the step
// from none; JobPolicy with those of KEDA's jobs. The real KPA and the real HPA are the oracles of its tests, in the module oracle.
package scale

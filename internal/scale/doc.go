// Package scale decides how many copies of a revision there should be. It is pure: samples, a policy and the time go in, a
// number comes out. It follows the rules of Knative's pod autoscaler (KPA) as they are when every request passes the
// activator, and adds two promises of its own: a burst starts no copy that nobody waits for, and a revision with work is never
// scaled to zero. The real KPA is the oracle of its tests, in the module oracle.
package scale

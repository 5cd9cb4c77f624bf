// Package serve answers KEDA's ExternalScaler protocol for triggers of any type: each request carries a whole trigger, and the
// scaler that it makes is kept for the next request that says the same.
//
// A trigger is written into the scalerMetadata of a ScaledObjectRef, whose name and namespace are those of what is scaled:
//
//	type             the trigger type, "kafka"
//	index            its place among the triggers of that object, from 0; names the metric
//	name             the trigger's own name, may be missing
//	kind             "ScaledObject" (default) or "ScaledJob"
//	metricType       "AverageValue" (default) or "Value"
//	composite        "true" when a formula combines the triggers, so that the trigger needs no target of its own
//	keep             how long an unused scaler is kept, "5m" by default
//	metadata.KEY     KEY of the trigger's metadata
//	auth.KEY         KEY of its resolved authentication parameters
//	env.KEY          KEY of the environment that "…FromEnv" metadata refer to, resolved
//
// GetMetrics also tells whether the trigger is active, in the response header ofn-active ("true" or "false"), because KEDA's
// scalers find out both with one question to the source; IsActive answers the same for clients that do not know the header.
// Errors have the code InvalidArgument for a request that is not written so, Unimplemented for unknown types, and
// FailedPrecondition when the scaler cannot be made or its source not be asked.
package serve

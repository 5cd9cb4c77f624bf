package v1beta2

import "github.com/openfunction/ofn/api/opaque"

// ScaleOptions bound and steer the number of copies.
type ScaleOptions struct {
	// MinReplicas is the least number of copies; 0 lets the function scale to zero.
	// +optional
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// MaxReplicas is the greatest number of copies.
	// +optional
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	// ContainerConcurrency is how many requests one copy works on at the same time; 0 is without limit. The annotation
	// autoscaling.knative.dev/container-concurrency of the revision template says the same.
	// +optional
	ContainerConcurrency *int64 `json:"containerConcurrency,omitempty"`
	// Knative holds annotations of Knative Serving, copied to the revision template.
	// +optional
	Knative map[string]string `json:"knative,omitempty"`
	// Keda steers scaling on events.
	// +optional
	Keda *KedaScaleOptions `json:"keda,omitempty"`
}

// KedaScaleOptions steer KEDA. At most one of the three scalers is given.
type KedaScaleOptions struct {
	// HTTPScaledObject is for the engine keda of an http trigger.
	// +optional
	HTTPScaledObject *KedaHTTPScaledObject `json:"httpScaledObject,omitempty"`
	// ScaledObject is for long-running workloads.
	// +optional
	ScaledObject *KedaScaledObject `json:"scaledObject,omitempty"`
	// ScaledJob is for the workload type Job.
	// +optional
	ScaledJob *KedaScaledJob `json:"scaledJob,omitempty"`
	// Triggers are what KEDA watches.
	// +optional
	Triggers []KedaTrigger `json:"triggers,omitempty"`
}

// KedaTrigger is one source of a metric.
type KedaTrigger struct {
	// Type of the scaler, such as kafka.
	Type string `json:"type"`
	// Name of the trigger.
	// +optional
	Name string `json:"name,omitempty"`
	// UseCachedMetrics reads the metric at the polling interval only.
	// +optional
	UseCachedMetrics bool `json:"useCachedMetrics,omitempty"`
	// Metadata configures it.
	Metadata map[string]string `json:"metadata"`
	// AuthenticationRef says what it logs in with.
	// +optional
	AuthenticationRef *KedaAuthRef `json:"authenticationRef,omitempty"`
	// MetricType is AverageValue, Value or Utilization.
	// +optional
	MetricType string `json:"metricType,omitempty"`
}

// KedaAuthRef names a TriggerAuthentication of keda.sh, a Secret whose keys are the parameters, or, on a cluster, a
// ClusterTriggerAuthentication.
type KedaAuthRef struct {
	// Name of it.
	Name string `json:"name"`
	// Kind of it: TriggerAuthentication, Secret or ClusterTriggerAuthentication. By default it is the TriggerAuthentication of that name, or
	// the Secret when there is none.
	// +optional
	Kind string `json:"kind,omitempty"`
}

// KedaHTTPScaledObject steers KEDA's HTTP add-on.
type KedaHTTPScaledObject struct {
	// TargetPendingRequests is the number of waiting requests that one copy accounts for; 100 by default.
	// +optional
	TargetPendingRequests *int32 `json:"targetPendingRequests,omitempty"`
	// CooldownPeriod is how many seconds without requests scale to zero; 300 by default.
	// +optional
	CooldownPeriod *int32 `json:"cooldownPeriod,omitempty"`
}

// KedaScaledObject steers a long-running workload.
type KedaScaledObject struct {
	// PollingInterval in seconds.
	// +optional
	PollingInterval *int32 `json:"pollingInterval,omitempty"`
	// CooldownPeriod in seconds.
	// +optional
	CooldownPeriod *int32 `json:"cooldownPeriod,omitempty"`
	// InitialCooldownPeriod is how many seconds a new revision for which nothing was waiting yet keeps its copies; 0 by default.
	// +optional
	InitialCooldownPeriod *int32 `json:"initialCooldownPeriod,omitempty"`
	// IdleReplicaCount is how many copies there are while nothing waits. It is less than minReplicas, to which the first work
	// brings them; without it there are minReplicas.
	// +optional
	IdleReplicaCount *int32 `json:"idleReplicaCount,omitempty"`
	// Advanced is KEDA's section of that name. Read it with AdvancedConfig.
	// +optional
	Advanced *opaque.Object `json:"advanced,omitempty"`
	// Fallback applies when the metric cannot be read.
	// +optional
	Fallback *KedaFallback `json:"fallback,omitempty"`
}

// KedaFallback applies when the metric cannot be read.
type KedaFallback struct {
	// FailureThreshold is how many failures in a row make it apply.
	FailureThreshold int32 `json:"failureThreshold"`
	// Replicas then wanted.
	Replicas int32 `json:"replicas"`
	// Behavior is static (the default: replicas), currentReplicas (as many as there are), currentReplicasIfHigher or
	// currentReplicasIfLower (as many as there are when that is more, or less, than replicas; otherwise replicas), or
	// scalingModifiers (the formula sees nil for the trigger that failed).
	// +optional
	Behavior string `json:"behavior,omitempty"`
}

// KedaScaledJob steers jobs.
type KedaScaledJob struct {
	// RestartPolicy of the job's pods: Always, OnFailure (the default) or Never.
	// +optional
	RestartPolicy *string `json:"restartPolicy,omitempty"`
	// PollingInterval in seconds.
	// +optional
	PollingInterval *int32 `json:"pollingInterval,omitempty"`
	// SuccessfulJobsHistoryLimit is how many finished jobs are kept.
	// +optional
	SuccessfulJobsHistoryLimit *int32 `json:"successfulJobsHistoryLimit,omitempty"`
	// FailedJobsHistoryLimit is how many failed jobs are kept.
	// +optional
	FailedJobsHistoryLimit *int32 `json:"failedJobsHistoryLimit,omitempty"`
	// ScalingStrategy of the jobs.
	// +optional
	ScalingStrategy KedaScalingStrategy `json:"scalingStrategy,omitzero"`
}

// KedaScalingStrategy says how the number of jobs follows the queue.
type KedaScalingStrategy struct {
	// Strategy is default, custom, accurate or eager.
	// +optional
	Strategy string `json:"strategy,omitempty"`
	// CustomScalingQueueLengthDeduction is for the strategy custom.
	// +optional
	CustomScalingQueueLengthDeduction *int32 `json:"customScalingQueueLengthDeduction,omitempty"`
	// CustomScalingRunningJobPercentage is for the strategy custom, such as "50%".
	// +optional
	CustomScalingRunningJobPercentage string `json:"customScalingRunningJobPercentage,omitempty"`
	// PendingPodConditions say when a pod still counts as pending.
	// +optional
	PendingPodConditions []string `json:"pendingPodConditions,omitempty"`
	// MultipleScalersCalculation is max, min, avg or sum.
	// +optional
	MultipleScalersCalculation string `json:"multipleScalersCalculation,omitempty"`
}

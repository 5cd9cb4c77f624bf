package v1beta2

// Labels that the platform puts on what it makes. Scripts select on them.
const (
	// LabelFunction names the Function an object belongs to.
	LabelFunction = "openfunction.io/function"
	// LabelBuilder names the Builder an object belongs to.
	LabelBuilder = "openfunction.io/builder"
	// LabelServing names the Serving an object belongs to.
	LabelServing = "openfunction.io/serving"
	// LabelManaged is "true" on components, workloads and scalers that the platform owns.
	LabelManaged = "openfunction.io/managed"
	// LabelProxy names the Serving a Dapr proxy works for.
	LabelProxy = "openfunction.io/proxy"
	// LabelVersion carries spec.version.
	LabelVersion = "app.kubernetes.io/version"
)

// Annotations that steer the platform.
const (
	// AnnotationRebuild on a Function starts a new build whenever its value changes; a time stamp is a good value.
	AnnotationRebuild = "openfunction.io/rebuild"
	// AnnotationContract on a Function is the contract of another platform that its program keeps: server, watchdog, lambda, lambda-raw or cgi. It
	// is the variable EnvContract of the build where that says nothing.
	AnnotationContract = "openfunction.io/contract"
	// AnnotationShare on a Function is the name of a group: Functions of a namespace that agree in everything but the function of
	// the application that they call are served by the same copies.
	AnnotationShare = "openfunction.io/share"
	// AnnotationSharePath on a Function of a group is the path at which the application serves it, where its build does not tell.
	AnnotationSharePath = "openfunction.io/share-path"
	// AnnotationBuildEngine on a Builder or its Function is the engine that is to build it on a cluster, one of the BuildEngine constants.
	AnnotationBuildEngine = "openfunction.io/build-engine"
	// AnnotationImageUser on a Serving is "nonroot" when ofn built its image, which runs as a user by number that is not root.
	AnnotationImageUser = "openfunction.io/image-user"
	// AnnotationPodSecurity among serving.annotations, or on a Function, says how far pods on a cluster are restricted where serving.template says
	// nothing: auto, restricted or none.
	AnnotationPodSecurity = "openfunction.io/pod-security"
	// AnnotationNetworkPolicy on a Function says whether its pods on a cluster are behind a NetworkPolicy: isolated or open.
	AnnotationNetworkPolicy = "openfunction.io/network-policy"
	// AnnotationSourceRevision on a Builder is the commit or digest that its source named when it was made.
	AnnotationSourceRevision = "openfunction.io/source-revision"
	// AnnotationEnableDapr among serving.annotations is "false" to switch Dapr off; any other value switches it on.
	AnnotationEnableDapr = "openfunction.io/enable-dapr"
	// AnnotationDaprServiceMode among serving.annotations is one of the DaprServiceMode constants.
	AnnotationDaprServiceMode = "openfunction.io/dapr-service-mode"
	// AnnotationWasmVariant marks a WebAssembly image; see WasmVariant.
	AnnotationWasmVariant = "module.wasm.image/variant"
	// AnnotationConversionData keeps, on an object stored or read in an older version, what that version cannot say.
	AnnotationConversionData = "core.openfunction.io/conversion-data"
	// AnnotationHooks is how v1beta1 gave hooks (YAML).
	AnnotationHooks = "plugins"
	// AnnotationTracing is how v1beta1 gave tracing (YAML).
	AnnotationTracing = "plugins.tracing"
	// AnnotationRevisionController is "enable" where the separate revision controller followed the source; see SourceRepo.PollInterval.
	AnnotationRevisionController = "openfunction.io/revision-controller"
	// AnnotationRevisionControllerParams holds its parameters (YAML).
	AnnotationRevisionControllerParams = "openfunction.io/revision-controller-params"
)

// Annotations of KEDA on a Function. They pause what its triggers ask for, at once and without a new revision; requests still bring copies.
const (
	// AnnotationPaused is "true" to leave the number of copies as it is.
	AnnotationPaused = "autoscaling.keda.sh/paused"
	// AnnotationPausedReplicas is the number of copies to have meanwhile; it pauses by itself.
	AnnotationPausedReplicas = "autoscaling.keda.sh/paused-replicas"
)

// Values that the names above take.
const (
	// DaprServiceModeStandalone is one Dapr runtime for all instances of a function; the default.
	DaprServiceModeStandalone = "standalone"
	// DaprServiceModeSidecar is one Dapr runtime beside every instance.
	DaprServiceModeSidecar = "sidecar"
	// ImageUserNonroot is the value of AnnotationImageUser.
	ImageUserNonroot = "nonroot"
	// PodSecurityAuto restricts images of ofn's own as the profile "restricted" wants, and others as far as no image minds; the default.
	PodSecurityAuto = "auto"
	// PodSecurityRestricted restricts all images as the profile wants.
	PodSecurityRestricted = "restricted"
	// PodSecurityNone leaves the template as it is.
	PodSecurityNone = "none"
	// NetworkPolicyIsolated lets only the engines call the pods, and keeps these from the cluster's API and the cloud's metadata.
	NetworkPolicyIsolated = "isolated"
	// NetworkPolicyOpen makes no NetworkPolicy.
	NetworkPolicyOpen = "open"
	// WasmVariant is the value AnnotationWasmVariant gets by default.
	WasmVariant = "compat-smart"
	// WasmRuntimeClass is the runtimeClassName a WebAssembly function gets by default.
	WasmRuntimeClass = "openfunction-crun"
	// OwnWasmRuntimeClass is the runtimeClassName that asks for a WebAssembly module by itself.
	OwnWasmRuntimeClass = "wasm"
	// WasmBuildStrategy is the ClusterBuildStrategy a WebAssembly function gets by default.
	WasmBuildStrategy = "wasmedge"
)

// Defaults that admission or the controllers fill in.
const (
	// MaxFunctionName is the length of the longest name of a Function: that of its revisions, "<name>-00001", is the value
	// of a label, which has at most 63 characters.
	MaxFunctionName = 57
	// FunctionContainer is the name of the user's container in a pod template.
	FunctionContainer = "function"
	// DefaultVersion is spec.version when none is given.
	DefaultVersion = "latest"
	// DefaultPort is the port of a function that names none.
	DefaultPort int32 = 8080
	// DefaultGatewayName and DefaultGatewayNamespace identify the Gateway of a route that names none.
	DefaultGatewayName = "openfunction"
	// DefaultGatewayNamespace is its namespace.
	DefaultGatewayNamespace = "openfunction"
	// DefaultBuildStrategy is the ClusterBuildStrategy used when none is given.
	DefaultBuildStrategy = "openfunction"
	// DefaultSuccessfulBuildsHistoryLimit and DefaultFailedBuildsHistoryLimit say how many finished Builders are kept.
	// OpenFunction kept no successful one, which removed the build's log the moment it was of interest, and one failed
	// one; three of each answer "what changed between the last good build and this one" and cost only small objects.
	DefaultSuccessfulBuildsHistoryLimit int32 = 3
	// DefaultFailedBuildsHistoryLimit is the same for builds that failed, timed out or were cancelled.
	DefaultFailedBuildsHistoryLimit int32 = 3
	// DefaultRevisionHistoryLimit says how many revisions without traffic are kept for rollback.
	DefaultRevisionHistoryLimit int32 = 10
	// DefaultMinReplicas is assumed when scaleOptions.minReplicas is not given.
	DefaultMinReplicas int32 = 0
	// DefaultMaxReplicas is assumed by validation when scaleOptions.maxReplicas is not given.
	DefaultMaxReplicas int32 = 10
)

// State says how a build or a serving stands. Controllers write it beside the Ready and Succeeded conditions because
// clients of OpenFunction read it.
type State string

// The states.
const (
	StateNone           State = ""
	StateCreated        State = "Created"
	StateBuilding       State = "Building"
	StateStarting       State = "Starting"
	StateRunning        State = "Running"
	StateSucceeded      State = "Succeeded"
	StateFailed         State = "Failed"
	StateSkipped        State = "Skipped"
	StateTimeout        State = "Timeout"
	StateCanceled       State = "Canceled"
	StateUnknownRuntime State = "UnknownRuntime"
)

// Finished says that a build in this state will not change any more.
func (s State) Finished() bool {
	switch s {
	case StateSucceeded, StateFailed, StateTimeout, StateCanceled:
		return true
	default:
		return false
	}
}

// BuilderStateCancelled in a Builder's spec asks for its cancellation. (The status then says Canceled, with one l.)
const BuilderStateCancelled = "Cancelled"

// Phase says which part of the life of a Function an object is about.
type Phase string

// The phases.
const (
	PhaseBuild   Phase = "Build"
	PhaseServing Phase = "Serving"
)

// Condition types in status.conditions, for kubectl wait.
const (
	// ConditionReady: a Function answers at its addresses with its latest revision (or has been built, when it has no
	// serving); a Serving has proven that it starts.
	ConditionReady = "Ready"
	// ConditionBuilt on a Function: its image exists (built or given).
	ConditionBuilt = "Built"
	// ConditionServed on a Function: the latest revision is ready.
	ConditionServed = "Served"
	// ConditionEventsReady on a Function that events call, or that uses components: they are connected, and its events reach it.
	ConditionEventsReady = "EventsReady"
	// ConditionRouted on a Function: the gateway knows its hosts and paths.
	ConditionRouted = "Routed"
	// ConditionIsolated on a Function of a cluster that is to be behind a NetworkPolicy (AnnotationNetworkPolicy): it is, or why not.
	ConditionIsolated = "Isolated"
	// ConditionShared on a Function that asks to share its copies with others (AnnotationShare): it does, or why not.
	ConditionShared = "Shared"
	// ConditionSucceeded on a Builder: the build has ended well (True), badly (False) or not yet (Unknown).
	ConditionSucceeded = "Succeeded"
	// ConditionEngineChosen on a Builder of a cluster: its reason is the engine that builds it, its message why none that comes before.
	ConditionEngineChosen = "EngineChosen"
)

// The engines that build on a cluster, in the order in which they are asked for.
const (
	BuildEngineShipwright = "shipwright" // Shipwright Build, with one of its strategies
	BuildEngineTekton     = "tekton"     // ofn's own build, or a Dockerfile, in a TaskRun of Tekton
	BuildEngineJob        = "job"        // ofn's own build in a Job of Kubernetes
)

// The engines of an http trigger.
const (
	EngineKnative = "knative"
	EngineKeda    = "keda"
	EnginePods    = "pods" // Kubernetes alone, behind ofn's own gateway
)

// The runtimes of a workload. They are compared case-insensitively and unknown ones are accepted.
const (
	WorkloadRuntimeOCIContainer = "OCIContainer"
	WorkloadRuntimeWasmEdge     = "WasmEdge"
)

// The workload types of an asynchronous function.
const (
	WorkloadTypeDeployment  = "Deployment"
	WorkloadTypeStatefulSet = "StatefulSet"
	WorkloadTypeJob         = "Job"
)

// How a function's hooks combine with the platform's.
const (
	HookPolicyAppend   = "Append"
	HookPolicyOverride = "Override"
)

// What a trigger that cannot be asked counts for, in a fallback's behavior. The empty one is static.
const (
	FallbackStatic                  = "static"
	FallbackCurrentReplicas         = "currentReplicas"
	FallbackCurrentReplicasIfHigher = "currentReplicasIfHigher"
	FallbackCurrentReplicasIfLower  = "currentReplicasIfLower"
	FallbackScalingModifiers        = "scalingModifiers"
)

// Types of FunctionAddress.
const (
	AddressInternal = "Internal"
	AddressExternal = "External"
)

// Keys of the resourceRef maps of Builder and Serving.
const (
	RefBuildEngine        = "openfunction.io/build-engine" // one of the BuildEngine constants
	RefShipwrightBuild    = "shipwright.io/build"
	RefShipwrightBuildRun = "shipwright.io/buildRun"
	RefTektonTaskRun      = "tekton.dev/taskRun"
	RefBuildJob           = "batch/job"
	RefKnativeService     = "serving.knative.dev/service"
	RefKedaHTTPDeployment = "http.keda.sh/deployment"
	RefKedaHTTPScaled     = "http.keda.sh/httpscaledobject"
	RefAsyncWorkload      = "Async/workload"
	RefAsyncScaler        = "Async/scaler"
	RefDaprComponents     = "dapr.io/component" // comma-separated
	RefDaprProxy          = "dapr-proxy"
)

// EnvContract is the variable of a build that AnnotationContract sets.
const EnvContract = "FUNC_CONTRACT"

// EnvTracing is the variable of a build that names the provider by which the function is to be traced.
const EnvTracing = "FUNC_TRACING"

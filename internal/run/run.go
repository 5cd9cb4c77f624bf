// Package run says what it means to run a revision: the types that a controller hands to a runner and gets back. The
// runners are siblings (node, knative, kedahttp, dapr) that never import one another; runtest is the suite all must pass.
package run

import (
	"context"
	"time"
)

// Key names a revision: the namespace and name of its Serving.
type Key struct{ Namespace, Name string }

// String is "namespace/name".
func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Revision is one immutable revision, complete: nothing in it must be looked up in a cluster.
type Revision struct {
	Key
	Function string // name of the owning Function
	// Image is what runs, pinned by digest where known.
	Image string
	// PullSecret authenticates the pull; nil is anonymous.
	PullSecret *Credentials
	// Container is what the pod template says of the container named "function", merged with params and the platform's own environment.
	Container Container
	// RuntimeClass chooses the isolation ("" is the built-in sandbox).
	RuntimeClass string
	Port         int  // the container port, 8080 by default
	H2C          bool // the port is named "h2c": speak HTTP/2 cleartext to it
	// Annotations are those of the revision template: the autoscaling.knative.dev/* ones steer the scaler.
	Annotations map[string]string
	MinScale    int // 0 allows scale to zero
	MaxScale    int // 0 is unlimited
	// Reachable is whether any route names this revision; an unreachable one ignores MinScale and goes to zero.
	Reachable bool
	// Proven is whether it became ready in an earlier life of the platform; it then needs no copy to prove it again.
	Proven bool
	// Timeout bounds one request, from arrival to the last byte. 0 is the platform's default.
	Timeout time.Duration
	// StartTimeout bounds a start of a copy until it is ready, without the time that its startup probe gives it. 0 is the
	// platform's default.
	StartTimeout time.Duration
	// Grace is how long a stopping copy may finish its work. 0 is the platform's default.
	Grace time.Duration
	// Dapr is whether copies reach Dapr's runtime API, on 127.0.0.1:3500 (HTTP) and 127.0.0.1:50001 (gRPC).
	Dapr bool
	// Sidecar asks for a daprd beside every copy, to serve Dapr's API there instead of the platform; nil does not.
	Sidecar *Sidecar
	// Workload says how its copies live.
	Workload Workload
	// Lag scales it by triggers, beside the requests that wait for it; nil does not.
	Lag *Lag
	// Batch is for the workload Job with triggers; nil is the defaults.
	Batch *Batch
}

// The ports of Dapr's runtime API inside a copy.
const (
	DaprHTTPPort = 3500
	DaprGRPCPort = 50001
)

// Container overrides what the image says. Nil slices and zero values mean "as the image says".
type Container struct {
	Command      []string // replaces the image's entrypoint
	Args         []string // replaces the image's command
	Env          []EnvVar // in order; later entries win
	WorkingDir   string
	UID, GID     *int64
	ReadOnlyRoot bool
	Files        []File
	Memory       int64 // bytes; 0 is unlimited
	CPU          int64 // thousandths of a core; 0 is unlimited
	PIDs         int64
	Probe        *Probe // readiness, before the first request and all the time after it; nil is "accepts a TCP connection on Port", once
	Liveness     *Probe // a copy that fails it is ended and replaced; nil is none
	Startup      *Probe // must have succeeded before the other two begin; nil is none
}

// EnvVar is one resolved environment variable; $(OTHER) references to earlier ones are already expanded.
type EnvVar struct{ Name, Value string }

// File is a file mounted from a secret or configmap, already read.
type File struct {
	Path string
	Data []byte
	Mode uint32
}

// Probe is a question that is put to a copy again and again, as a pod's: by GRPC, a command, HTTP, or, with none of them, by
// whether it accepts a TCP connection.
type Probe struct {
	HTTPPath         string // GET this
	HTTPHeaders      map[string]string
	HTTPS            bool // any certificate will do
	GRPC             bool // the standard health service
	GRPCService      string
	Exec             []string      // a command inside the copy, which succeeds with code 0
	Port             int           // 0 is the port of the revision
	InitialDelay     time.Duration // after the start of the copy
	Period           time.Duration // 0 is 10 s; a copy that is not ready yet may be asked more often
	Timeout          time.Duration // 0 is 1 s
	FailureThreshold int           // in a row; 0 is 3
	SuccessThreshold int           // in a row; 0 is 1
	// Grace is how long a copy that failed its liveness or startup probe may take to end. 0 is the revision's.
	Grace time.Duration
}

// Credentials authenticate to a registry.
type Credentials struct{ Username, Password, Token string }

// Phase is where a revision is in its life.
type Phase string

// The phases of a revision.
const (
	Starting Phase = "Starting" // not proven yet
	Ready    Phase = "Ready"    // at least one copy became ready since the revision was made; it may be scaled to zero now
	Failed   Phase = "Failed"   // it never became ready, or its copies crash; Reason and Message say why
)

// Status is what a runner knows of a revision.
type Status struct {
	Phase       Phase
	Reason      string // CamelCase, e.g. ImagePullFailed, ContainerCrashed, NotListening, OutOfMemory, ArchitectureMismatch
	Message     string // for people: what was wrong, where, what to do; ends with the last lines of the log after a crash
	Desired     int
	Ready       int
	Starting    int
	Restarts    int
	ImageDigest string
	// Backlog is what waits at the triggers, in their own units; -1 is unknown, 0 without triggers.
	Backlog int64
	// Succeeded and Lost are how many copies of the workload Job completed, and how many were given up.
	Succeeded, Lost int
}

// Reasons of a Status whose cause is that StartTimeout elapsed before a copy was ready.
const (
	ReasonStartTimeout = "StartTimeout" // it was not even executed
	ReasonNotListening = "NotListening" // nothing listens on the port
	ReasonNotReady     = "NotReady"     // the readiness probe does not succeed
	ReasonNotStarted   = "StartupProbeFailed"
)

// Reasons of a Status of a revision that serves, for a while after it happened.
const (
	ReasonTriggerError     = "TriggerError"         // a trigger cannot be asked; it goes on being so until it can
	ReasonNotLive          = "LivenessProbeFailed"  // a copy was ended for it
	ReasonProcessKilled    = "ProcessOutOfMemory"   // the kernel killed a process of a copy, which goes on
	ReasonProcessForbidden = "ProcessLimitExceeded" // a copy could not start a process or thread, and goes on
)

// TimedOut says whether the revision failed because StartTimeout elapsed.
func (s Status) TimedOut() bool {
	if s.Phase != Failed {
		return false
	}
	switch s.Reason {
	case ReasonStartTimeout, ReasonNotListening, ReasonNotReady, ReasonNotStarted:
		return true
	default:
		return false
	}
}

// Runner runs revisions on one kind of engine. Every method is idempotent.
type Runner interface {
	// Apply makes it so, now and until the next Apply or Delete of the same key. It does not wait for readiness.
	Apply(ctx context.Context, r Revision) error
	// Delete drains and removes every copy of the revision; unknown keys are no error.
	Delete(ctx context.Context, k Key) error
	// Status reports; the boolean is false for a key never applied.
	Status(ctx context.Context, k Key) (Status, bool)
	// Watch calls changed, from any goroutine, whenever the status of a revision may have changed, until ctx ends.
	Watch(ctx context.Context, changed func(Key))
}

// Package instance says what one running copy of a function is and what a driver must do to make one. It is hop 3 of a
// request. The drivers live in drivers/, know nothing of their caller, and are tested by one suite, instancetest.
package instance

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// ErrUnenforceable is returned by Start when a limit is set that the driver cannot enforce on this machine. The error that
// wraps it names what is missing.
var ErrUnenforceable = errors.New("a limit cannot be enforced on this machine")

// ErrClosed is returned by Start after Close.
var ErrClosed = errors.New("the driver is closed")

// Spec is everything a driver needs to start one copy. It holds no Kubernetes object and no reference that must be looked up.
type Spec struct {
	// ID names the copy, unique on this machine, made of [a-z0-9-], at most 63 bytes.
	ID string
	// Layers are directories that make the root filesystem, lowest first. They are never written to.
	Layers []string
	// Process is what runs in it.
	Process Process
	// Listen says how the copy is reached.
	Listen Listen
	// Files are made inside the root filesystem before the process starts (secrets, configmaps).
	Files []File
	// Limits bound the copy. Zero fields are unlimited. A limit that cannot be enforced makes Start fail with ErrUnenforceable.
	Limits Limits
	// Log receives standard output and standard error, in the order they were written. Never nil.
	Log io.Writer
	// Namespace is whose copy it is. Drivers that put several copies into one process do so within a namespace only.
	Namespace string
	// Revision names, within Namespace, what it is a copy of. Drivers that make copies from a record of the revision look there.
	Revision string
	// RequestTimeout bounds one request; 0 is none. Only drivers that see requests look at it.
	RequestTimeout time.Duration
	// Services are what the platform offers to the copy, and to nobody else, on ports of the copy's own loopback. Drivers of
	// copies that can connect to nothing ignore them.
	Services []Service
}

// Service is a port of a copy's own loopback that the platform serves. Who connects is the copy: no other can reach it.
type Service struct {
	Port int
	// Accept is given the listener before the process is executed, and returns at once. The driver closes the listener when the
	// copy has ended, and when it could not be started.
	Accept func(net.Listener)
}

// Process is the command of a copy, already merged from image and template.
type Process struct {
	Args []string // Args[0] is looked up in PATH of Env inside the root when it has no slash
	Env  []string // "KEY=value"
	Dir  string   // "/" when empty
	UID  uint32   // inside the instance
	GID  uint32
	// ReadOnlyRoot mounts the root filesystem read-only; /tmp stays writable.
	ReadOnlyRoot bool
}

// Listen says where the process accepts connections.
type Listen struct {
	// Port is the TCP port on the copy's own loopback.
	Port int
	// Activation hands the process a listening unix socket as file descriptor 3 in the manner of systemd
	// (LISTEN_FDS=1, LISTEN_PID=its own pid), so that a request waits in the backlog instead of polling a port.
	Activation bool
}

// File is one file made inside the copy.
type File struct {
	Path string // absolute
	Data []byte
	Mode uint32 // permission bits; 0 is 0444
}

// Limits are enforced by the kernel.
type Limits struct {
	MemoryBytes int64
	CPUMillis   int64 // thousandths of a core
	PIDs        int64
}

// Driver makes copies.
type Driver interface {
	// Start returns when the process has been executed inside its sandbox, before it listens. When ctx ends before that, nothing is left.
	Start(ctx context.Context, s Spec) (Instance, error)
	// Clean ends and removes whatever an earlier process of the platform, killed, left behind under the same state directory.
	Clean(ctx context.Context) error
	// Close stops every copy at once and gives back what the driver holds.
	Close() error
}

// Instance is one running copy.
type Instance interface {
	ID() string
	// Dial connects to the process. It fails at once while nothing listens; see Ready.
	Dial(ctx context.Context) (net.Conn, error)
	// Done is closed when nothing of the copy runs any more and all its resources were given back.
	Done() <-chan struct{}
	// Exit tells how it ended; only after Done.
	Exit() Exit
	// Stop asks the process to end (SIGTERM) and kills everything inside after grace. It does not wait; see Done.
	Stop(grace time.Duration)
	// Usage reads what the copy uses now.
	Usage() (Usage, error)
}

// Exit is how a copy ended.
type Exit struct {
	Code        int    // exit code, -1 when killed by a signal
	Signal      string // "killed", "terminated"…; empty when it exited by itself
	OutOfMemory bool   // the kernel killed it for its memory limit, or it is a shell that says so of its program (code 137)
	Requested   bool   // Stop was called before
	At          time.Time
	Strain      Strain // of all its life
	// Cause is why it ended, or never ran, where that was not the process's doing and the driver knows. It may say in a word with
	// a method Reason() string.
	Cause error
}

// Strain counts how often a copy, with everything it started, met its limits. Not all of it is deadly: a program may go on
// when a process that it started was killed or could not be started.
type Strain struct {
	MemoryKills  int64 // processes that the kernel killed for the memory limit
	ForksRefused int64 // processes or threads that the limit of them forbade
}

// Strained is implemented by instances that can tell what of their limits they met so far.
type Strained interface{ Strain() Strain }

// Usage is what a copy uses.
type Usage struct {
	MemoryBytes int64
	CPU         time.Duration // since start
	PIDs        int64
}

// Listening is implemented by instances that can tell where their processes accept TCP connections, such as
// "127.0.0.1:3000".
type Listening interface{ Listening() ([]string, error) }

// PortDialer is implemented by instances whose other TCP ports than that of Listen can be reached, on their own loopback.
type PortDialer interface {
	// DialPort connects, and fails at once while nothing listens there.
	DialPort(ctx context.Context, port int) (net.Conn, error)
}

// Sharer is implemented by drivers that can start one copy in the network of another, as containers of a pod are: the two have
// one loopback, and nothing else in common.
type Sharer interface {
	// StartBeside is Start in the network of another of the driver's instances, which lives. The limits are those of the new one
	// alone. It offers no services, and ends by itself or by Stop, not with the other.
	StartBeside(ctx context.Context, s Spec, other Instance) (Instance, error)
}

// Executor is implemented by instances in which another command can be run.
type Executor interface {
	// Exec runs a command with the environment, directory, user, rights and limits of the instance's own process, and returns
	// when it has ended; when ctx ends before, it is killed and its error returned. A command that cannot be executed ends with
	// code 126 or 127, as in a shell, and why is in its output. Every other error is the platform's and says nothing about the
	// instance. Output, in which standard output and standard error meet, may be nil.
	Exec(ctx context.Context, args []string, output io.Writer) (Exit, error)
}

// Restricted is implemented by drivers whose instances cannot do all that those of others can.
type Restricted interface{ Restrictions() Restrictions }

// Restrictions are what the instances of a driver cannot do.
type Restrictions struct {
	NoExec  bool // they are no Executor
	OnePort bool // they are no PortDialer
}

// Timing is what a driver tells of a start, for the cold-start metric. Instances may implement Timed.
type Timing struct {
	Prepare time.Duration // cgroup, network, arguments: before the clone
	Sandbox time.Duration // clone until the user's program is executed
}

// Timed is implemented by instances that know the phases of their start.
type Timed interface{ Timing() Timing }

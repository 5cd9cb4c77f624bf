package sandbox

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/openfunction/ofn/internal/instance"
)

// Egress says what a copy reaches beyond its own loopback.
type Egress string

const (
	// EgressNone lets a copy reach nothing.
	EgressNone Egress = "none"
	// EgressNAT lets it reach other machines through the host's address, but neither the host nor other copies.
	EgressNAT Egress = "nat"
)

// Options configure a driver. Only StateDir is required.
type Options struct {
	// StateDir is a directory of the driver's own. Two drivers that run at the same time never share one.
	StateDir string
	// Log receives what the driver has to say to the operator.
	Log *slog.Logger
	// IDBase is the host's user and group number that appears as 0 inside, when the platform is root; IDCount numbers
	// follow. Defaults: 1000000000 and 65536. All copies share them.
	IDBase, IDCount uint32
	// AllowUnlimited starts copies although a limit of theirs cannot be enforced on this machine.
	AllowUnlimited bool
	// Egress defaults to EgressNone.
	Egress Egress
	// EgressSubnet is where copies have their addresses with EgressNAT, seen by nobody but the host. Default 100.127.0.0/16.
	EgressSubnet netip.Prefix
	// WritableBytes bounds what one copy writes to its root, /tmp and /dev/shm together. Default 256 MiB. It is
	// memory, and counted as the copy's.
	WritableBytes int64
	// Warm is how many empty surroundings (network and cgroup) are kept ready for the next starts. Default 8.
	Warm int
	// CgroupRoot is where the control groups are mounted. Default /sys/fs/cgroup.
	CgroupRoot string
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.IDBase == 0 {
		o.IDBase = 1_000_000_000
	}
	if o.IDCount == 0 {
		o.IDCount = 65536
	}
	if o.Egress == "" {
		o.Egress = EgressNone
	}
	if !o.EgressSubnet.IsValid() {
		o.EgressSubnet = netip.MustParsePrefix("100.127.0.0/16")
	}
	if o.WritableBytes == 0 {
		o.WritableBytes = 256 << 20
	}
	if o.Warm == 0 {
		o.Warm = 8
	}
	if o.CgroupRoot == "" {
		o.CgroupRoot = "/sys/fs/cgroup"
	}
	return o
}

// Command is one program that runs to its end in a sandbox, such as a build.
type Command struct {
	// ID names the run, like instance.Spec's.
	ID string
	// Layers make the root filesystem, lowest first; with none the root is empty but for Binds.
	Layers []string
	// Binds are host directories or files that appear inside.
	Binds []Bind
	// Links are symbolic links made in the root, path to target, such as "/lib": "usr/lib".
	Links map[string]string
	// Process is what runs. As root a user inside is not the host's: ReadWrite binds are mapped so that what the host's
	// user 0 owns belongs to user 0 inside.
	Process instance.Process
	Files   []instance.File
	Limits  instance.Limits
	// WritableBytes bounds root, /tmp and /dev/shm together; 0 is the driver's default.
	WritableBytes int64
	// FileBytes is the size of the largest file that may be written anywhere, binds included. 0 is unlimited.
	FileBytes int64
	// HostNetwork shares the host's network; otherwise there is none.
	HostNetwork bool
	// Timeout ends the run; 0 is none.
	Timeout time.Duration
	// Stdout and Stderr may be the same writer, and are then written by one goroutine in order. Nil discards.
	Stdout, Stderr io.Writer
}

// Bind is a part of the host that appears inside a Command.
type Bind struct {
	Host     string // absolute
	Path     string // absolute, inside
	ReadOnly bool

	file bool
}

// Runner runs commands to their end; *Driver is one.
type Runner interface {
	// Run returns how the command ended. OutOfMemory is also said of one that failed after the kernel had killed any process
	// of it for the memory limit. The error is about the sandbox, or ctx's or context.DeadlineExceeded when it
	// was ended early.
	Run(ctx context.Context, c Command) (instance.Exit, error)
}

// Problem is something that this machine lacks.
type Problem struct {
	What  string // what is missing, e.g. "the memory controller is not delegated"
	Means string // what does not work without it
	Do    string // what the operator can do
	// Limit is set when a kind of limit cannot be enforced: the platform then needs AllowUnlimited.
	Limit bool
	// Fatal is set when no copy can be started at all.
	Fatal bool
}

func (p Problem) String() string { return p.What + ": " + p.Means + "; " + p.Do }

// StartError says at which step a start failed.
type StartError struct {
	Doing string
	Err   syscall.Errno
}

func (e *StartError) Error() string { return e.Doing + ": " + e.Err.Error() + e.hint() }

// Unwrap gives the error number.
func (e *StartError) Unwrap() error { return e.Err }

// executing is whether everything went well but for the program itself.
func (e *StartError) executing() bool { return strings.HasPrefix(e.Doing, "executing") }

func (e *StartError) hint() string {
	if !e.executing() {
		return ""
	}
	switch e.Err {
	case syscall.ENOENT:
		return " (neither the program nor, perhaps, its interpreter or loader is in the image)"
	case syscall.ENOEXEC:
		return " (the program is for another architecture, or a script without #!)"
	case syscall.EACCES:
		return " (it is not executable by the user it runs as)"
	case syscall.E2BIG:
		return " (arguments and environment are too large)"
	}
	return ""
}

func checkID(id string) error {
	ok := len(id) > 0 && len(id) <= 63
	for _, c := range []byte(id) {
		ok = ok && (c == '-' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}
	if !ok {
		return fmt.Errorf("instance id %q: must be 1 to 63 characters of a-z, 0-9 and -", id)
	}
	return nil
}

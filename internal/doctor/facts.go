package doctor

import "time"

// Facts are what is known about a machine. What could not be found out is empty.
type Facts struct {
	OS, Arch, Kernel string
	Root             bool

	Problems          []Problem // what the sandbox misses
	Namespaces        []string  // kinds the kernel has: "user", "mnt", …
	MaxUserNamespaces int       // -1: unknown
	GroupVersion      int       // of the control groups; 0: none are mounted
	Overlay           Answer
	SeccompActions    []string

	Go, Git   Program
	Languages []Language
	Scalers   string // path of the built program that asks scaling triggers; empty when there is none
	GoNeeded  string // lowest version of Go that will do, "1.24"
	Proxies   []Remote
	Resolved  Lookup
	DataDir   Directory
	RunningAs int // process id of the `ofn up` on the data directory, 0 when none runs
	Ports     []Port
	API       API
	Clocks    []Clock
}

// Problem is something that the sandbox needs and the machine lacks.
type Problem struct {
	What, Means, Do string
	Fatal           bool // no function can run
	Limit           bool // a kind of limit cannot be enforced
}

// Answer is yes, no, or unknown.
type Answer int

// The answers.
const (
	Unknown Answer = iota
	Yes
	No
)

// Program is a tool of the machine.
type Program struct {
	Path    string // empty: it is not on PATH
	Version string // "1.26.8"
	Err     error  // why the version is not known
}

// Remote is a server that builds need.
type Remote struct {
	URL string
	Err error
}

// Lookup is the result of resolving a name.
type Lookup struct {
	Name     string
	Loopback bool // all its addresses are of this machine
	Err      error
}

// Directory is where data is kept.
type Directory struct {
	Path      string
	Err       error // why it cannot be written
	FreeBytes uint64
	FreeFiles uint64 // inodes
	FilesSet  bool   // false: the file system does not count them
}

// Port is an address the platform listens on.
type Port struct {
	For, Address, Flag string
	Err                error // why it cannot be listened on; nil: it is free
}

// API is the control plane that commands talk to.
type API struct {
	URL     string // empty: none is known
	Version string
	Err     error
}

// Clock is how far this machine's clock is ahead of another's.
type Clock struct {
	Of    string
	Ahead time.Duration
}

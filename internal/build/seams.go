package build

import (
	"context"
	"io"
)

// Fetcher brings a source onto the disk.
type Fetcher interface {
	// Fetch fills dir, which exists and is empty. What the user must change comes back as a *Failure.
	Fetch(ctx context.Context, s Source, dir string, log io.Writer) (Tree, error)
	HeadResolver
}

// Tree is a fetched source.
type Tree struct {
	// SubPath is where to build inside the fetched directory, slash-separated and clean; "." is its root.
	SubPath string
	Result  SourceResult
}

// BundleFetcher unpacks source bundles: images whose layers are a source tree.
type BundleFetcher interface {
	// FetchBundle unpacks the bundle into dir, at most maxBytes of it, and returns its digest, "sha256:…". An entry that
	// climbs out of dir and a bundle that is too large are *Failure.
	FetchBundle(ctx context.Context, s Source, dir string, maxBytes int64) (digest string, err error)
	// ResolveBundle returns the digest the reference names now, without its content.
	ResolveBundle(ctx context.Context, s Source) (digest string, err error)
}

// Images is where finished images go.
type Images interface {
	// Write assembles the image, stores it where out says, and returns its digest and compressed size. The same Image gives the same digest.
	// A registry that refuses the credentials is a *Failure.
	Write(ctx context.Context, out Output, img Image) (digest string, size int64, err error)
	// Reuse makes out.Image name an image that an earlier Write stored in the same repository. It is false when that is there no more.
	Reuse(ctx context.Context, out Output, digest string) (bool, error)
}

// Image is what to assemble. Its order is its identity: nothing is sorted.
type Image struct {
	Layers     []Layer // lowest first
	Shared     int     // so many of the lowest are of files that outlive this build, so that their finished form is worth keeping
	Entrypoint []string
	Env        []string // "KEY=value"
	Dir        string
	User       string // "uid:gid"
	Labels     map[string]string
	OS, Arch   string
	// Local is how the program runs where it was built, without an image; nil when it cannot. What stores images passes over it.
	Local *Local
}

// LocalRoot stands, in the text of a Local, for the directory where its layers lie.
const LocalRoot = "{root}"

// Local is a program on the machine that built it.
type Local struct {
	Args, Env []string // Args[0] is absolute, or begins with LocalRoot; Env is "KEY=value"
	Dir       string   // where it runs; empty is the developer's own directory
	Layers    []Layer  // its files, lowest first, at their places in an image; they may go when the build ends
	// Links are directories of this machine that outlive the build, such as installed dependencies, by where they would be in the image.
	Links    map[string]string
	ListenFD bool // takes its listening socket as file descriptor 3
}

// Runner runs one command of a build, isolated as well as it can.
type Runner interface {
	// Run returns when the command and everything it started have ended, which they do when ctx ends; then the error is the cause of
	// ctx. A command that fails or breaks a limit is no error: see Exit.
	Run(ctx context.Context, c Command) (Exit, error)
}

// Command is what to run. It sees the system's own programs and libraries, its paths, and nothing else that is worth seeing.
type Command struct {
	Args      []string // Args[0] is an absolute path
	Env       []string // the whole environment, "KEY=value"
	Dir       string   // inside one of the paths below
	ReadOnly  []string // absolute paths of the host, seen under the same name
	ReadWrite []string
	Network   bool // may reach the network, as for downloading modules
	Limits    RunLimits
	Stdout    io.Writer // nil drops it; may be the same as Stderr
	Stderr    io.Writer
}

// RunLimits bound a command with all its children. Zero is unlimited.
type RunLimits struct {
	MemoryBytes int64
	CPUMillis   int64 // thousandths of a core
	PIDs        int64
	FileBytes   int64 // of a single file
}

// Exit is how a command ended.
type Exit struct {
	Code     int      // -1 when killed by a signal
	Exceeded Resource // the limit that ended it, or ""
}

// Resource is something a command can use too much of.
type Resource string

// What can be exceeded.
const (
	Memory    Resource = "memory"
	Processes Resource = "processes"
	FileSize  Resource = "file size"
)

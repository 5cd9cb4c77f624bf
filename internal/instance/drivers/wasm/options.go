// Package wasm is the driver that runs WebAssembly modules. The copies of one namespace live together in a worker process, which another
// driver isolates and limits; the driver finds modules in images, has each compiled once and kept by its digest, and tells the
// workers what to run.
package wasm

import (
	"log/slog"
	"time"

	"github.com/openfunction/ofn/internal/instance"
)

// Options configure a driver. StateDir, Host and Program are required.
type Options struct {
	// StateDir is a directory of the driver's own: compiled modules and what workers run.
	StateDir string
	// Host starts worker processes. It stays the caller's to close, after the driver.
	Host instance.Driver
	// Program is an executable that calls worker.Serve with the listener of file descriptor 3 when it is given Args.
	Program string
	Args    []string
	// Log receives what the driver has to say to the operator.
	Log *slog.Logger
	// WorkerMemory bounds one worker with all copies in it, in bytes; default 1 GiB. A copy whose own limit is more than half of
	// it gets a worker to itself, as does one with a limit of processor time.
	WorkerMemory int64
	// CompileMemory bounds the compilation of one module, in bytes; default 2 GiB.
	CompileMemory int64
	// CacheBytes bounds the compiled modules that are kept; default 2 GiB. The longest unused go first.
	CacheBytes int64
	// ModuleBytes bounds the size of a module; default 256 MiB.
	ModuleBytes int64
	// OutputBytes bounds the body of one response; default 1 GiB.
	OutputBytes int64
	// LogBytes bounds what one copy logs in a second; default 1 MiB.
	LogBytes int64
	// Idle is how long a worker without copies stays; default 5 minutes.
	Idle time.Duration
	// UnlimitedWorkers starts workers without limits, where the host cannot enforce them.
	UnlimitedWorkers bool
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	orElse(&o.WorkerMemory, 1<<30)
	orElse(&o.CompileMemory, 2<<30)
	orElse(&o.CacheBytes, 2<<30)
	orElse(&o.ModuleBytes, 256<<20)
	orElse(&o.OutputBytes, 1<<30)
	orElse(&o.LogBytes, 1<<20)
	orElse(&o.Idle, 5*time.Minute)
	return o
}

func orElse[T int64 | time.Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

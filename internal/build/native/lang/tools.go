package lang

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

// Tools is what languages run their compilers and package managers with.
type Tools struct {
	// Cache is a directory of this language alone that outlives builds.
	Cache  string
	Runner build.Runner
	Limits Limits
	// Find returns the absolute path of a program of this machine such as "node" or "cargo"; empty when it has none. Languages but Go need it.
	Find func(name string) string
	// Root is the root of the machine whose interpreters and libraries go into images; empty is "/".
	Root string
	// OS and Arch are what programs are for, as Go names them.
	OS, Arch string
	// Env is added to the environment of build tools and wins, "KEY=value": HTTPS_PROXY, SSL_CERT_FILE and the like.
	Env []string
	// Local is for programs that run where they are built, as the developer, and never as an image. A language then says in Program.Local
	// how, if it must; leaves out layers of this machine's own files; and keeps installed dependencies for as long as what names them stays
	// the same, even where nothing fixes their versions, because somebody waits for each build.
	Local bool
}

// Limits bound one build. Zero fields are the defaults.
type Limits struct {
	MemoryBytes int64         // 2 GiB
	CPUMillis   int64         // not limited
	PIDs        int64         // 512
	DiskBytes   int64         // 2 GiB for source, temporary files and program
	Time        time.Duration // 10 minutes, when the request says nothing
}

// Complete fills in the defaults.
func (t Tools) Complete() Tools {
	t.Limits = t.Limits.Complete()
	if t.Root == "" {
		t.Root = "/"
	}
	return t
}

// Complete fills in the defaults.
func (l Limits) Complete() Limits {
	if l.MemoryBytes == 0 {
		l.MemoryBytes = 2 << 30
	}
	if l.PIDs == 0 {
		l.PIDs = 512
	}
	if l.DiskBytes == 0 {
		l.DiskBytes = 2 << 30
	}
	if l.Time == 0 {
		l.Time = 10 * time.Minute
	}
	return l
}

// Command is one run of a build tool. HOME and TMPDIR are set by Run, in the job's work directory, which it may always write. One that may
// use the network finds the logins for private dependencies in its home, where its package manager looks for them.
type Command struct {
	Args                []string // Args[0] is an absolute path
	Env                 []string
	Dir                 string
	ReadOnly, ReadWrite []string
	Network             bool
	Output              io.Writer // both streams
}

// Run runs a build tool under the limits of a build and returns its exit code. A limit that it broke is a *build.Failure.
func (t Tools) Run(ctx context.Context, j *Job, c Command) (int, error) {
	work, err := os.OpenRoot(j.Work)
	if err != nil {
		return 0, fmt.Errorf("preparing the build: %w", err)
	}
	defer work.Close()
	if err := errors.Join(work.MkdirAll("tmp", 0o750), work.MkdirAll("home", 0o750)); err != nil {
		return 0, fmt.Errorf("preparing the build: %w", err)
	}
	if c.Network {
		forget, err := writeHome(work, j.Request.Dependencies.Home())
		defer forget()
		if err != nil {
			return 0, err
		}
	}
	env := []string{"HOME=" + filepath.Join(j.Work, "home"), "TMPDIR=" + filepath.Join(j.Work, "tmp")}
	env = append(append(env, c.Env...), t.Env...)
	l := t.Limits
	exit, err := t.Runner.Run(ctx, build.Command{
		Args: c.Args, Env: env, Dir: c.Dir, ReadOnly: c.ReadOnly, ReadWrite: append([]string{j.Work}, c.ReadWrite...), Network: c.Network,
		Limits: build.RunLimits{MemoryBytes: l.MemoryBytes, CPUMillis: l.CPUMillis, PIDs: l.PIDs, FileBytes: l.DiskBytes},
		Stdout: c.Output, Stderr: c.Output,
	})
	if err != nil {
		return 0, fmt.Errorf("running %s: %w", filepath.Base(c.Args[0]), err)
	}
	if exit.Exceeded != "" {
		return 0, exceeded(exit.Exceeded, l)
	}
	return exit.Code, j.guard()
}

// writeHome lays files into the home directory; forget removes them again. What earlier commands left there leads nowhere else: work does not let out.
func writeHome(work *os.Root, files map[string][]byte) (forget func(), err error) {
	forget = func() {
		for name := range files {
			_ = work.Remove(path.Join("home", name)) // the work directory goes with the build in any case
		}
	}
	for name, data := range files {
		at := path.Join("home", name)
		if err := errors.Join(work.MkdirAll(path.Dir(at), 0o700), work.RemoveAll(at)); err != nil {
			return forget, fmt.Errorf("preparing the logins of the build: %w", err)
		}
		if err := work.WriteFile(at, data, 0o600); err != nil {
			return forget, fmt.Errorf("preparing the logins of the build: %w", err)
		}
	}
	return forget, nil
}

func exceeded(r build.Resource, l Limits) *build.Failure {
	switch r {
	case build.Memory:
		return Failure("OutOfMemory", "the build needed more than %d MiB of memory and was stopped: make the package smaller (large literals and generated code cost most)", l.MemoryBytes>>20)
	case build.Processes:
		return Failure("TooManyProcesses", "the build needed more than its limit of %d processes and threads at the same time: let its tools and install scripts start fewer at once (such as make -j 4)", l.PIDs)
	}
	return Failure("DiskFull", "the build wrote a file larger than %d MiB and was stopped: look for large embedded or generated data", l.DiskBytes>>20)
}

package native

import (
	"context"
	"fmt"
	"go/version"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build"
)

// goRun is one run of the go command.
type goRun struct {
	args []string
	env  []string
	dir  string
}

// run runs the go command with its words in the log, paths as the user knows them, and makes of a failed run a *build.Failure.
func (g *golang) run(ctx context.Context, j *job, p *plan, r goRun) error {
	for _, dir := range []string{"tmp", "home"} {
		if err := os.MkdirAll(filepath.Join(j.work, dir), 0o750); err != nil {
			return fmt.Errorf("preparing the build: %w", err)
		}
	}
	mod := g.modCache(j.env.goSettings, j.request.ID)
	if err := os.MkdirAll(mod, 0o750); err != nil {
		return fmt.Errorf("preparing the module cache: %w", err)
	}
	touch(mod)
	said := newDiagnostics(j, p)
	exit, err := g.opts.Runner.Run(ctx, build.Command{
		Args:      append([]string{filepath.Join(g.opts.GoRoot, "bin/go")}, r.args...),
		Env:       append(g.environment(j, mod), r.env...),
		Dir:       r.dir,
		ReadOnly:  []string{g.opts.GoRoot, filepath.Dir(g.full)},
		ReadWrite: []string{j.work, g.buildCache(), mod},
		Network:   true,
		Limits: build.RunLimits{
			MemoryBytes: g.opts.Limits.MemoryBytes, CPUMillis: g.opts.Limits.CPUMillis,
			PIDs: g.opts.Limits.PIDs, FileBytes: g.opts.Limits.DiskBytes,
		},
		Stdout: said,
		Stderr: said,
	})
	said.flush()
	switch {
	case err != nil:
		return fmt.Errorf("running go %s: %w", r.args[0], err)
	case exit.Exceeded != "":
		return exceeded(exit.Exceeded, g.opts.Limits)
	case exit.Code != 0:
		return said.failure(exit.Code)
	}
	return nil
}

func exceeded(r build.Resource, l Limits) *build.Failure {
	switch r {
	case build.Memory:
		return failure("OutOfMemory", "the build needed more than %d MiB of memory and was stopped: make the package smaller (large literals and generated code cost most)", l.MemoryBytes>>20)
	case build.Processes:
		return failure("TooManyProcesses", "the build started more than %d processes and was stopped", l.PIDs)
	}
	return failure("DiskFull", "the build wrote a file larger than %d MiB and was stopped: look for large embedded or generated data", l.DiskBytes>>20)
}

// environment is all that the go command sees of the world. Nothing in it comes from the user but what parseEnv let through.
func (g *golang) environment(j *job, modCache string) []string {
	env := []string{
		"PATH=" + filepath.Join(g.opts.GoRoot, "bin") + ":/usr/local/bin:/usr/bin:/bin", // git, for modules that no proxy has
		"HOME=" + filepath.Join(j.work, "home"), "TMPDIR=" + filepath.Join(j.work, "tmp"), "LC_ALL=C",
		"GOROOT=" + g.opts.GoRoot, "GOPATH=" + filepath.Join(j.work, "home/go"),
		"GOCACHE=" + g.buildCache(), "GOMODCACHE=" + modCache,
		"GOENV=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GO111MODULE=on", "CGO_ENABLED=0", "GOOS=" + g.opts.OS, "GOTELEMETRY=off",
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
	}
	if g.opts.Arch != "" {
		env = append(env, "GOARCH="+g.opts.Arch)
	}
	if g.opts.Limits.CPUMillis > 0 {
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", int(math.Ceil(float64(g.opts.Limits.CPUMillis)/1000))))
	}
	if g.opts.GoProxy != "" {
		env = append(env, "GOPROXY="+g.opts.GoProxy)
	}
	if g.opts.GoSumDB != "" {
		env = append(env, "GOSUMDB="+g.opts.GoSumDB)
	}
	env = append(env, g.opts.Env...)
	for k, v := range j.env.goSettings {
		env = append(env, k+"="+v)
	}
	return env
}

// checkRuntime compares FUNC_RUNTIME_VERSION, such as "1.17" or "1.17.3", with the toolchain. An older one is met by compatibility.
func (g *golang) checkRuntime(want string, log io.Writer) error {
	if want == "" {
		return nil
	}
	v := "go" + strings.TrimPrefix(want, "go")
	switch {
	case !version.IsValid(v):
		return invalidEnv("FUNC_RUNTIME_VERSION is %q: it must be a version of Go such as 1.26", want)
	case version.Compare(version.Lang(v), version.Lang(g.version)) > 0:
		return failure("RuntimeUnsupported", "FUNC_RUNTIME_VERSION asks for Go %s; this machine builds with %s: update its Go, or ask for less", want, g.version)
	case version.Lang(v) != version.Lang(g.version):
		fmt.Fprintf(log, "FUNC_RUNTIME_VERSION %s: building with %s, which keeps the language of the version in go.mod\n", want, g.version)
	}
	return nil
}

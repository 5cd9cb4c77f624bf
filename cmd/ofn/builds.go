package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/source"
	"github.com/openfunction/ofn/internal/image/assemble"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
)

// builds is everything that turns source into images.
type builds struct {
	strategies map[string]build.Strategy
	heads      build.HeadResolver
	logs       *build.Logs
	warm       func(context.Context) error
}

// newBuilds makes the native strategy. A language whose tools the machine lacks says so when something of it is to be built,
// because images that exist can be served all the same.
func newBuilds(s *settings, img images, runner build.Runner) (*builds, error) {
	logs, err := build.NewLogs(filepath.Join(s.dataDir, "build-logs"), 4<<20)
	if err != nil {
		return nil, err
	}
	fetcher := source.New(source.Options{Git: program("git"), SSH: program("ssh"), Bundles: img, AllowLocal: s.allowLocalGit, Env: proxyEnv()})
	native, err := newNative(s, img, runner, fetcher)
	if err != nil {
		return nil, err
	}
	strategy := build.WarmWhenIdle(logs.Record(build.Limit(native, s.builds)))
	return &builds{
		strategies: map[string]build.Strategy{"": strategy, "native": strategy, v1beta2.WasmBuildStrategy: strategy}, heads: fetcher, logs: logs,
		warm: func(ctx context.Context) error { return strategy.Warm(ctx, native) },
	}, nil
}

func newNative(s *settings, img images, runner build.Runner, fetcher build.Fetcher) (*native.Strategy, error) {
	certificates, err := assemble.HostCertificates()
	if err != nil {
		return nil, fmt.Errorf("reading this machine's certificate authorities: %w", err)
	}
	root, _ := s.findGoRoot() // Go alone is not built without it
	dir := filepath.Join(s.dataDir, "build")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("preparing the build directory: %w", err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // files of image layers are named without links: see build.Entry
		return nil, fmt.Errorf("preparing the build directory: %w", err)
	}
	tools := lang.Tools{Cache: filepath.Join(dir, "cache"), Runner: runner, OS: "linux", Arch: runtime.GOARCH, Limits: lang.Limits{}.Complete(), Find: program, Env: proxyEnv()}
	known, err := languages(tools, root)
	if err != nil {
		return nil, err
	}
	known, launcher, err := withServers(tools, root, filepath.Join(tools.Cache, "go", "build"), known)
	if err != nil {
		return nil, err
	}
	return native.New(native.Options{Dir: dir, Languages: known, Launcher: launcher, Sources: fetcher, Images: img, CACertificates: certificates, Zones: zones(root)})
}

func program(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

// proxyEnv are the variables of this process by which tools find their way out.
func proxyEnv() []string {
	var out []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v := os.Getenv(name); v != "" {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// sandboxed runs build commands in the sandbox driver.
type sandboxed struct{ driver sandbox.Runner }

// Run implements build.Runner.
func (r sandboxed) Run(ctx context.Context, c build.Command) (build.Exit, error) {
	cmd := sandbox.Command{
		ID:        "build-" + strings.ToLower(rand.Text()[:16]),
		Process:   instance.Process{Args: c.Args, Env: c.Env, Dir: c.Dir},
		Limits:    instance.Limits{MemoryBytes: c.Limits.MemoryBytes, CPUMillis: c.Limits.CPUMillis, PIDs: c.Limits.PIDs},
		FileBytes: c.Limits.FileBytes, HostNetwork: c.Network, Stdout: c.Stdout, Stderr: c.Stderr,
	}
	cmd.Binds, cmd.Links = system()
	for _, p := range c.ReadOnly {
		cmd.Binds = append(cmd.Binds, sandbox.Bind{Host: p, Path: p, ReadOnly: true})
	}
	for _, p := range c.ReadWrite {
		cmd.Binds = append(cmd.Binds, sandbox.Bind{Host: p, Path: p})
	}
	exit, err := r.driver.Run(ctx, cmd)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return build.Exit{}, cause
		}
		return build.Exit{}, fmt.Errorf("running a build command: %w", err)
	}
	return build.Exit{Code: exit.Code, Exceeded: exceeded(exit)}, nil
}

// system is what programs of the host need of the host to run: its programs, libraries, names and certificates.
func system() ([]sandbox.Bind, map[string]string) {
	binds := []sandbox.Bind{{Host: "/usr", Path: "/usr", ReadOnly: true}}
	links := map[string]string{}
	for _, d := range []string{"/bin", "/sbin", "/lib", "/lib64", "/lib32"} {
		info, err := os.Lstat(d)
		if errors.Is(err, os.ErrNotExist) || err != nil {
			continue
		}
		if info.Mode()&os.ModeSymlink == 0 {
			binds = append(binds, sandbox.Bind{Host: d, Path: d, ReadOnly: true})
			continue
		}
		if target, err := os.Readlink(d); err == nil {
			links[d] = target
		}
	}
	for _, p := range []string{"/etc/ssl", "/etc/ca-certificates", "/etc/pki", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/alternatives"} {
		if _, err := os.Stat(p); err == nil {
			binds = append(binds, sandbox.Bind{Host: p, Path: p, ReadOnly: true})
		}
	}
	return binds, links
}

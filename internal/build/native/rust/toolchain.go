package rust

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// oldest is the first version of Rust that compiles the framework.
const oldest = "1.85"

const wasmTriple = "wasm32-wasip1"

// toolchain is a Rust of this machine.
type toolchain struct {
	sysroot      string
	cargo, rustc string // real programs, not those of rustup that choose one
	version      *semver.Version
	full         string   // all that the compiler says of itself
	host         string   // "x86_64-unknown-linux-gnu"
	targets      []string // whose standard library is there
}

// toolchain finds the compiler. What rustup chose may change at any time, so it is asked before every build.
func (r *Rust) toolchain(ctx context.Context) (toolchain, error) {
	missing := lang.ToolMissing("Rust", "cargo and rustc",
		"the packages cargo and rustc of your system, in version "+oldest+" or later, or Rust from https://rustup.rs")
	rustc, cargo := r.opts.Find("rustc"), r.opts.Find("cargo")
	if rustc == "" || cargo == "" {
		return toolchain{}, missing
	}
	if r.opts.Find("cc") == "" {
		return toolchain{}, lang.ToolMissing("Rust", "cc, which links programs,", "gcc (the package build-essential of Debian)")
	}
	out, err := exec.CommandContext(ctx, rustc, "--print", "sysroot").Output()
	if err != nil {
		return toolchain{}, fmt.Errorf("asking %s where it is: %w", rustc, err)
	}
	t := toolchain{sysroot: strings.TrimSpace(string(out)), cargo: cargo, rustc: rustc}
	for name, at := range map[string]*string{"rustc": &t.rustc, "cargo": &t.cargo} {
		if real := filepath.Join(t.sysroot, "bin", name); executable(real) {
			*at = real
		}
	}
	return r.describe(ctx, t)
}

func executable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// describe fills in what the compiler says of itself, when it is not known yet.
func (r *Rust) describe(ctx context.Context, t toolchain) (toolchain, error) {
	info, err := os.Stat(t.rustc)
	if err != nil {
		return toolchain{}, fmt.Errorf("looking for rustc: %w", err)
	}
	key := fmt.Sprintf("%s %d %d", t.rustc, info.Size(), info.ModTime().UnixNano())
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.known[key]; ok {
		k.targets = installed(t.sysroot)
		return k, nil
	}
	out, err := exec.CommandContext(ctx, t.rustc, "-vV").Output()
	if err != nil {
		return toolchain{}, fmt.Errorf("asking %s for its version: %w", t.rustc, err)
	}
	t.full = strings.Join(strings.Fields(string(out)), " ")
	release := ""
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "host":
			t.host = value
		case "release":
			release = value
		}
	}
	if t.version, err = parseVersion(release); err != nil {
		return toolchain{}, fmt.Errorf("reading the version of %s: %w", t.rustc, err)
	}
	if t.version.LessThan(semver.MustParse(oldest)) {
		return toolchain{}, lang.Failure("ToolMissing", "building Rust needs Rust %s or later, and this machine has %s: update it, or install Rust from https://rustup.rs", oldest, t.version)
	}
	t.targets = installed(t.sysroot)
	r.known[key] = t
	return t, nil
}

func parseVersion(text string) (*semver.Version, error) {
	v, err := semver.NewVersion(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	plain, err := v.SetPrerelease("") // a nightly counts as its release
	return &plain, err
}

// installed are the targets whose standard library is there.
func installed(sysroot string) []string {
	libs, err := filepath.Glob(filepath.Join(sysroot, "lib/rustlib/*/lib"))
	if err != nil {
		return nil
	}
	var targets []string
	for _, l := range libs {
		targets = append(targets, filepath.Base(filepath.Dir(l)))
	}
	slices.Sort(targets)
	return targets
}

// triple is what to build for. A program that is linked with nothing of this machine is preferred where it can be made: code in C, which
// the crate cc compiles, needs a compiler for it that few machines have.
func (r *Rust) triple(j *job) (string, error) {
	if j.Request.Target == build.TargetWasm {
		if !slices.Contains(j.tools.targets, wasmTriple) {
			return "", lang.ToolMissing("Rust for WebAssembly", "the standard library of "+wasmTriple,
				"it with `rustup target add "+wasmTriple+"`, or the package libstd-rust-dev-wasm32 of Debian")
		}
		return wasmTriple, nil
	}
	if musl := strings.TrimSuffix(j.tools.host, "-gnu") + "-musl"; slices.Contains(j.tools.targets, musl) && !j.plan.compilesC() {
		return musl, nil
	}
	return j.tools.host, nil
}

package rust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// place finds the caches of a build.
func (r *Rust) place(ctx context.Context, j *job) error {
	j.home = filepath.Join(r.opts.Cache, "home")
	j.own = j.plan.config || !j.Request.Dependencies.Empty() || fromGit(j.plan.manifest) || strings.Contains(string(j.plan.lockText), "\"git+")
	if j.own {
		if err := r.ownHome(j); err != nil {
			return err
		}
	}
	j.target = filepath.Join(r.opts.Cache, "targets", short(namespace(j.Request), j.Request.Function, j.triple, j.tools.full))
	if _, err := os.Stat(j.target); err == nil {
		lang.Touch(j.target)
		return nil
	}
	if j.plan.serves() && !j.own {
		return r.plant(ctx, j)
	}
	return os.MkdirAll(j.target, 0o755)
}

// ownHome makes a home in the work directory whose downloads are kept for the namespace.
func (r *Rust) ownHome(j *job) error {
	downloads := filepath.Join(r.opts.Cache, "downloads", short(namespace(j.Request)))
	j.home = filepath.Join(j.Work, "home/.cargo")
	if err := os.MkdirAll(j.home, 0o750); err != nil {
		return fmt.Errorf("preparing the download cache: %w", err)
	}
	for _, dir := range []string{"registry", "git"} {
		if err := os.MkdirAll(filepath.Join(downloads, dir), 0o755); err != nil {
			return fmt.Errorf("preparing the download cache: %w", err)
		}
		if err := os.Symlink(filepath.Join(downloads, dir), filepath.Join(j.home, dir)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("preparing the download cache: %w", err)
		}
	}
	lang.Touch(downloads)
	return nil
}

func fromGit(m manifest) bool {
	git := func(crates map[string]any) bool {
		for _, v := range crates {
			if d, ok := v.(map[string]any); ok && d["git"] != nil {
				return true
			}
		}
		return false
	}
	for _, crates := range m.Patch {
		if git(crates) {
			return true
		}
	}
	return git(m.Dependencies)
}

// downloads are what a build may read of what was downloaded.
func (r *Rust) downloads(j *job) []string {
	if j.own {
		return []string{filepath.Join(r.opts.Cache, "downloads", short(namespace(j.Request)))}
	}
	return []string{j.home}
}

// fetch downloads what is not there yet. One at a time writes to a cache.
func (r *Rust) fetch(ctx context.Context, j *job) error {
	release, err := r.fetching.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	args := []string{"fetch", "--manifest-path", filepath.Join(j.crate, "Cargo.toml"), "--target", j.triple, "--target", j.tools.host} // macros run here
	return r.cargo(ctx, j, step{args: args, network: true, write: r.downloads(j), explain: explainFetch})
}

// compile runs the compiler, which runs build scripts and macros of the user and of dependencies.
func (r *Rust) compile(ctx context.Context, j *job) error {
	ctx, stop := build.LimitDisk(ctx, j.target, r.opts.Limits.DiskBytes, &build.Failure{Reason: "DiskFull",
		Message: fmt.Sprintf("the build wrote more than %d MiB and was stopped: look for large embedded or generated data", r.opts.Limits.DiskBytes>>20)})
	defer stop()
	args := []string{"build", "--release", "--offline", "--manifest-path", filepath.Join(j.crate, "Cargo.toml"), "--target", j.triple}
	switch {
	case len(j.plan.programs) > 0:
		args = append(args, "--bins")
	case j.plan.program != "" && j.plan.single == "":
		args = append(args, "--bin", j.plan.program)
	case j.triple != wasmTriple || j.plan.program != "":
		args = append(args, "--bin", program)
	}
	err := r.cargo(ctx, j, step{args: args, read: r.downloads(j), write: []string{j.target}, explain: explainCompile})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// prune removes what was compiled of the source itself. Each build has it in another directory, and cargo would keep it for each of them.
func prune(j *job, compiled *os.Root) error {
	var errs []error
	for _, name := range slices.Concat(j.local, j.plan.programs) {
		crate := strings.ReplaceAll(name, "-", "_")
		for _, pattern := range []string{".fingerprint/" + name + "-*", "build/" + name + "-*", "deps/" + crate + "-*", "deps/lib" + crate + "-*", "deps/" + program + "-*"} {
			for _, release := range []string{"release", j.triple + "/release"} {
				found, err := fs.Glob(compiled.FS(), release+"/"+pattern)
				errs = append(errs, err)
				for _, f := range found {
					errs = append(errs, compiled.RemoveAll(f))
				}
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clearing what was compiled: %w", err)
	}
	return nil
}

// step is one run of cargo.
type step struct {
	args        []string
	network     bool
	read, write []string
	explain     func(j *job, code int, said string) *build.Failure
}

func (r *Rust) cargo(ctx context.Context, j *job, s step) error {
	dir := j.crate
	if j.plan != nil && j.plan.config {
		dir = j.Tree.Abs(j.plan.dir) // where its settings are found
	}
	args := append([]string{j.tools.cargo}, s.args...)
	if j.plan != nil && j.plan.program != "" && j.plan.serves() && j.plan.single == "" {
		args = append(args, "--config", fmt.Sprintf("patch.crates-io.%s.path=%q", FrameworkName, r.fwDir))
	}
	tools := r.opts.Tools
	if j.gentle {
		tools.Limits.CPUMillis = half(tools.Limits.CPUMillis)
	}
	w := newWords(j)
	code, err := tools.Run(ctx, j.Job, lang.Command{
		Args: args, Env: r.environment(j, tools.Limits.CPUMillis), Dir: dir, ReadOnly: append(visible(j.tools), append(s.read, r.fwDir)...), ReadWrite: s.write,
		Network: s.network, Output: w,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return s.explain(j, code, w.Text())
	}
	return nil
}

// environment is all that cargo sees of the world.
func (r *Rust) environment(j *job, millis int64) []string {
	env := []string{
		"PATH=" + filepath.Dir(j.tools.cargo) + ":/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8",
		"CARGO_HOME=" + j.home, "CARGO_TARGET_DIR=" + j.target, "RUSTC=" + j.tools.rustc,
		"CARGO_TERM_COLOR=never", "CARGO_TERM_PROGRESS_WHEN=never", "CARGO_INCREMENTAL=0", "CARGO_NET_RETRY=3",
		"CARGO_CACHE_AUTO_CLEAN_FREQUENCY=never",
		"CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS=cargo:token", // without it registries that want a login are refused
	}
	for _, file := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"} {
		if _, err := os.Stat(file); err == nil {
			env = append(env, "CARGO_HTTP_CAINFO="+file) // what this machine trusts
			break
		}
	}
	if millis > 0 {
		env = append(env, fmt.Sprintf("CARGO_BUILD_JOBS=%d", int(math.Ceil(float64(millis)/1000))))
	}
	return env
}

// visible are directories outside of /usr that hold the compiler.
func visible(t toolchain) []string {
	if t.sysroot == "/usr" || strings.HasPrefix(t.sysroot, "/usr/") {
		return nil
	}
	return []string{t.sysroot}
}

// locked is what a lock file says.
type locked struct {
	Package []lockedPackage `toml:"package"`
}

type lockedPackage struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	Source  string `toml:"source"`
}

// maxLock is more than any lock file has.
const maxLock = 64 << 20

// checkLock tells when the user's lock file does not fix all that the user's manifest asks for. It also notes which crates are the
// source's own, before any code of the user could write to the lock file.
func (r *Rust) checkLock(_ context.Context, j *job) error {
	at := filepath.Join(j.crate, "Cargo.lock")
	if j.crate == j.Tree.Abs(j.plan.dir) && j.plan.lock != "" {
		at = j.Tree.Abs(j.plan.lock)
		j.Replaced[j.plan.lock] = j.plan.lockText
	}
	used, err := lang.ReadWithin(j.Work, at, maxLock)
	if errors.Is(err, fs.ErrNotExist) { // a member of a workspace whose lock file was made at its root
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the lock file: %w", err)
	}
	var users, now, frameworks locked
	if err := toml.Unmarshal(j.plan.lockText, &users); err != nil {
		return lang.Failure("LockInvalid", "%s cannot be read: %v", j.plan.lock, err)
	}
	if err := errors.Join(toml.Unmarshal(used, &now), toml.Unmarshal(r.opts.Framework["Cargo.lock"], &frameworks)); err != nil {
		return fmt.Errorf("reading the lock file: %w", err)
	}
	for _, p := range now.Package {
		if p.Source == "" && p.Name != FrameworkName && crateName.MatchString(p.Name) {
			j.local = append(j.local, p.Name)
		}
		known := j.plan.lock == "" || slices.Contains(users.Package, p) || p.Source == "" ||
			slices.ContainsFunc(frameworks.Package, func(f lockedPackage) bool { return f.Name == p.Name })
		if !known {
			return lang.Failure("LockMismatch", "%s does not have %s %s, which Cargo.toml asks for: run `cargo update --workspace` and commit it", j.plan.lock, p.Name, p.Version)
		}
	}
	return nil
}

var crateName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

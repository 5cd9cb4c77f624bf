package rust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// seed is the text of a program that uses all of the framework that a function does.
const seedMain = "fn main() { ofn_functions::serve([ofn_functions::function(\"f\", |_: ofn_functions::Request| ())]) }\n"

const seedWasm = "#[no_mangle]\npub extern \"C\" fn ofn_handle() -> i32 {\n    static KEPT: std::sync::OnceLock<ofn_functions::Kept> = std::sync::OnceLock::new();\n" +
	"    ofn_functions::handle(&KEPT, || vec![ofn_functions::function(\"f\", |_: ofn_functions::Request| ())])\n}\n"

// Warm compiles the framework before the first build.
func (r *Rust) Warm(ctx context.Context, work string) error {
	t, err := r.toolchain(ctx)
	if err != nil {
		return nil //nolint:nilerr // there is no Rust here, or none that is young enough: builds tell it
	}
	j := &job{Job: &lang.Job{Work: work, Log: io.Discard}, tools: t, plan: &plan{}, gentle: true}
	if j.triple, err = r.triple(j); err != nil {
		return err
	}
	j.plan = nil
	release, err := r.seeding.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	_, err = r.seed(ctx, j)
	return err
}

// half is half of the machine, or less where a build may use less.
func half(limit int64) int64 {
	millis := int64(goruntime.NumCPU()) * 500
	if limit > 0 {
		return min(limit, millis)
	}
	return millis
}

// plant begins what is compiled of a function with the compiled framework.
func (r *Rust) plant(ctx context.Context, j *job) error {
	release, err := r.seeding.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	seed, err := r.seed(ctx, &job{Job: j.Job, tools: j.tools, triple: j.triple})
	if err != nil {
		return err
	}
	made := j.target + ".new"
	if err := os.RemoveAll(made); err != nil {
		return fmt.Errorf("preparing what is compiled: %w", err)
	}
	if err := copyTree(filepath.Join(seed, "target"), made); err != nil {
		return fmt.Errorf("preparing what is compiled: %w", err)
	}
	if err := os.Rename(made, j.target); err != nil {
		return fmt.Errorf("preparing what is compiled: %w", err)
	}
	return nil
}

// seed returns the directory of the compiled framework, which it makes the first time. It needs the lock seeding.
func (r *Rust) seed(ctx context.Context, j *job) (string, error) {
	dir := filepath.Join(r.opts.Cache, "seeds", short(j.tools.full, j.triple, r.fwHash))
	if _, err := os.Stat(dir); err == nil {
		lang.Touch(dir)
		return dir, nil
	}
	fmt.Fprintln(j.Log, "compiling the framework, once for this machine")
	j.crate, j.home = filepath.Join(j.Work, "seed"), filepath.Join(r.opts.Cache, "home")
	j.target = filepath.Join(j.crate, "target")
	name, text, kind := "main.rs", seedMain, "[[bin]]\nname = \"function\"\npath = \"src/main.rs\"\n"
	if j.triple == wasmTriple {
		name, text, kind = "lib.rs", seedWasm, "[lib]\nname = \"function\"\ncrate-type = [\"cdylib\"]\n"
	}
	toml := fmt.Sprintf("[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[dependencies]\n%s = { path = %q }\n\n%s\n[profile.release]\nstrip = \"debuginfo\"\n\n[workspace]\n",
		FrameworkName, r.fwDir, kind)
	files := map[string][]byte{"Cargo.toml": []byte(toml), "Cargo.lock": r.opts.Framework["Cargo.lock"], "src/" + name: []byte(text)}
	if err := lang.WriteFiles(j.crate, files); err != nil {
		return "", fmt.Errorf("writing what compiles the framework: %w", err)
	}
	if err := r.fetch(ctx, j); err != nil {
		return "", err
	}
	args := []string{"build", "--release", "--offline", "--manifest-path", filepath.Join(j.crate, "Cargo.toml"), "--target", j.triple}
	if err := r.cargo(ctx, j, step{args: args, read: []string{j.home}, explain: explainCompile}); err != nil {
		return "", err
	}
	return dir, keepSeed(j.crate, dir)
}

// keepSeed moves the compiled framework to where builds read it. A directory that exists is whole, because it gets its name last.
func keepSeed(from, dir string) error {
	made := dir + ".new"
	if err := os.RemoveAll(made); err != nil {
		return fmt.Errorf("keeping the compiled framework: %w", err)
	}
	if err := copyTree(filepath.Join(from, "target"), filepath.Join(made, "target")); err != nil {
		return fmt.Errorf("keeping the compiled framework: %w", err)
	}
	if err := os.Rename(made, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keeping the compiled framework: %w", err)
	}
	return nil
}

// copyTree copies files with their times, by which cargo tells what is up to date.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(at, 0o755)
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		if err := copyFile(name, at, info.Mode().Perm()); err != nil {
			return err
		}
		return os.Chtimes(at, info.ModTime(), info.ModTime())
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeFile(in, to, mode)
}

// writeFile makes a new file: what lies there may be a link that code of the user has left.
func writeFile(in io.Reader, to string, mode fs.FileMode) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

package python

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// interpreter is a Python of this machine.
type interpreter struct {
	Program string  // the executable itself, not a script that finds it
	Prefix  string  // where it is installed
	Stdlib  string  // directory of the standard library
	Dynload string  // directory of its compiled modules
	Full    string  // "3.11.7"
	Version version `json:"-"`
	Tag     string  // of bytecode, "cpython-311"
	Pip     bool
}

// version is major and minor.
type version [2]int

func (v version) String() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

func (v version) less(w version) bool { return v[0] < w[0] || v[0] == w[0] && v[1] < w[1] }

func parseVersion(s string) (version, bool) {
	parts := strings.Split(s, ".")
	if len(parts) < 2 {
		parts = append(parts, "0")
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return version{}, false
	}
	minor, err := strconv.Atoi(parts[1])
	return version{major, minor}, err == nil
}

// question asks an interpreter for what it is.
const question = `import sys, sysconfig, json, os, importlib.util
print(json.dumps({"Program": os.path.realpath(sys.executable), "Prefix": sys.base_prefix, "Stdlib": os.path.dirname(os.__file__),
 "Dynload": sysconfig.get_config_var("DESTSHARED") or os.path.join(sysconfig.get_path("platstdlib"), "lib-dynload"),
 "Full": "%d.%d.%d" % sys.version_info[:3], "Tag": sys.implementation.cache_tag, "Pip": importlib.util.find_spec("pip") is not None}))`

// interpreter finds the interpreter for a wanted version such as "3.11", empty for any, and asks it what it is when that is not known yet.
func (p *Python) interpreter(ctx context.Context, wanted string) (interpreter, error) {
	program := ""
	if v, ok := parseVersion(strings.TrimPrefix(wanted, "python")); ok {
		program = p.opts.Find("python" + v.String())
	}
	if program == "" {
		program = p.opts.Find("python3")
	}
	if program == "" {
		return interpreter{}, lang.ToolMissing("Python", "python3", "the packages python3 and python3-pip of your system, in version "+oldest.String()+" or later")
	}
	info, err := os.Stat(program)
	if err != nil {
		return interpreter{}, fmt.Errorf("looking for python3: %w", err)
	}
	key := fmt.Sprintf("%s %d %d", program, info.Size(), info.ModTime().UnixNano())
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := p.known[key]; ok {
		return i, nil
	}
	i, err := ask(ctx, program)
	if err != nil {
		return interpreter{}, err
	}
	p.known[key] = i
	return i, nil
}

func ask(ctx context.Context, program string) (interpreter, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "-I", "-c", question).Output()
	if err != nil {
		return interpreter{}, fmt.Errorf("asking %s what it is: %w", program, err)
	}
	var i interpreter
	if err := json.Unmarshal(out, &i); err != nil {
		return interpreter{}, fmt.Errorf("reading what %s is: %w", program, err)
	}
	i.Version, _ = parseVersion(i.Full)
	if i.Version.less(oldest) {
		return interpreter{}, lang.Failure("ToolMissing", "building Python needs Python %s or later, and this machine has %s: update its package python3", oldest, i.Full)
	}
	return i, nil
}

// key names what is made of an interpreter.
func (i interpreter) key() string {
	sum := sha256.Sum256([]byte(i.Full + "\n" + i.Program + "\n" + i.Stdlib + "\n1"))
	return fmt.Sprintf("%s-%x", i.Tag, sum[:6])
}

// readOnly are the directories by which the interpreter runs in a sandbox that shows /usr anyway.
func (i interpreter) readOnly() []string {
	if i.Prefix == "/usr" || strings.HasPrefix(i.Prefix, "/usr/") {
		return nil
	}
	return []string{i.Prefix}
}

// dropped are parts of the standard library that no function needs: its tests, its tools with windows, and what installs pip.
var dropped = map[string]bool{
	"test": true, "tests": true, "idlelib": true, "tkinter": true, "turtledemo": true, "turtle.py": true, "ensurepip": true, "lib2to3": true,
	"site-packages": true, "dist-packages": true, "__pycache__": true, "EXTERNALLY-MANAGED": true, "LICENSE.txt": true,
}

// kept tells whether a path below the standard library goes into images.
func kept(p string) bool {
	base := path.Base(p)
	if dropped[base] || strings.HasPrefix(p, "config-") || strings.HasSuffix(p, ".exe") {
		return false
	}
	if strings.HasPrefix(p, "lib-dynload/") {
		return !strings.HasPrefix(base, "_test") && !strings.HasPrefix(base, "_tkinter") && !strings.HasPrefix(base, "xx") && !strings.HasPrefix(base, "_ctypes_test")
	}
	return true
}

// standardLibrary makes the copy of the standard library for images, with its bytecode.
func (p *Python) standardLibrary(ctx context.Context, j *job) error {
	var err error
	j.stdlib, err = p.made(ctx, j, "interpreters/"+j.python.key(), func(dir string) error {
		fmt.Fprintf(j.Log, "preparing the standard library of Python %s, once\n", j.python.Full)
		if err := copyTree(j.python.Stdlib, dir, kept); err != nil {
			return fmt.Errorf("copying the standard library of Python: %w", err)
		}
		if filepath.Dir(j.python.Dynload) != j.python.Stdlib {
			if err := copyTree(j.python.Dynload, filepath.Join(dir, "lib-dynload"), func(name string) bool { return kept("lib-dynload/" + name) }); err != nil {
				return fmt.Errorf("copying the modules of Python: %w", err)
			}
		}
		return p.bytecode(ctx, j, dir, imageStdlib(j.python))
	})
	return err
}

// bytecode compiles a directory that will be at a path of the image. What cannot be compiled is left out: it is found when it is imported.
func (p *Python) bytecode(ctx context.Context, j *job, dir, at string) error {
	args := []string{j.python.Program, "-I", "-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash", "-s", dir, "-p", at, "-x", `node_modules|/\.venv/|/\.git/`, dir}
	if _, err := p.opts.Run(ctx, j.Job, lang.Command{Args: args, Env: []string{"LC_ALL=C.UTF-8", "PYTHONHASHSEED=0"}, Dir: j.Work, ReadOnly: j.python.readOnly()}); err != nil {
		return fmt.Errorf("compiling to bytecode: %w", err)
	}
	return nil
}

// copyTree copies regular files, what links of files point to, and directories, as far as keep wants their slash-separated paths.
func copyTree(from, to string, keep func(string) bool) error {
	return filepath.WalkDir(from, func(name string, d os.DirEntry, err error) error {
		if err != nil || name == from {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if !keep(filepath.ToSlash(rel)) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		at := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(at, 0o755)
		}
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // a link to nothing, or to a directory: nobody imports it
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		return os.WriteFile(at, data, 0o644)
	})
}

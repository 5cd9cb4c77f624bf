// Package java builds functions and complete servers for Java: with Maven, Gradle, the compiler alone, or from jars that are given ready. It
// finds the functions among the classes, and lays a runtime made of the machine's own JDK, the framework, the dependencies and the classes into
// layers, with an archive of loaded classes for a quick start.
//
// What one build may do to another. Builds run code of the user: plugins of Maven and Gradle, annotation processors, and the constructor of the function
// when the archive is made. All of it runs inside the runner's sandbox and can write to the work directory of its own build and to the repository of
// its own namespace. What namespaces share (runtime, framework, and jars named by their content) is put there by this program.
package java

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// Names are what the framework is called, in build files and by its classes.
type Names struct {
	Group, Artifact         string
	Main, Inspect, Training string
	Launch                  string
}

// Options say what to build with. Tools, Framework, CloudEvents, Stubs and Names must be set.
type Options struct {
	lang.Tools
	// Framework, CloudEvents and Stubs are Java files by slash-separated path: what serves functions; interfaces for functions that bring none;
	// what the first is compiled against and does not need.
	Framework, CloudEvents, Stubs map[string][]byte
	Names                         Names
	FrameworkVersion              string
}

// Java builds Java.
type Java struct {
	opts   Options
	fwHash string

	mu    sync.Mutex
	known map[string]kit // by the path of the compiler
	// making keeps builds from making the same shared directory at the same time.
	making sync.Mutex
}

var _ lang.Language = (*Java)(nil)

// New prepares the caches and forgets what nobody used for long.
func New(o Options) (*Java, error) {
	o.Tools = o.Complete()
	l := &Java{opts: o, known: map[string]kit{}, fwHash: lang.HashFiles(o.Framework, o.CloudEvents, o.Stubs)}
	return l, o.PrepareCache("Java", "downloads", "runtimes", "frameworks", "packages")
}

func sorted[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Identity implements lang.Language.
func (l *Java) Identity(ctx context.Context) (string, error) {
	k, err := l.kit(ctx)
	if err != nil {
		return "", err
	}
	identity := k.full + " " + k.home + " " + l.fwHash + " 1"
	if program := l.nativeImage(k); program != "" {
		info, err := os.Stat(program)
		if err != nil {
			return "", fmt.Errorf("looking at native-image: %w", err)
		}
		identity += fmt.Sprintf(" native %s %d %d", program, info.Size(), info.ModTime().UnixNano())
	}
	return identity, nil
}

// Detect implements lang.Language: there is a build file or a jar where the build begins, or a Java file there or below, as packages are directories.
func (l *Java) Detect(t *lang.Tree, _ lang.Env) bool {
	return slices.ContainsFunc(t.Files, func(f lang.File) bool {
		rel, in := lang.Below(t.Sub, f.Path)
		if !in {
			return false
		}
		return strings.HasSuffix(rel, ".java") || !strings.Contains(rel, "/") && (slices.Contains(buildFiles, rel) || strings.HasSuffix(rel, ".jar"))
	})
}

// job is one build of a Java source.
type job struct {
	*lang.Job
	kit     kit
	dir     string // a copy of the source, where tools may write, at the directory where the build begins
	runtime string // directories of this machine that others share: the runtime of images, the framework
	frame   string
	deps    string // jars of the dependencies; empty without
	made    product
	found   found
	chosen  choice
	appJar  string
	// functions are those that are served, as far as they could be made here.
	functions []build.Function
	archive   string // of loaded classes; empty when none could be made
	native    string // the program that GraalVM made; empty without it
}

// product is what a build tool made.
type product struct {
	classes []string // directories of classes and resources, or the jar that was given
	jars    []string // of dependencies
	server  string   // the jar of the whole, for programs; empty without
}

// Compile implements lang.Language.
func (l *Java) Compile(ctx context.Context, common *lang.Job) (lang.Program, error) {
	k, err := l.kit(ctx)
	if err != nil {
		return lang.Program{}, err
	}
	if err := checkEnv(common, k); err != nil {
		return lang.Program{}, err
	}
	j := &job{Job: common, kit: k}
	fmt.Fprintf(j.Log, "building with Java %s\n", k.full)
	for _, step := range l.steps(j) {
		if err := step(ctx, j); err != nil {
			return lang.Program{}, err
		}
	}
	switch {
	case j.Env.Command != "":
		return l.commanded(j)
	case j.native != "":
		return l.nativeProgram(j)
	}
	return l.program(j)
}

// steps are those before the program is laid into layers. A command says what is started, so that nobody looks for functions.
func (l *Java) steps(j *job) []func(context.Context, *job) error {
	steps := []func(context.Context, *job) error{l.copySource, l.framework, l.build}
	if j.Env.Command == "" {
		steps = append(steps, l.inspect, l.pack, l.dependencies)
	}
	switch {
	case l.opts.Local:
	case j.Env.Command == "":
		steps = append(steps, l.compileNative, l.jre, l.train)
	default:
		steps = append(steps, l.jre)
	}
	return steps
}

// copySource makes the copy of the source that build tools work in, so that what they write does not come into the image with the source.
func (l *Java) copySource(_ context.Context, j *job) error {
	root := filepath.Join(j.Work, "project")
	for _, d := range j.Tree.Dirs {
		if err := os.MkdirAll(filepath.Join(root, filepath.FromSlash(d)), 0o755); err != nil {
			return fmt.Errorf("copying the source: %w", err)
		}
	}
	for _, f := range j.Tree.Files {
		to := filepath.Join(root, filepath.FromSlash(f.Path))
		if f.Mode&fs.ModeSymlink != 0 {
			if err := os.Symlink(f.Link, to); err != nil {
				return fmt.Errorf("copying the source: %w", err)
			}
			continue
		}
		data, err := os.ReadFile(j.Tree.Abs(f.Path))
		if err != nil {
			return fmt.Errorf("copying the source: %w", err)
		}
		if err := os.WriteFile(to, data, f.Mode.Perm()|0o200); err != nil {
			return fmt.Errorf("copying the source: %w", err)
		}
	}
	j.Guard(root)
	j.dir = filepath.Join(root, filepath.FromSlash(j.Tree.Sub))
	if at := j.Env.Source; at != "" && !strings.HasSuffix(at, ".java") {
		if info, err := os.Stat(filepath.Join(j.dir, filepath.FromSlash(at))); err != nil || !info.IsDir() {
			return lang.Failure("SourceNotFound", "FUNC_SRC is %q, which is no directory%s", at, lang.At(j.Tree.Sub))
		}
		j.dir = filepath.Join(j.dir, filepath.FromSlash(at))
	}
	j.Guard(j.dir)
	return nil
}

// shared returns a directory below the cache, which fill makes the first time, in the work directory of a job. A directory that exists
// is whole, because it gets its name last.
func (l *Java) shared(j *job, name string, fill func(dir string) error) (string, error) {
	l.making.Lock()
	defer l.making.Unlock()
	dir := filepath.Join(l.opts.Cache, filepath.FromSlash(name))
	if _, err := os.Stat(dir); err == nil {
		lang.Touch(dir)
		return dir, nil
	}
	tmp, err := j.Fresh()
	if err != nil {
		return "", err
	}
	tmp = filepath.Join(tmp, path.Base(name))
	if err := fill(tmp); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return "", fmt.Errorf("keeping %s: %w", name, err)
	}
	return dir, nil
}

// downloads is the cache of a namespace.
func (l *Java) downloads(j *job) (string, error) {
	namespace, _, _ := strings.Cut(j.Request.ID, "/")
	sum := sha256.Sum256([]byte(namespace))
	dir := filepath.Join(l.opts.Cache, "downloads", fmt.Sprintf("%x", sum[:8]))
	if err := os.MkdirAll(filepath.Join(dir, "m2"), 0o755); err != nil {
		return "", fmt.Errorf("preparing the download cache: %w", err)
	}
	lang.Touch(dir)
	return dir, nil
}

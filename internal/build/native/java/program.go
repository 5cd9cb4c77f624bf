package java

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/system"
)

// indexFile lists the functions of an application for the framework.
const indexFile = "META-INF/openfunction/functions"

// pack lays the classes into one jar.
func (l *Java) pack(_ context.Context, j *job) error {
	made, err := j.Fresh()
	if err != nil {
		return err
	}
	j.appJar = filepath.Join(made, appJar)
	if j.chosen.whole || len(j.made.classes) == 1 && strings.HasSuffix(j.made.classes[0], ".jar") {
		from := j.made.server
		if from == "" {
			from = j.made.classes[0]
		}
		if err := copyFile(j.Work, from, j.appJar); err != nil {
			return err
		}
		if j.chosen.whole {
			j.made.jars = given(j)
		}
		return nil
	}
	extra := map[string][]byte{}
	if len(j.chosen.index) > 0 {
		extra[indexFile] = []byte(strings.Join(j.chosen.index, "\n") + "\n")
	}
	return writeJar(j.Work, j.appJar, j.made.classes, extra)
}

// given are the jars that lay beside one that was given ready. A program's jar that was built brings what it needs, or names it in its manifest.
func given(j *job) []string {
	if len(j.made.classes) == 1 && j.made.classes[0] == j.made.server {
		return j.made.jars
	}
	if info, err := os.Stat(j.made.server); err == nil {
		all := int64(0)
		for _, jar := range j.made.jars {
			if i, err := os.Stat(jar); err == nil {
				all += i.Size()
			}
		}
		if info.Size() > all/2 { // it holds them
			return nil
		}
	}
	return j.made.jars
}

// copyFile copies a file below work to a new one.
func copyFile(work, from, to string) error {
	in, err := lang.OpenMade(work, from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(to), err)
	}
	return settle(to)
}

// dependencies keeps the jars of the dependencies in a directory that is named by their content, without the framework's own.
func (l *Java) dependencies(_ context.Context, j *job) error {
	h := sha256.New()
	var jars []string
	for _, jar := range j.made.jars {
		name := filepath.Base(jar)
		if strings.Contains(name, "functions-framework-api-") || strings.Contains(name, "functions-framework-invoker-") {
			continue
		}
		f, err := lang.OpenMade(j.Work, jar)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q\n", name)
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("reading the dependencies: %w", err)
		}
		jars = append(jars, jar)
	}
	j.made.jars = jars
	if len(jars) == 0 {
		return nil
	}
	var err error
	j.deps, err = l.shared(j, fmt.Sprintf("packages/%x", h.Sum(nil)[:16]), func(dir string) error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("keeping the dependencies: %w", err)
		}
		for _, jar := range jars {
			if err := copyFile(j.Work, jar, filepath.Join(dir, filepath.Base(jar))); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// opens is what the framework must see of the JDK to take the socket that it is started with.
var opens = []string{"--add-opens=java.base/java.io=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED"}

// flags are for short starts, little memory, and an end that tells why when memory is out.
var flags = []string{"-Xshare:auto", "-XX:+UseSerialGC", "-XX:MaxRAMPercentage=60", "-Xss512k", "-XX:+ExitOnOutOfMemoryError",
	"-Dfile.encoding=UTF-8", "-Dsun.stdout.encoding=UTF-8", "-Dsun.stderr.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-Dstderr.encoding=UTF-8"}

// command is how the program is started, with the class path below dirs for framework, function and dependencies.
func (l *Java) command(j *job, frame, app, deps string) []string {
	cp := []string{frame + "/" + frameworkJar, app + "/" + appJar}
	for _, jar := range j.made.jars {
		cp = append(cp, deps+"/"+filepath.Base(jar))
	}
	cp = append(cp, frame+"/"+eventsJar)
	args := slices.Concat(flags, opens)
	if j.chosen.main != "" { // its own classes first
		return append(args, "-cp", strings.Join(append(cp[1:], cp[0]), ":"), l.opts.Names.Launch, j.chosen.main)
	}
	return append(args, "-cp", strings.Join(cp, ":"), l.opts.Names.Main)
}

// patience is how long the function may take to be made in a training start.
const patience = 30 * time.Second

// train starts the function once and has the classes that it loaded written into an archive, from which later starts are quicker. Paths of classes
// must be the same as in the image, and so are relative to the working directory. An archive is not the same from build to build.
func (l *Java) train(ctx context.Context, j *job) error {
	if j.chosen.main != "" || j.native != "" {
		return nil
	}
	root, err := j.Fresh()
	if err != nil {
		return err
	}
	app := filepath.Join(root, imageDir)
	links := map[string]string{filepath.Join(app, frameworkJar): filepath.Join(j.frame, frameworkJar), filepath.Join(app, eventsJar): filepath.Join(j.frame, eventsJar), filepath.Join(app, appJar): j.appJar}
	if j.deps != "" {
		links[filepath.Join(root, imageLib)] = j.deps
	}
	err = errors.Join(os.MkdirAll(app, 0o755), os.MkdirAll(filepath.Join(root, lang.SourceDir), 0o755))
	for at, to := range links {
		err = errors.Join(err, os.Symlink(to, at))
	}
	if err != nil {
		return fmt.Errorf("preparing the training start: %w", err)
	}
	archive := filepath.Join(app, archiveFile)
	routes := filepath.Join(root, "routes.json")
	args := append([]string{filepath.Join(j.runtime, "bin/java"), "-XX:ArchiveClassesAtExit=" + archive}, l.command(j, "../"+imageDir, "../"+imageDir, "../"+imageLib)...)
	args[len(args)-1] = l.opts.Names.Training
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sees := []string{j.frame, j.runtime}
	if j.deps != "" {
		sees = append(sees, j.deps)
	}
	code, said, err := l.run(limited, j, step{args: append(args, routes), env: []string{"FUNCTION_TARGET=" + j.chosen.target}, dir: filepath.Join(root, lang.SourceDir), sees: sees, quiet: true})
	switch {
	case ctx.Err() != nil:
		return err
	case err != nil, code != 0, !exists(archive):
		fmt.Fprintf(j.Log, "starts will be slower: no archive of classes could be made: %s\n", lastLine(said))
		return nil
	}
	if i := strings.Index(said, "not trained with the function: "); i >= 0 {
		fmt.Fprintln(j.Log, strings.SplitN(said[i:], "\n", 2)[0])
	}
	j.archive = archive
	return j.readRoutes(routes)
}

// readRoutes takes down where each function is served, which only the functions themselves say. Those that could not be made here say nothing.
func (j *job) readRoutes(file string) error {
	data, err := lang.ReadMade(j.Work, file, maxFound)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var routes []struct {
		Name, Class, Path string
		Methods           []string
	}
	if err := json.Unmarshal(data, &routes); err != nil {
		return fmt.Errorf("reading where the functions are served: %w", err)
	}
	for _, r := range routes {
		f := build.Function{Name: r.Name, Path: r.Path, Methods: r.Methods}
		if len(routes) > 1 && f.Path == "" {
			f.Path = "/"
		}
		for _, known := range j.found.Functions {
			if known.Class == r.Class {
				f.Signature = known.Kinds[0]
			}
		}
		if len(routes) == 1 && len(j.chosen.kinds) > 0 {
			f.Signature = j.chosen.kinds[0]
		}
		j.functions = append(j.functions, f)
	}
	return nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndex(s, "\n")+1:]
}

// program lays everything into layers.
func (l *Java) program(j *job) (lang.Program, error) {
	out := lang.Program{
		Layers: []build.Layer{{{Path: lang.AppDir, Mode: fs.ModeDir | 0o755}, {Path: imageDir, Mode: fs.ModeDir | 0o755}, {Path: imageDir + "/" + appJar, Mode: 0o644, File: j.appJar}}},
		Env:    []string{"JAVA_HOME=/" + imageRuntime, "LANG=C.UTF-8"},
		Labels: map[string]string{"io.openfunction.framework": "java", "io.openfunction.framework.version": l.opts.FrameworkVersion},
	}
	l.describe(j, &out)
	if l.opts.Local {
		root := build.LocalRoot + "/" + imageDir
		out.Local = &lang.Local{Args: append([]string{j.kit.tool("java")}, l.command(j, j.frame, root, j.deps)...), Env: j.variables()}
		return out, nil
	}
	runtime, err := l.runtimeLayer(j)
	if err != nil {
		return out, err
	}
	out.Shared = []build.Layer{runtime, {
		{Path: lang.AppDir, Mode: fs.ModeDir | 0o755}, {Path: imageDir, Mode: fs.ModeDir | 0o755},
		{Path: imageDir + "/" + frameworkJar, Mode: 0o644, File: filepath.Join(j.frame, frameworkJar)},
		{Path: imageDir + "/" + eventsJar, Mode: 0o644, File: filepath.Join(j.frame, eventsJar)},
	}}
	if j.deps != "" {
		deps, err := lang.DirLayer(j.deps, imageLib, nil)
		if err != nil {
			return out, err
		}
		out.Shared = append(out.Shared, deps)
	}
	out.Entrypoint = []string{"/" + imageRuntime + "/bin/java"}
	if j.archive != "" {
		out.Layers[0] = append(out.Layers[0], build.Entry{Path: imageDir + "/" + archiveFile, Mode: 0o644, File: j.archive})
		out.Entrypoint = append(out.Entrypoint, "-XX:SharedArchiveFile=../"+imageDir+"/"+archiveFile)
	}
	out.Entrypoint = append(out.Entrypoint, l.command(j, "../"+imageDir, "../"+imageDir, "../"+imageLib)...)
	return out, nil
}

func (l *Java) describe(j *job, out *lang.Program) {
	out.Env = append(out.Env, j.variables()...)
	switch {
	case j.chosen.main != "":
		out.Labels = map[string]string{"io.openfunction.signature": "server"}
		return
	case j.chosen.target == "": // where each is served only its code says
		out.Labels["io.openfunction.signature"] = "several"
	default:
		out.Labels["io.openfunction.signature"] = j.chosen.kinds[0]
	}
	out.ListenFD, out.Functions = true, j.functions
}

// variables are what the framework must know of the function.
func (j *job) variables() []string {
	var env []string
	if j.chosen.target != "" {
		env = append(env, "FUNCTION_TARGET="+j.chosen.target)
	}
	if j.Env.Signature != "" && j.chosen.main == "" {
		env = append(env, "FUNCTION_SIGNATURE_TYPE="+strings.ToLower(j.Env.Signature))
	}
	return env
}

// runtimeLayer is the runtime with the libraries of the machine that it needs. What needs a screen or a sound card is left out.
func (l *Java) runtimeLayer(j *job) (build.Layer, error) {
	c := system.New(l.opts.Root)
	useless := []string{"lib/libawt_xawt.so", "lib/libsplashscreen.so", "lib/libjsound.so", "lib/libjawt.so", "legal"}
	err := c.Tree(j.runtime, imageRuntime, func(p string, _ fs.DirEntry) bool { return !slices.Contains(useless, path.Clean(p)) })
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1"} {
		if _, err := c.Library(name); err != nil {
			return nil, err
		}
	}
	return c.Layer(), nil
}

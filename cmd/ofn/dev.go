package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/execrun"
	"github.com/openfunction/ofn/internal/build/native"
	"github.com/openfunction/ofn/internal/build/native/golang"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/cli/manifest"
	"github.com/openfunction/ofn/internal/dev"
)

// development is what the flags of dev say.
type development struct {
	dir, name, function string
	port                int
	env, buildEnv       map[string]string
	wasm                bool // it is to be a WebAssembly module
}

func devCommand() *cobra.Command {
	var d development
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Serve a function while you write it: each save rebuilds and reloads it",
		Long: `Serve the function in a directory (the current one by default) while you write it. Each save builds it anew, and
requests go to the new version as soon as it is ready; until then, and when it does not compile, the version before keeps
serving. It needs the language's own tools and nothing else: no platform, no root, no Linux.

The language is found as the platform finds it. Dependencies are installed from the manifest or lock file of the source into a cache
of ofn's own, and again only when that file changes; your own node_modules or virtual environment is not used, so that what is
served here is what will be deployed.

The build environment and serving.params of DIR/function.yaml are honoured, flags win. The function is your own process with your
environment, not in the sandbox it has when it is deployed; it runs in DIR, from a copy of the source. What .ofnignore (or .gitignore)
names is not watched.`,
		Example: "  ofn dev ./hello\n  ofn dev --port 3000 --env GREETING=hi",
		Args:    cobra.MaximumNArgs(1),
		GroupID: "function",
		RunE: func(cmd *cobra.Command, args []string) error {
			d.dir = "."
			if len(args) == 1 {
				d.dir = args[0]
			}
			return d.run(cmd)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	f := cmd.Flags()
	f.IntVar(&d.port, "port", 8080, "port on this machine where the function is called; 0 takes a free one")
	f.StringVar(&d.function, "function", "", "name of the function in the source, FUNC_NAME (default: that of function.yaml, else the only one there is)")
	f.StringToStringVar(&d.env, "env", nil, "KEY=VALUE in the environment of the running function; repeatable")
	f.StringToStringVar(&d.buildEnv, "build-env", nil, "KEY=VALUE for the build; repeatable")
	return cmd
}

func (d *development) run(cmd *cobra.Command) error {
	shown := filepath.ToSlash(filepath.Clean(d.dir))
	if shown == "." {
		shown = ""
	}
	var err error
	if d.dir, err = sourceDir(d.dir); err != nil {
		return err
	}
	if err := d.readManifest(); err != nil {
		return err
	}
	state, release, err := d.state()
	if err != nil {
		return err
	}
	defer release()
	bin, err := os.MkdirTemp(state, "run-")
	if err != nil {
		return fmt.Errorf("making a directory for programs: %w", err)
	}
	defer os.RemoveAll(bin)
	programs := dev.NewPrograms(bin)
	strategy, err := d.strategy(cmd.Context(), filepath.Join(state, "build"), programs)
	if err != nil {
		return err
	}
	l, err := listen(cmd.Context(), net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)), "--port")
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "serving %s on http://%s/ (Ctrl-C ends it)\n", d.name, l.Addr())
	return dev.Run(cmd.Context(), dev.Options{Dir: d.dir, Shown: shown, Name: d.name, Strategy: strategy, Programs: programs, BuildEnv: d.buildEnv,
		Env: append(os.Environ(), pairs(d.env)...), Listener: l, Stdout: os.Stdout, Stderr: os.Stderr, Say: cmd.ErrOrStderr()})
}

// sourceDir makes a directory absolute and its links those that a watch sees through.
func sourceDir(dir string) (string, error) {
	at, err := filepath.Abs(dir)
	if err == nil {
		at, err = filepath.EvalSymlinks(at)
	}
	if err != nil {
		return "", fmt.Errorf("reading the source: %w", err)
	}
	info, err := os.Stat(at)
	if err != nil {
		return "", fmt.Errorf("reading the source: %w", err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory: name the one that holds the function", dir)
	}
	return at, nil
}

// readManifest takes what function.yaml says about the build and the environment; flags win.
func (d *development) readManifest() error {
	d.name = filepath.Base(d.dir)
	buildEnv, env := map[string]string{}, map[string]string{}
	name := filepath.Join(d.dir, "function.yaml")
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	documents, err := manifest.Parse(name, data)
	if err != nil {
		return err
	}
	for _, doc := range documents {
		o := doc.Object
		if o.GetKind() != "Function" {
			continue
		}
		d.name, d.wasm = o.GetName(), wantsWasm(o)
		for _, at := range []struct {
			into map[string]string
			path []string
		}{{buildEnv, []string{"spec", "build", "env"}}, {env, []string{"spec", "serving", "params"}}} {
			said, _, err := unstructured.NestedStringMap(o.Object, at.path...)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			maps.Copy(at.into, said)
		}
		break
	}
	maps.Copy(buildEnv, d.buildEnv)
	maps.Copy(env, d.env)
	if d.function != "" {
		buildEnv["FUNC_NAME"] = d.function
	}
	d.buildEnv, d.env = buildEnv, env
	return nil
}

// state is a directory of the user's cache for this source alone, held for this process.
func (d *development) state() (dir string, release func(), err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, fmt.Errorf("looking for your cache directory: %w", err)
	}
	sum := sha256.Sum256([]byte(d.dir))
	dir = filepath.Join(cache, "ofn", "dev", fmt.Sprintf("%x", sum[:8]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("making the build directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("locking the build directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return "", nil, fmt.Errorf("another `ofn dev` is running on %s: stop that one first", d.dir)
	}
	left, err := filepath.Glob(filepath.Join(dir, "run-*")) // by one that was killed
	for _, old := range left {
		err = errors.Join(err, os.RemoveAll(old))
	}
	if err != nil {
		lock.Close()
		return "", nil, fmt.Errorf("clearing the build directory: %w", err)
	}
	return dir, func() { lock.Close() }, nil
}

// strategy builds as the platform does, but with the developer's own caches and access to private modules.
func (d *development) strategy(ctx context.Context, dir string, programs *dev.Programs) (build.Strategy, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("looking for your cache directory: %w", err)
	}
	tools := lang.Tools{Cache: filepath.Join(cache, "ofn", "languages"), Runner: unlimited{}, OS: runtime.GOOS, Arch: runtime.GOARCH, Find: program, Env: developersEnv(), Local: true}
	g, err := developersGo(ctx, tools)
	if err != nil {
		return nil, err
	}
	known, err := withGo(tools, g)
	if err != nil {
		return nil, err
	}
	known, launcher, err := developersServers(ctx, tools, known)
	if err != nil {
		return nil, err
	}
	o := native.Options{Dir: dir, Languages: known, Launcher: launcher, OS: runtime.GOOS, Sources: dev.Source{Dir: d.dir}, Images: programs, Local: true}
	if !d.wasm {
		return native.New(o)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	o.Images = modulesHere{programs, self}
	s, err := native.New(o)
	return intoModules{s}, err
}

// developersEnv lets build tools find programs, logins and settings where the developer has them.
func developersEnv() []string {
	env := proxyEnv()
	for _, name := range []string{"PATH", "HOME", "USER", "SSH_AUTH_SOCK"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// developersGo compiles with the settings and caches of the developer. Without a go command it says so when Go is to be built.
func developersGo(ctx context.Context, tools lang.Tools) (*golang.Golang, error) {
	o := golang.Options{Tools: within(tools, "go"), Framework: goFramework()}
	o.Arch = "" // as the developer's go command has it
	compiler, err := exec.LookPath("go")
	if err != nil {
		return golang.New(o)
	}
	set, err := goSettings(ctx, compiler, "GOROOT", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE")
	if err != nil {
		return nil, err
	}
	o.GoRoot, o.GoProxy, o.GoSumDB, o.BuildCache, o.ModCache = set["GOROOT"], set["GOPROXY"], set["GOSUMDB"], set["GOCACHE"], set["GOMODCACHE"]
	o.Settings = map[string]string{"GOPRIVATE": set["GOPRIVATE"], "GONOPROXY": set["GONOPROXY"], "GONOSUMDB": set["GONOSUMDB"], "GOINSECURE": set["GOINSECURE"]}
	return golang.New(o)
}

// unlimited runs the compiler as the developer would.
type unlimited struct{ runner execrun.Runner }

// Run implements build.Runner.
func (u unlimited) Run(ctx context.Context, c build.Command) (build.Exit, error) {
	c.Limits = build.RunLimits{}
	return u.runner.Run(ctx, c)
}

// goSettings asks the go command for several settings at once, away from any module that could have a say.
func goSettings(ctx context.Context, compiler string, names ...string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, compiler, append([]string{"env", "-json"}, names...)...)
	cmd.Dir = "/"
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("asking %s for its settings: %w: %s", compiler, err, strings.TrimSpace(complaint.String()))
	}
	set := map[string]string{}
	if err := json.Unmarshal(out, &set); err != nil {
		return nil, fmt.Errorf("asking %s for its settings: %w", compiler, err)
	}
	return set, nil
}

// pairs are "KEY=value" in the order of the keys.
func pairs(m map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return out
}

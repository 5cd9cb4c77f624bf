// Package test runs scenarios, scripts of testdata, against the real binary: what a user does and what may go wrong.
//
// The scripts of testdata/shared use one `ofn up` together, each in a namespace of its own; those of testdata/alone start,
// kill and restart their own. The commands they have beyond those of testscript are in commands.
//
// The scripts of testdata/shared run on a Kubernetes cluster, too, with -cluster-gateway: test/cluster/scenarios prepares one. What only
// one machine has, a script leaves out there by the condition [cluster], with the reason.
package test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// warm spares whoever works on the scripts the first build of everything.
var warm = flag.String("warm", "", "data directory of an `ofn up` that has built before: its build cache is used, and it must not be running")

// given spares the same people the build of the binary.
var given = flag.String("ofn", "", "binary to test instead of that of this source")

// commands are what scripts have beyond testscript's own.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"up":          up,
	"down":        down,
	"kill9":       kill9,
	"http":        httpCommand,
	"eventually":  eventually,
	"load":        load,
	"push":        push,
	"pushmodule":  pushModule,
	"hang":        hang,
	"stream":      streamCommand,
	"kubeget":     kubeGet,
	"token":       token,
	"leftovers":   leftovers,
	"killworkers": killWorkers,
	"sparse":      sparse,
	"tinydisk":    tinyDisk,
	"fill":        fill,
	"unfill":      unfill,
	"rootless":    rootless,
	"redis":       redis,
	"collect":     collect,
	"trace":       traceCommand,
}

func TestScenarios(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ofn up needs Linux")
	}
	if testing.Short() {
		t.Skip("the scenarios build the binary and many functions")
	}
	w := newWorld(t)
	if *clusterGateway != "" {
		w.onCluster(t)
		return
	}
	t.Run("shared", func(t *testing.T) {
		var begin sync.Mutex // scripts are set up at the same time
		var shared *server
		t.Cleanup(func() {
			if shared != nil {
				w.retire(t, shared)
			}
		})
		w.run(t, func(env *testscript.Env) (*server, error) {
			begin.Lock()
			defer begin.Unlock()
			if shared == nil {
				s, err := w.newServer()
				if err != nil {
					return nil, err
				}
				if err := s.start(); err != nil {
					return nil, fmt.Errorf("starting the shared ofn: %w\n%s", err, s.said())
				}
				shared = s
			}
			return shared, prepareNamespace(env, shared)
		})
	})
	t.Run("alone", func(t *testing.T) {
		w.run(t, func(env *testscript.Env) (*server, error) {
			s, err := w.newServer()
			if err != nil {
				return nil, err
			}
			env.Defer(func() { s.remove() })
			env.Vars = append(env.Vars, "NAMESPACE=default", "DATA="+s.data, "KUBECONFIG="+s.kubeconfig())
			return s, nil
		})
	})
}

// world is what all scripts share.
type world struct {
	dir      string
	programs string    // on PATH
	cache    string    // build directory to begin with; may be empty
	registry string    // host of a registry that is none of ofn's
	examples string    // directory
	outcomes *outcomes // of scripts on a cluster; nil on one machine
}

// serverKey finds the server of a script.
type serverKey struct{}

func newWorld(t *testing.T) *world {
	// Short, because the paths of sockets are.
	dir, err := os.MkdirTemp("", "ofn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: dir, programs: filepath.Join(dir, "bin"), registry: *clusterRegistry, examples: examples}
	if w.registry == "" {
		w.registry = newRegistry(t)
	}
	if ofn := filepath.Join(w.programs, "ofn"); *given == "" {
		compile(t, ofn, "../cmd/ofn")
	} else if err := errors.Join(os.Mkdir(w.programs, 0o755), os.Symlink(*given, ofn)); err != nil {
		t.Fatal(err)
	}
	compile(t, filepath.Join(dir, "server"), "./testdata/server")
	if *warm != "" {
		w.cache = filepath.Join(*warm, "build")
	}
	return w
}

// compile builds a program as a user of the repository does, so that the two share the compiler's cache.
func compile(t *testing.T, out, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, said)
	}
}

// run runs the scripts of the directory named like the test.
func (w *world) run(t *testing.T, setup func(*testscript.Env) (*server, error)) {
	params := testscript.Params{
		Dir:  filepath.Join("testdata", filepath.Base(t.Name())),
		Cmds: commands,
		Setup: func(env *testscript.Env) error {
			s, err := setup(env)
			if err != nil {
				return err
			}
			env.Values[serverKey{}] = s
			env.Values[streamsKey{}] = streams{}
			env.Vars = append(env.Vars, "SERVER="+filepath.Join(w.dir, "server"), "REGISTRY="+w.registry,
				"PATH="+w.programs+string(filepath.ListSeparator)+os.Getenv("PATH"), "OFN_DATA_DIR="+s.data, "EXAMPLES="+w.examples,
				"SOURCES="+s.sources(env.WorkDir), "IMAGES="+s.images())
			return nil
		},
		Condition:           condition,
		RequireExplicitExec: true,
	}
	if w.outcomes == nil {
		testscript.Run(t, params)
		return
	}
	testscript.RunT(scriptT{t, w.outcomes}, params)
}

// condition says what the machine can do.
func condition(name string) (bool, error) {
	switch name {
	case "cluster":
		return *clusterGateway != "", nil
	case "root":
		return os.Geteuid() == 0, nil
	case "rootless":
		return canBeRootless(), nil
	case "daprd":
		return *daprd != "", nil
	case "git":
		_, err := exec.LookPath("git")
		return err == nil, nil
	case "npm": // its registry answers
		return exec.Command("npm", "ping").Run() == nil, nil
	case "cwasm": // clang with a linker and a C library for WebAssembly
		cmd := exec.Command("clang", "--target=wasm32-wasi", "-x", "c", "-o", os.DevNull, "-")
		cmd.Stdin = strings.NewReader("#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n")
		return cmd.Run() == nil, nil
	case "rustwasm": // Rust has the library of the target wasm32-wasip1
		sysroot, err := exec.Command("rustc", "--print", "sysroot").Output()
		if err == nil {
			_, err = os.Stat(filepath.Join(strings.TrimSpace(string(sysroot)), "lib/rustlib/wasm32-wasip1/lib"))
		}
		return err == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// retire stops a server and keeps what it has compiled for those to come.
func (w *world) retire(t *testing.T, s *server) {
	if err := s.stop(); err != nil {
		t.Errorf("stopping the shared ofn: %v\n%s", err, s.said())
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("the shared ofn has left behind:\n%s", strings.Join(left, "\n"))
	}
	if w.cache == "" {
		w.cache = filepath.Join(w.dir, "cache")
		if err := os.Rename(filepath.Join(s.data, "build"), w.cache); err != nil {
			t.Errorf("keeping the build cache: %v", err)
		}
	}
	s.remove()
}

// until asks again and again, for a while.
func until(limit time.Duration, ask func() bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		if ask() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-every.C:
		}
	}
}

package ofncluster_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

// node is where a registry without TLS can be pulled from.
const node = "10.123.0.1:5000"

// machine is an `ofn up` beside the cluster, in its network.
type machine struct {
	t             *testing.T
	data, gateway string
}

var greeting = regexp.MustCompile(`functions +http://\S+:(\d+)/`)

// up starts ofn and ends it with the test.
func up(t *testing.T) *machine {
	t.Helper()
	data, err := os.MkdirTemp("", "ofn") // short, because the paths of sockets are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	m := &machine{t: t, data: data}
	cmd := exec.Command(ofncluster.Program(), "up", "--data-dir", data, "--api-port", "0", "--gateway-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0",
		"--log-format", "text", "--warm-builds=false")
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	port, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(r); s.Scan(); {
			if found := greeting.FindStringSubmatch(s.Text()); found != nil {
				port <- found[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("ofn up ended: %v", err)
		}
		w.Close()
		<-read
	})
	select {
	case p := <-port:
		m.gateway = "127.0.0.1:" + p
	case <-time.After(2 * time.Minute):
		t.Fatal("ofn up did not start within two minutes")
	}
	return m
}

// ofn runs a command on the machine.
func (m *machine) ofn(args ...string) string {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), ofncluster.Program(), args...)
	cmd.Env = append(os.Environ(), "OFN_DATA_DIR="+m.data, "KUBECONFIG="+filepath.Join(m.data, "control", "kubeconfig"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("ofn %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestMove: a function that `ofn deploy` made on one machine is exported, applied as it is, and runs on each engine; and goes back.
func TestMove(t *testing.T) {
	ofncluster.New(t, "move") // skips without a cluster
	l := &http.Server{Addr: node, Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- l.ListenAndServe() }()
	t.Cleanup(func() {
		l.Close()
		<-served
	})
	m, dir := up(t), t.TempDir()
	app, moved := filepath.Join(dir, "app"), filepath.Join(dir, "moved")
	if err := os.Mkdir(app, 0o755); err != nil {
		t.Fatal(err)
	}
	ofncluster.Compile(t, "./testdata/greeter", filepath.Join(app, "run"))
	m.ofn("deploy", app, "--name", "hello", "--param", "MOOD=moved")
	here, err := ofncluster.Fetch(t.Context(), "http://"+m.gateway+"/World", "hello.default.localhost")
	if err != nil || here != "Hello, World! moved\n" {
		t.Fatalf("on the machine it says %q, %v", here, err)
	}
	t.Log(m.ofn("export", "--all", "--prebuilt", "--registry", node+"/team", "--plain-http", "--to", moved, "--strict"))

	all := append(slices.Clone(engines), engine{name: "keda", needs: "httpscaledobjects.http.keda.sh"}, engine{name: "dapr", needs: "components.dapr.io"})
	on(t, all, "moved", func(n *ofncluster.Namespace, engine string) {
		overlay := filepath.Join(dir, engine)
		write(n.T, filepath.Join(overlay, "kustomization.yaml"), fmt.Sprintf(`
namespace: %s
resources: [../moved]
patches:
- target: {kind: Function, name: hello}
  patch: |
%s
`, n.Name, wish(engine)))
		n.Kubectl("apply", "-k", overlay)
		began := time.Now()
		n.Ready("function/hello")
		ready := time.Since(began)
		says(n, "hello", "moved")
		n.T.Logf("with engine %s it is ready after %s and answers after %s", engine, ready.Round(100*time.Millisecond), time.Since(began).Round(100*time.Millisecond))
		if engine == "dapr" {
			n.Eventually("Dapr's timer calls it", func() error {
				got, err := n.TryGet("hello", "/ticks")
				if err == nil && (got == "" || got == "0") {
					err = fmt.Errorf("it was called %q times", got)
				}
				return err
			})
		}

		back := filepath.Join(dir, "back-"+engine)
		out := ofncluster.Ofn(n.T, "export", "hello", "-n", n.Name, "--target", "machine", "--images", "--plain-http", "--to", back)
		n.T.Log(out)
		m.t = n.T.(*testing.T)
		n.T.Log(m.ofn("import", back))
		m.ofn("apply", "-k", back, "--wait")
		there, err := ofncluster.Fetch(n.T.Context(), "http://"+m.gateway+"/World", "hello."+n.Name+".localhost")
		if err != nil || there != here {
			n.T.Errorf("back on the machine it says %q, %v", there, err)
		}
	})
	m.t = t
}

// wish asks for an engine: a function that Dapr calls as well has Dapr's sidecar, and no other engine.
func wish(engine string) string {
	if engine != "dapr" {
		return "    - {op: add, path: /spec/serving/triggers/http/engine, value: " + engine + "}"
	}
	return `    - {op: add, path: /spec/serving/annotations, value: {dapr.io/app-protocol: http}}
    - {op: add, path: /spec/serving/bindings, value: {tick: {type: bindings.cron, version: v1, metadata: [{name: schedule, value: "@every 1s"}]}}}
    - {op: add, path: /spec/serving/triggers/dapr, value: [{name: tick, type: bindings.cron}]}`
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

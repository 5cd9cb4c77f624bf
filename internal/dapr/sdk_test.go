package dapr_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/dapr"
	"github.com/openfunction/ofn/internal/event"
)

// sdk is one of Dapr's SDKs, as a function that uses all of it.
type sdk struct {
	name, protocol string
	build          func(t *testing.T) []string // the command
}

var sdks = []sdk{
	{"go", "grpc", func(t *testing.T) []string {
		out := filepath.Join(t.TempDir(), "function")
		tool(t, "go", "sdktest/go", "go", "mod", "download")
		if text, err := command(t, "sdktest/go", "go", "build", "-o", out, ".").CombinedOutput(); err != nil {
			t.Fatalf("building: %v: %s", err, text)
		}
		return []string{out}
	}},
	{"python", "", func(t *testing.T) []string {
		env := filepath.Join(t.TempDir(), "env")
		tool(t, "python3", ".", "python3", "-m", "venv", env)
		tool(t, "python3", "sdktest/python", filepath.Join(env, "bin/pip"), "install", "-q", "-r", "requirements.txt")
		return []string{filepath.Join(env, "bin/python"), "sdktest/python/function.py"}
	}},
	{"javascript", "http", func(t *testing.T) []string {
		dir := t.TempDir()
		for _, f := range []string{"package.json", "function.js"} {
			text, err := os.ReadFile(filepath.Join("sdktest/javascript", f))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, f), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		tool(t, "npm", dir, "npm", "install", "--no-audit", "--no-fund", "--silent")
		return []string{"node", filepath.Join(dir, "function.js")}
	}},
}

func command(t *testing.T, dir string, argv ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	return cmd
}

// tool runs what fetches an SDK; where it is missing, or nothing can be fetched, the test is skipped.
func tool(t *testing.T, needs, dir string, argv ...string) {
	t.Helper()
	if _, err := exec.LookPath(needs); err != nil {
		t.Skipf("%s is not installed", needs)
	}
	if text, err := command(t, dir, argv...).CombinedOutput(); err != nil {
		t.Skipf("the SDK cannot be fetched: %s: %v: %s", strings.Join(argv, " "), err, text)
	}
}

// Dapr's own SDKs must find everything as they expect it of a daprd.
func TestSDKs(t *testing.T) {
	if testing.Short() {
		t.Skip("fetches SDKs")
	}
	for _, s := range sdks {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			argv := s.build(t)
			p := newPlatform(t, func(o *dapr.Options) {
				o.Secrets = vault{"ns": {"db": {"password": "p"}}}
				o.Invoker = roundTrip(echo)
			})
			for _, c := range []event.Component{
				component("bus", "pubsub.in-memory"), component("store", "state.in-memory"),
				component("files", "bindings.localstorage", "rootPath", "/out"),
			} {
				p.component(c)
			}
			api := p.serve(name("fn"))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := l.Addr().String()
			_ = l.Close()
			p.start("fn-v1", address)
			p.app(event.App{
				Name: name("fn"), Protocol: s.protocol, Components: []event.Component{component("tick", "bindings.cron", "schedule", "@every 1s")},
				Inputs: []event.Input{{Name: "in", Component: "tick", Type: "bindings.cron"}},
				Retry:  event.Policy{Attempts: 100, Initial: 10 * time.Millisecond, Max: 100 * time.Millisecond},
			})
			_, port, _ := net.SplitHostPort(address)
			u, err := url.Parse(api.url)
			if err != nil {
				t.Fatal(err)
			}
			cmd := command(t, ".", append(argv, api.conn.Target(), api.url, port)...)
			// The JavaScript and Python SDKs ask daprd's health at the HTTP address that these name.
			cmd.Env = append(os.Environ(), "DAPR_HTTP_PORT="+u.Port(), "DAPR_HTTP_ENDPOINT="+api.url, "DAPR_RUNTIME_HOST=127.0.0.1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v:\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// echo answers with what was asked of it.
func echo(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	text := fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, body)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
}

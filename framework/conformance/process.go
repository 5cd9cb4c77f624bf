package conformance

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patient bounds every wait of the suite; a wait that lasts so long is a failure.
const patient = 30 * time.Second

// process is a running fixture.
type process struct {
	cmd      *exec.Cmd
	function string // its name in the log
	network  string
	address  string
	client   *http.Client
	stdout   *output
	stderr   *output
	done     chan struct{} // closed when it has ended and its output was read
}

// ready starts a fixture and returns when it takes requests. env is added to its environment; the process ends with the test.
func (s *suite) ready(t *testing.T, fixture string, env ...string) *process {
	t.Helper()
	p := s.launch(t, fixture, env...)
	p.await(t, "/_ofn/ready")
	return p
}

// launch starts a fixture that may never be ready. It gets a port instead of a socket when env speaks of LISTEN_FDS or LISTEN_PID.
func (s *suite) launch(t *testing.T, fixture string, env ...string) *process {
	t.Helper()
	c := s.Command(t, fixture)
	if c.Lacks != "" {
		t.Skip(c.Lacks)
	}
	p := &process{function: c.Function, stdout: newOutput(), stderr: newOutput(), done: make(chan struct{})}
	if p.function == "" {
		p.function = fixture
	}
	var listen []string
	args := c.Args
	onPort := slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "LISTEN_") })
	if s.Features.ListenFD && !onPort {
		args = append([]string{"/bin/sh", "-c", `LISTEN_PID=$$; export LISTEN_PID; exec "$@"`, "sh"}, args...)
		listen = []string{"LISTEN_FDS=1"}
	}
	p.cmd = exec.Command(args[0], args[1:]...)
	if listen != nil {
		p.cmd.ExtraFiles = []*os.File{p.socket(t)}
	} else {
		listen = []string{"PORT=" + p.port(t)}
	}
	p.cmd.Dir = c.Dir
	p.cmd.Env = slices.Concat(environment(), listen, c.Env, env)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = time.Second // output held open by what the fixture started
	p.run(t)
	return p
}

// run starts the command, which ends with the test.
func (p *process) run(t *testing.T) {
	t.Helper()
	err := p.cmd.Start()
	for _, f := range p.cmd.ExtraFiles {
		_ = f.Close() // the child has its own
	}
	if err != nil {
		t.Fatalf("starting %v: %v", p.cmd.Args, err)
	}
	p.client = p.newClient(nil)
	go func() { // ends with the process; the cleanup waits for it
		_ = p.cmd.Wait() // how it ended is in ProcessState
		p.stdout.end()
		p.stderr.end()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // gone already is as good
		<-p.done
		if t.Failed() {
			t.Logf("standard output:\n%s\nstandard error:\n%s", p.stdout, p.stderr)
		}
	})
}

// environment is that of the test without what the contract gives a meaning to.
func environment() []string {
	own := []string{"LISTEN_", "PORT=", "FUNC_", "FUNCTION_", "K_", "OFN_", "DAPR_", "POD_", "CONTEXT_MODE=", "TEST_MODE="}
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return slices.ContainsFunc(own, func(prefix string) bool { return strings.HasPrefix(kv, prefix) })
	})
}

// socket makes the unix socket that the process inherits.
func (p *process) socket(t *testing.T) *os.File {
	t.Helper()
	dir, err := os.MkdirTemp("", "ofn") // the path of a socket is short, that of t.TempDir may be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p.network, p.address = "unix", filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: p.address})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return f
}

// port chooses a TCP port that was free a moment ago.
func (p *process) port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p.network, p.address = "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return strconv.Itoa(port)
}

// await returns when path is answered with 200.
func (p *process) await(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://f"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := p.client.Do(r)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-p.done:
			t.Fatalf("the process ended before it was ready: %s\nstandard output:\n%s\nstandard error:\n%s", p.cmd.ProcessState, p.stdout, p.stderr)
		case <-ctx.Done():
			t.Fatalf("the process is not ready; the last answer to %s was %v, %v", path, res, err)
		case <-tick.C:
		}
	}
}

func (p *process) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, p.network, p.address)
}

// newClient makes a client that follows no redirects and asks for no compression. Without protocols it speaks HTTP/1.
func (p *process) newClient(protocols *http.Protocols) *http.Client {
	return &http.Client{
		Timeout:       patient,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Protocols:             protocols,
			DisableCompression:    true,
			ExpectContinueTimeout: patient,
			DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) },
		},
	}
}

// signal sends a signal to the process that was started, not to its children.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code, -1 for a signal.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patient):
		t.Fatal("the process does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// Package servers starts the real servers that tests talk to: brokers, databases, a mail server and an object store. Each runs
// on loopback, on a free port, with its data in a directory of its own, and ends with the test that asked for it, or with the
// test binary however that ends. A server that is not installed skips the test, with the name of the package that has it.
//
// A server that is shared by the tests of a package is started by a Pool:
//
//	var pool servers.Pool
//
//	func TestMain(m *testing.M) { os.Exit(pool.Run(m)) }
//
//	func TestX(t *testing.T) { kafka := pool.Get(t, servers.Kafka) ... }
package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// T is the part of *testing.T and *testing.B that is needed.
type T interface {
	Helper()
	Cleanup(func())
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// startTimeout is how long a server may take to answer: machines that run tests are slow.
const startTimeout = 2 * time.Minute

// Option changes how a server is started.
type Option func(*options)

type options struct {
	password string
	settings []string
}

// Password makes the server refuse who does not give it. Servers that know users call theirs User. The databases and RabbitMQ
// always ask for Server.Password; this says which one it is.
func Password(p string) Option { return func(o *options) { o.password = p } }

// Setting adds a line to the server's configuration, in the server's own language.
func Setting(line string) Option { return func(o *options) { o.settings = append(o.settings, line) } }

// User is who may log in to a server that was started with a Password.
const User = "ofn"

// Server is one that runs.
type Server struct {
	Addr     string // host:port
	URL      string // with the scheme and the credentials that clients of this server take
	User     string // empty when it asks for none
	Password string
	// Admin is a second address, where the server has one: NATS's monitoring, Kafka's none.
	Admin string
	// Dir is where its data is, for tests that look at what is on disk.
	Dir string

	t    T
	spec spec
	run  *process
}

// spec is how a kind of server is started and found to answer.
type spec struct {
	name   string
	argv   []string
	env    []string // nil is the test's own
	dir    string
	nobody bool // runs as an ordinary user when the test is root
	ready  func(context.Context) error
	before func(context.Context) error // nil: nothing to do before a start
	after  func()                      // nil: nothing to do after an end
}

func build(opts []Option) options {
	var o options
	for _, f := range opts {
		f(&o)
	}
	return o
}

// launch starts what s says, waits until it answers, and ends it with the test.
func launch(t T, srv *Server, s spec) *Server {
	t.Helper()
	srv.t, srv.spec, srv.Dir = t, s, s.dir
	t.Cleanup(func() { srv.end() })
	srv.Restart()
	return srv
}

// Restart starts the server again, on the same address and data, and waits until it answers. One that runs is killed first.
func (s *Server) Restart() {
	s.t.Helper()
	s.end()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.start(ctx); err != nil {
		s.t.Fatalf("starting %s: %v\n%s", s.spec.name, err, s.tail())
	}
}

func (s *Server) start(ctx context.Context) error {
	if s.spec.before != nil {
		if err := s.spec.before(ctx); err != nil {
			return err
		}
	}
	run, err := startProcess(s.spec)
	if err != nil {
		return err
	}
	s.run = run
	return poll(ctx, run.ended, s.spec.ready)
}

// Kill ends the server at once, as a power cut would: nothing is flushed, no client is told.
func (s *Server) Kill() {
	s.t.Helper()
	if s.run == nil {
		s.t.Fatalf("killing %s: it does not run", s.spec.name)
		return
	}
	s.end()
}

// Pause stops the server from doing anything, connections stay open, until Resume.
func (s *Server) Pause() { s.signal(stopSignal) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(contSignal) }

// PID is the process of the server; 0 when it does not run.
func (s *Server) PID() int {
	if s.run == nil {
		return 0
	}
	return s.run.pid
}

func (s *Server) end() {
	if s.run != nil {
		s.run.kill()
		s.run = nil
	}
	if s.spec.after != nil {
		s.spec.after()
	}
}

func (s *Server) tail() string {
	if s.run == nil {
		return ""
	}
	return s.run.output.String()
}

// poll asks ready until it is content, the process has ended or ctx has.
func poll(ctx context.Context, ended <-chan struct{}, ready func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := ready(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// dial is the readiness of servers that listen only when they can serve.
func dial(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// FreePort is a port of loopback that nobody listens on.
func FreePort(t T) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("looking for a free port: %v", err)
		return 0
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// folder is a directory that an ordinary user can own, removed with the test.
func folder(t T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "servers-"+name+"-")
	if err != nil {
		t.Fatalf("making a directory for %s: %v", name, err)
		return ""
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func write(t T, dir, name string, lines ...string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	var b []byte
	for _, l := range lines {
		b = append(append(b, l...), '\n')
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatalf("writing %s: %v", name, err)
	}
	return path
}

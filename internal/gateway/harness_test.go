package gateway

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// copyOf is a target behind a unix socket.
type copyOf struct{ id, path string }

func (c copyOf) ID() string { return c.id }

func (c copyOf) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", c.path)
}

// listenUnix makes a socket that lives as long as the test.
func listenUnix(t testing.TB) (net.Listener, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, path
}

// serveCopy serves h as a copy named id.
func serveCopy(t testing.TB, id string, h http.Handler) copyOf {
	t.Helper()
	l, path := listenUnix(t)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: h, Protocols: protocols}
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(l) })
	t.Cleanup(func() { s.Close(); wg.Wait() })
	return copyOf{id, path}
}

// rawCopy answers every request head with what script writes; script gets the connection after the head was read.
func rawCopy(t testing.TB, id string, script func(head string, r *bufio.Reader, c net.Conn)) copyOf {
	t.Helper()
	l, path := listenUnix(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				stop := context.AfterFunc(t.Context(), func() { c.Close() })
				defer stop()
				r := bufio.NewReader(c)
				head := ""
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if head += line; line == "\r\n" {
						break
					}
				}
				script(head, r, c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return copyOf{id, path}
}

// revisionOf makes a revision with ready copies.
func revisionOf(t testing.TB, o activator.Options, copies ...activator.Target) *activator.Revision {
	t.Helper()
	if o.Name == "" {
		o.Namespace, o.Name = "default", "rev"
	}
	r := activator.New(o)
	for _, c := range copies {
		r.Add(c)
	}
	t.Cleanup(r.Close)
	return r
}

// everything routes all hosts to one revision.
func everything(t testing.TB, r *activator.Revision) *Table {
	t.Helper()
	return tableOf(t, Route{Hosts: []string{"*"}, Rules: []Rule{{Backends: []Backend{{Revision: r, Weight: 1}}}}})
}

func tableOf(t testing.TB, routes ...Route) *Table {
	t.Helper()
	table, err := NewTable(routes)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// running is a gateway that serves on loopback.
type running struct {
	*Gateway
	addr string
	stop context.CancelFunc
	done chan error
}

func start(t testing.TB, o Options, table *Table) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 2 * time.Second
	}
	g := New(o)
	g.Swap(table)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{g, l.Addr().String(), cancel, make(chan error, 1)}
	go func() { r.done <- g.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-r.done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
			r.done <- nil
		case <-time.After(20 * time.Second):
			t.Error("Serve does not return")
		}
	})
	return r
}

// dial opens a raw connection with a deadline.
func (r *running) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

func (r *running) url(path string) string { return "http://" + r.addr + path }

// recorder is a Metrics that remembers.
type recorder struct {
	mu        sync.Mutex
	requests  []string
	refused   []string
	functions []string
	cold      int
	open      int
}

func (m *recorder) Request(rev string, code int, _, _ time.Duration, cold bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, rev+" "+strconv.Itoa(code))
	if cold {
		m.cold++
	}
}

func (m *recorder) Function(rev, function string, code int, _ time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.functions = append(m.functions, rev+" "+function+" "+strconv.Itoa(code))
}

func (m *recorder) Refused(reason string, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = append(m.refused, reason+" "+strconv.Itoa(code))
}

func (m *recorder) Connections(d int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open += d
}

func (m *recorder) last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.requests) == 0 {
		return ""
	}
	return m.requests[len(m.requests)-1]
}

// quiet is a log for servers that are expected to complain.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

package servers

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
)

// Pool shares servers between the tests of one package. The zero Pool is ready.
type Pool struct {
	mu      sync.Mutex
	started map[uintptr]*shared
	ends    []func()
}

type shared struct {
	once   sync.Once
	server *Server
	skip   string
	fail   string
}

// Run runs the tests of a package and then ends the servers of the pool. It returns the exit code for TestMain.
func (p *Pool) Run(m *testing.M) int {
	defer p.close()
	return m.Run()
}

// Get is the server that start makes, started for the first test that asks. Tests that kill it must restart it.
func (p *Pool) Get(t T, start func(T, ...Option) *Server) *Server {
	t.Helper()
	p.mu.Lock()
	if p.started == nil {
		p.started = map[uintptr]*shared{}
	}
	key := reflect.ValueOf(start).Pointer()
	s := p.started[key]
	if s == nil {
		s = &shared{}
		p.started[key] = s
	}
	p.mu.Unlock()
	s.once.Do(func() { s.start(p, start) })
	switch {
	case s.skip != "":
		t.Skipf("%s", s.skip)
	case s.fail != "":
		t.Fatalf("%s", s.fail)
	}
	return s.server
}

func (s *shared) start(p *Pool, start func(T, ...Option) *Server) {
	defer func() {
		if r := recover(); r != nil {
			if _, ours := r.(stop); !ours {
				panic(r)
			}
		}
	}()
	s.server = start(&owner{pool: p, shared: s})
}

func (p *Pool) close() {
	p.mu.Lock()
	ends := p.ends
	p.ends = nil
	p.mu.Unlock()
	for _, f := range slices.Backward(ends) {
		f()
	}
}

// owner is the T of a shared server: what it says is told to every test that asks for the server.
type owner struct {
	pool   *Pool
	shared *shared
}

// stop ends what a shared server was doing when it was given up.
type stop string

func (o *owner) Helper() {}

func (o *owner) Cleanup(f func()) {
	o.pool.mu.Lock()
	defer o.pool.mu.Unlock()
	o.pool.ends = append(o.pool.ends, f)
}

func (o *owner) Skipf(format string, args ...any) {
	o.shared.skip = fmt.Sprintf(format, args...)
	panic(stop(o.shared.skip))
}

func (o *owner) Fatalf(format string, args ...any) {
	o.shared.fail = fmt.Sprintf(format, args...)
	panic(stop(o.shared.fail))
}

func (o *owner) Logf(string, ...any) {}

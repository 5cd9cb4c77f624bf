package source

import (
	"net/http"
	"strings"
	"sync"
)

// Mux is where HTTP sources listen: the gateway asks it for what belongs to no function. The zero Mux is ready.
type Mux struct {
	mu    sync.RWMutex
	paths map[string]*endpoint
}

type endpoint struct{ http.Handler }

// Handle listens at one path, until remove is called. A path that is taken is an Invalid.
func (m *Mux) Handle(path string, h http.Handler) (remove func(), err error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") {
		return nil, Invalid{"path", "it must begin with / and have neither ? nor #: " + path}
	}
	e := &endpoint{h}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paths[path] != nil {
		return nil, Invalid{"path", path + " is taken by another event: choose another"}
	}
	if m.paths == nil {
		m.paths = map[string]*endpoint{}
	}
	m.paths[path] = e
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.paths[path] == e {
			delete(m.paths, path)
		}
	}, nil
}

// Match tells whether a source listens at that path.
func (m *Mux) Match(path string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.paths[path] != nil
}

// ServeHTTP gives the request to the source of its path.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.RLock()
	e := m.paths[r.URL.Path]
	m.mu.RUnlock()
	if e == nil {
		http.Error(w, "no event source listens here", http.StatusNotFound)
		return
	}
	e.ServeHTTP(w, r)
}

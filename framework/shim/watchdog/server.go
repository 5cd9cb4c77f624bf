package watchdog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/openfunction/ofn/framework/shim/host"
)

// server is mode=http: the program is a server behind upstream_url. Where no call is to be bounded by this contract, connections are
// relayed as they are; otherwise calls are.
type server struct {
	calls
	command host.Command
	process *host.Process
}

// Times of a start.
const (
	pollFirst = 2 * time.Millisecond
	pollMost  = 50 * time.Millisecond
	remindAt  = 2 * time.Second
)

func newServer(c calls, e host.Env) *server {
	changes := host.Env{}
	if port := c.settings.Upstream.Port(); e["PORT"] != port {
		changes["PORT"] = port // for programs that listen where PORT says
	}
	return &server{calls: c, command: host.Command{Args: slices.Clone(c.settings.fprocess), Env: e.Child(changes)}}
}

// Start starts the program and waits until it accepts connections.
func (s *server) Start(ctx context.Context) error {
	if err := s.command.Find(); err != nil {
		return err
	}
	var err error
	if s.process, err = host.Start(s.command); err != nil {
		return err
	}
	began, wait, reminded := time.Now(), pollFirst, false
	for {
		c, err := net.DialTimeout("tcp", s.settings.Upstream.Host, time.Second)
		if err == nil {
			return c.Close()
		}
		t := time.NewTimer(wait)
		select {
		case <-s.process.Done():
			t.Stop()
			return fmt.Errorf("%s %s before anything listened on %s (upstream_url)", s.process.Name(), s.process.Ending(), s.settings.Upstream.Host)
		case <-ctx.Done():
			t.Stop()
			s.process.Stop(time.Second)
			return ctx.Err()
		case <-t.C:
		}
		wait = min(2*wait, pollMost)
		if !reminded && time.Since(began) > remindAt {
			reminded = true
			s.failures.Log.Warn("nothing listens on upstream_url yet: calls wait until the program does", "upstream_url", s.settings.Upstream.String(), "program", s.process.Name())
		}
	}
}

// Serve implements host.Contract.
func (s *server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-s.process.Done():
			failed <- fmt.Errorf("%s %s", s.process.Name(), s.process.Ending())
		case <-ctx.Done():
		}
	}()
	if s.settings.ExecTimeout == 0 && s.settings.MaxInflight == 0 && s.settings.Upstream.Path == "" {
		err := s.relay(ctx, l, failed, grace)
		cancel()
		<-watched
		return err
	}
	err := s.site(s.proxy(), failed).Serve(ctx, l, grace)
	cancel()
	<-watched
	s.process.Stop(grace)
	return err
}

// proxy passes calls on one by one.
func (s *server) proxy() http.Handler {
	transport := &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, IdleConnTimeout: 5 * time.Minute, DisableCompression: true}
	p := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, BufferPool: &buffers{}, ErrorLog: slog.NewLogLogger(s.failures.Log.Handler(), slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: s.settings.Upstream.Host, Path: s.settings.Upstream.Path})
			r.Out.Host = r.In.Host
			for _, k := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if v, ok := r.In.Header[k]; ok { // the gateway has said
					r.Out.Header[k] = v
				}
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				s.failures.Late(r, fmt.Errorf("the call took longer than exec_timeout, %v", s.settings.ExecTimeout))
				host.Answer(w, http.StatusGatewayTimeout, "the function ran too long")
			case r.Context().Err() != nil: // the caller went away
			default:
				s.failures.Crash(w, r, err)
			}
		},
	}
	limit := s.settings.ExecTimeout
	if limit == 0 {
		return p
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		p.ServeHTTP(w, r.WithContext(ctx))
	})
}

// buffers are reused from call to call.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// remote is an instance that is reached over the loopback.
type remote struct {
	instance.Instance
	addr  string
	dials atomic.Int32
	done  chan struct{}
}

func (r *remote) Done() <-chan struct{} { return r.done }
func (r *remote) Dial(ctx context.Context) (net.Conn, error) {
	r.dials.Add(1)
	return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr)
}

// serving is an instance with a server; h2c when asked.
func serving(t *testing.T, h2c bool, h http.HandlerFunc) *remote {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(!h2c)
	s.Config.Protocols.SetUnencryptedHTTP2(h2c)
	s.Start()
	t.Cleanup(s.Close)
	return &remote{addr: s.Listener.Addr().String(), done: make(chan struct{})}
}

func TestHTTPProbe(t *testing.T) {
	for name, h2c := range map[string]bool{"http1": false, "h2c": true} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			inst := serving(t, h2c, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/health" || r.URL.RawQuery != "deep=1" || r.Header.Get("X-A") != "b" || r.Host != "app" {
					t.Errorf("got %s, headers %v, host %s", r.URL, r.Header, r.Host)
				}
				if n.Add(1) < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			rev := run.Revision{H2C: h2c}
			rev.Container.Probe = &run.Probe{HTTPPath: "/health?deep=1", HTTPHeaders: map[string]string{"X-A": "b", "Host": "app"}, SuccessThreshold: 2}
			ready := readinessOf(rev, false, true)
			if err := ready.await(t.Context(), inst); err != nil || n.Load() != 4 {
				t.Errorf("got %v after %d probes, want two failures and two successes", err, n.Load())
			}
		})
	}
}

func TestHTTPSProbe(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	inst := &remote{addr: s.Listener.Addr().String(), done: make(chan struct{})}
	p := proberOf(&run.Probe{HTTPPath: "/live", HTTPS: true}, run.Revision{})
	if err := p.once(t.Context(), inst); err == nil || err.Error() != "GET /live answered 404 Not Found" {
		t.Errorf("got %v, want the answer of a server whose certificate nobody knows", err)
	}
}

func TestProbesThatThisCopyCannotAnswer(t *testing.T) {
	for _, p := range []run.Probe{{Port: 9}, {Exec: []string{"x"}}} {
		if err := proberOf(&p, run.Revision{Port: 8080}).once(t.Context(), &remote{}); err == nil || !strings.Contains(err.Error(), "copies of this runtime class") {
			t.Errorf("%+v: got %v", p, err)
		}
	}
}

func TestGRPCProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, h := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(s, h)
	h.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() { s.Stop(); <-served }()
	inst := &remote{addr: l.Addr().String(), done: make(chan struct{})}
	r := readinessOf(run.Revision{Container: run.Container{Probe: &run.Probe{GRPC: true}}}, true, true)
	if err := r.ask(t.Context(), inst); err == nil || !strings.Contains(err.Error(), "NOT_SERVING") {
		t.Errorf("got %v from a server that does not serve", err)
	}
	h.SetServingStatus("one", healthpb.HealthCheckResponse_SERVING)
	if err := proberOf(&run.Probe{GRPC: true, GRPCService: "one"}, run.Revision{}).once(t.Context(), inst); err != nil {
		t.Error(err)
	}
	h.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	if err := r.await(t.Context(), inst); err != nil {
		t.Error(err)
	}
}

func TestActivationMustAnswerOnce(t *testing.T) {
	for name, h2c := range map[string]bool{"http1": false, "h2c": true} {
		t.Run(name, func(t *testing.T) {
			inst := serving(t, h2c, func(http.ResponseWriter, *http.Request) { t.Error("the user's handler was called") })
			rev := run.Revision{H2C: h2c}
			first, next := readinessOf(rev, true, false), readinessOf(rev, true, true)
			if err := first.await(t.Context(), inst); err != nil {
				t.Error(err)
			}
			before := inst.dials.Load()
			if err := next.await(t.Context(), inst); err != nil || inst.dials.Load() != before {
				t.Errorf("got %v; a proven revision was asked again", err)
			}
		})
	}
}

func TestSilentSocketIsNotReady(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // connections are made by the backlog, and nobody takes them
	inst := &remote{addr: l.Addr().String(), done: make(chan struct{})}
	r := readinessOf(run.Revision{}, true, false)
	r.timeout = 10 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.await(ctx, inst); err == nil {
		t.Error("a socket that nobody reads counts as ready")
	}
	close(inst.done)
	if err := r.await(t.Context(), inst); !errors.Is(err, errGone) {
		t.Errorf("got %v for a copy that ended", err)
	}
}

// TestLastAnswer: a question that the end of the time cut off says nothing; what is told is the answer before.
func TestLastAnswer(t *testing.T) {
	said, cut := errors.New("not yet"), errors.New("cut off")
	for name, answers := range map[string]int{"after an answer": 1, "without any": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				p := &prober{good: 1, pause: lastPause, timeout: time.Minute, ask: func(ctx context.Context, _ instance.Instance) error {
					if asked++; asked <= answers {
						return said
					}
					<-ctx.Done()
					return cut
				}}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				want := []error{cut, said}[answers]
				if err := p.await(ctx, &remote{done: make(chan struct{})}); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			})
		})
	}
}

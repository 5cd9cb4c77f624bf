package serve_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"github.com/openfunction/ofn/scalers/serve"
)

// queue is a scaler whose source is a number.
type queue struct {
	w       *world
	trigger serve.Trigger
}

// world makes queues and counts what happens to them.
type world struct {
	mu            sync.Mutex
	value         float64
	fails         error
	hold          chan struct{} // a read waits for it, whatever its context says
	built, closed atomic.Int32
	inside, most  atomic.Int32
}

func (w *world) build(_ context.Context, t serve.Trigger) (serve.Scaler, error) {
	switch t.Type {
	case "queue", "push":
	case "broken":
		return nil, errors.New("no address specified")
	case "panics":
		panic("of somebody else")
	default:
		return nil, fmt.Errorf("%w %q", serve.ErrUnknownType, t.Type)
	}
	w.built.Add(1)
	if t.Type == "push" {
		return pusher{queue{w, t}}, nil
	}
	return queue{w, t}, nil
}

func (q queue) Specs(context.Context) ([]serve.Spec, error) {
	return []serve.Spec{{Name: fmt.Sprintf("s%d-%s", q.trigger.Index, q.trigger.Metadata["queue"]), Target: 2.5}}, nil
}

func (q queue) Read(context.Context, string) (float64, bool, error) {
	q.w.most.Store(max(q.w.most.Load(), q.w.inside.Add(1)))
	defer q.w.inside.Add(-1)
	q.w.mu.Lock()
	value, fails, hold := q.w.value, q.w.fails, q.w.hold
	q.w.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return value, value > 0, fails
}

func (q queue) Close(context.Context) error {
	q.w.closed.Add(1)
	return nil
}

type pusher struct{ queue }

func (pusher) Push(ctx context.Context, active chan<- bool) {
	defer close(active)
	for _, a := range []bool{true, false, true} {
		select {
		case active <- a:
		case <-ctx.Done():
			return
		}
	}
}

// client serves w over a unix socket.
func client(t *testing.T, w *world, o serve.Options) externalscaler.ExternalScalerClient {
	t.Helper()
	o.Build = w.build
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s, g := serve.New(o), grpc.NewServer()
	externalscaler.RegisterExternalScalerServer(g, s)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return externalscaler.NewExternalScalerClient(conn)
}

func ref(pairs ...string) *externalscaler.ScaledObjectRef {
	r := &externalscaler.ScaledObjectRef{Name: "fn", Namespace: "ns", ScalerMetadata: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		r.ScalerMetadata[pairs[i]] = pairs[i+1]
	}
	return r
}

func read(t *testing.T, c externalscaler.ExternalScalerClient, r *externalscaler.ScaledObjectRef) (float64, string) {
	t.Helper()
	spec, err := c.GetMetricSpec(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var header metadata.MD
	got, err := c.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: r, MetricName: spec.MetricSpecs[0].MetricName}, grpc.Header(&header))
	if err != nil {
		t.Fatal(err)
	}
	return got.MetricValues[0].MetricValueFloat, strings.Join(header.Get(serve.HeaderActive), ",")
}

func TestRead(t *testing.T) {
	w := &world{value: 7.25}
	c := client(t, w, serve.Options{})
	r := ref("type", "queue", "index", "3", "metadata.queue", "orders", "auth.password", "p", "env.HOST", "h")
	spec, err := c.GetMetricSpec(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if m := spec.MetricSpecs[0]; m.MetricName != "s3-orders" || m.TargetSizeFloat != 2.5 || m.TargetSize != 3 {
		t.Errorf("spec: got %v", m)
	}
	if v, active := read(t, c, r); v != 7.25 || active != "true" {
		t.Errorf("got %v, active %v", v, active)
	}
	w.mu.Lock()
	w.value = 0
	w.mu.Unlock()
	if v, active := read(t, c, r); v != 0 || active != "false" {
		t.Errorf("got %v, active %v", v, active)
	}
	if a, err := c.IsActive(t.Context(), r); err != nil || a.Result {
		t.Errorf("got %v, %v", a, err)
	}
	if n := w.built.Load(); n != 1 {
		t.Errorf("made %d scalers for one trigger", n)
	}
	read(t, c, ref("type", "queue", "index", "3", "metadata.queue", "orders", "auth.password", "other", "env.HOST", "h"))
	if n := w.built.Load(); n != 2 {
		t.Errorf("a trigger with another password shares a scaler: made %d", n)
	}
}

func TestRefusals(t *testing.T) {
	c := client(t, &world{}, serve.Options{})
	for name, tc := range map[string]struct {
		ref  *externalscaler.ScaledObjectRef
		code codes.Code
		says string
	}{
		"no reference":  {nil, codes.InvalidArgument, "no ScaledObjectRef"},
		"no type":       {ref("index", "0"), codes.InvalidArgument, `no "type"`},
		"bad index":     {ref("type", "queue", "index", "x"), codes.InvalidArgument, `"index"`},
		"bad keep":      {ref("type", "queue", "keep", "x"), codes.InvalidArgument, `"keep"`},
		"unknown key":   {ref("type", "queue", "queue", "x"), codes.InvalidArgument, `"queue"`},
		"unknown type":  {ref("type", "nothing"), codes.Unimplemented, `"nothing"`},
		"cannot be":     {ref("type", "broken"), codes.FailedPrecondition, "trigger 0 (broken) of ns/fn: making the scaler: no address specified"},
		"panic":         {ref("type", "panics"), codes.FailedPrecondition, "panicked: of somebody else"},
		"does not push": {ref("type", "queue", "index", "9"), codes.Unimplemented, "does not push"},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if name == "does not push" {
				s, e := c.StreamIsActive(t.Context(), tc.ref)
				if e != nil {
					t.Fatal(e)
				}
				_, err = s.Recv()
			} else {
				q := &externalscaler.GetMetricsRequest{ScaledObjectRef: tc.ref}
				_, err = c.GetMetrics(t.Context(), q)
			}
			if status.Code(err) != tc.code || !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("got %v, want %v and %q", err, tc.code, tc.says)
			}
		})
	}
}

func TestAnErrorMakesAnew(t *testing.T) {
	w := &world{value: 1, fails: errors.New("connection refused")}
	c := client(t, w, serve.Options{})
	_, err := c.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: ref("type", "queue"), MetricName: "s0-"})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "connection refused") {
		t.Fatalf("got %v", err)
	}
	w.mu.Lock()
	w.fails = nil
	w.mu.Unlock()
	read(t, c, ref("type", "queue"))
	if w.built.Load() != 2 || w.closed.Load() != 1 {
		t.Errorf("made %d, closed %d", w.built.Load(), w.closed.Load())
	}
}

// TestSlowSource: a source that does not answer holds its own trigger only, and no caller longer than that one's deadline.
func TestSlowSource(t *testing.T) {
	w := &world{value: 1, hold: make(chan struct{})}
	c := client(t, w, serve.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.GetMetrics(ctx, &externalscaler.GetMetricsRequest{ScaledObjectRef: ref("type", "queue")})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
	again, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = c.GetMetrics(again, &externalscaler.GetMetricsRequest{ScaledObjectRef: ref("type", "queue")}); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
	if _, err := c.GetMetricSpec(t.Context(), ref("type", "queue", "index", "1")); err != nil {
		t.Errorf("another trigger: %v", err)
	}
	close(w.hold)
	read(t, c, ref("type", "queue"))
	if w.most.Load() != 1 {
		t.Errorf("%d reads of one trigger at once", w.most.Load())
	}
}

func TestPush(t *testing.T) {
	c := client(t, &world{}, serve.Options{})
	s, err := c.StreamIsActive(t.Context(), ref("type", "push"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false, true} {
		if got, err := s.Recv(); err != nil || got.Result != want {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	}
}

// TestBounded: the scaler unused longest gives way to a new one.
func TestBounded(t *testing.T) {
	w := &world{}
	c := client(t, w, serve.Options{Scalers: 2})
	for _, i := range []string{"0", "1", "0", "2"} {
		read(t, c, ref("type", "queue", "index", i))
	}
	read(t, c, ref("type", "queue", "index", "0"))
	if n := w.built.Load(); n != 3 {
		t.Errorf("made %d: the one that was used must have stayed", n)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("type", "kafka", "metadata.topic", "t")
	f.Add("index", "-1", "keep", "1h")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		got, err := serve.Decode(ref(k1, v1, k2, v2))
		if err == nil && got.Type == "" {
			t.Errorf("a trigger without a type: %+v", got)
		}
	})
}

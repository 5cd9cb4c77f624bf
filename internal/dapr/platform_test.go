package dapr_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/openfunction/ofn/internal/dapr"
	"github.com/openfunction/ofn/internal/dapr/runtime"
	"github.com/openfunction/ofn/internal/event"
)

// patience bounds everything that a test waits for: the machine may be busy.
const patience = 90 * time.Second

// platform is what stands around a runtime in these tests: copies of functions, dead letters, the function's side of the API.
type platform struct {
	*dapr.Runtime
	t       *testing.T
	mu      sync.Mutex
	copies  map[string]string        // address by revision
	up      map[string]chan struct{} // closed when a revision has a copy
	letters chan runtime.DeadLetter
}

func newPlatform(t *testing.T, change ...func(*dapr.Options)) *platform {
	t.Helper()
	p := &platform{t: t, copies: map[string]string{}, up: map[string]chan struct{}{}, letters: make(chan runtime.DeadLetter, 100)}
	o := dapr.Options{Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})), Caller: p, DeadLetters: p, Files: t.TempDir(), Version: "test"}
	for _, c := range change {
		c(&o)
	}
	rt, err := dapr.New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.Runtime = rt
	t.Cleanup(func() {
		ended := make(chan error, 1)
		go func() { ended <- rt.Close() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("closing the runtime: %v", err)
			}
		case <-time.After(patience):
			t.Error("the runtime does not end")
		}
	})
	return p
}

// testWriter logs to a test, as long as it runs.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	defer func() { _ = recover() }() // a line after the end of the test
	w.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

// Call is runtime.Caller.
func (p *platform) Call(ctx context.Context, _, revision string, use func(context.Context, string, func(context.Context) (net.Conn, error)) error) error {
	p.mu.Lock()
	up := p.waitFor(revision)
	p.mu.Unlock()
	select {
	case <-up:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	address := p.copies[revision]
	p.mu.Unlock()
	return use(ctx, revision+"@"+address, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	})
}

func (p *platform) waitFor(revision string) chan struct{} {
	if p.up[revision] == nil {
		p.up[revision] = make(chan struct{})
	}
	return p.up[revision]
}

// start says where the copy of a revision is.
func (p *platform) start(revision, address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copies[revision] = address
	close(p.waitFor(revision))
}

// Put is runtime.DeadLetters.
func (p *platform) Put(_ context.Context, l runtime.DeadLetter) error {
	p.letters <- l
	return nil
}

func (p *platform) letter() runtime.DeadLetter {
	p.t.Helper()
	return receive(p.t, p.letters, "a dead letter")
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func name(n string) event.Name { return event.Name{Namespace: "ns", Name: n} }

func component(n, typ string, metadata ...string) event.Component {
	c := event.Component{Name: name(n), Type: typ, Metadata: map[string]string{}}
	for i := 0; i < len(metadata); i += 2 {
		c.Metadata[metadata[i]] = metadata[i+1]
	}
	return c
}

func (p *platform) component(c event.Component) {
	p.t.Helper()
	if err := p.ApplyComponent(p.t.Context(), c); err != nil {
		p.t.Fatal(err)
	}
}

func (p *platform) app(a event.App) {
	p.t.Helper()
	if a.Revision == "" {
		a.Revision = a.Name.Name + "-v1"
	}
	if a.Port == 0 {
		a.Port = 8080
	}
	if a.Retry == (event.Policy{}) {
		a.Retry = event.Policy{Attempts: 3, Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond}
	}
	if err := p.ApplyApp(p.t.Context(), a); err != nil {
		p.t.Fatal(err)
	}
}

// ready waits until an app reads from all that calls it.
func (p *platform) ready(kind event.Kind, n string) event.Status {
	p.t.Helper()
	return p.until(kind, n, func(s event.Status) bool { return s.Ready })
}

func (p *platform) until(kind event.Kind, n string, ok func(event.Status) bool) event.Status {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		s, known := p.Status(event.Ref{Kind: kind, Name: name(n)})
		if known && ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s %s is not as it should be: %+v", kind, n, s)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// got is what a function over HTTP got.
type got struct {
	path   string
	header http.Header
	body   []byte
}

func (g got) event(t *testing.T) map[string]any {
	t.Helper()
	var ev map[string]any
	if err := json.Unmarshal(g.body, &ev); err != nil {
		t.Fatalf("%q is no CloudEvent: %v", g.body, err)
	}
	return ev
}

// httpApp is a copy that speaks HTTP; answer may be nil: 200 without a body. Questions of Dapr's answer 404 unless it answers them.
func (p *platform) httpApp(revision string, answer func(got) (int, string)) chan got {
	calls := make(chan got, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g := got{r.URL.Path, r.Header, body}
		if g.path == "/dapr/subscribe" {
			code, text := http.StatusNotFound, ""
			if answer != nil {
				code, text = answer(g)
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
			return
		}
		calls <- g
		if answer != nil {
			code, text := answer(g)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
		}
	}))
	p.t.Cleanup(s.Close)
	p.start(revision, s.Listener.Addr().String())
	return calls
}

// api is the function's side of the API.
type api struct {
	t    *testing.T
	grpc runtimev1.DaprClient
	conn *grpc.ClientConn
	url  string
}

func (p *platform) serve(app event.Name) *api {
	p.t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			p.t.Fatal(err)
		}
		return l
	}
	g, h := listen(), listen()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, app, g, h) }()
	conn, err := grpc.NewClient(g.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = conn.Close()
		cancel()
		if err := receive(p.t, served, "the end of Serve"); err != nil {
			p.t.Errorf("Serve: %v", err)
		}
	})
	return &api{p.t, runtimev1.NewDaprClient(conn), conn, "http://" + h.Addr().String()}
}

// http sends a request; header are pairs.
func (a *api) http(method, path, body string, header ...string) (int, string, http.Header) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// must sends a request that succeeds.
func (a *api) must(method, path, body string, header ...string) string {
	a.t.Helper()
	code, text, _ := a.http(method, path, body, header...)
	if code < 200 || code > 299 {
		a.t.Fatalf("%s %s: %d %s", method, path, code, text)
	}
	return text
}

// fails sends a request and compares the code and the error code of its answer.
func (a *api) fails(method, path, body string, code int, errorCode string) string {
	a.t.Helper()
	gotCode, text, _ := a.http(method, path, body)
	var e struct{ ErrorCode, Message string }
	if err := json.Unmarshal([]byte(text), &e); err != nil || gotCode != code || e.ErrorCode != errorCode {
		a.t.Fatalf("%s %s: %d %s, want %d %s", method, path, gotCode, text, code, errorCode)
	}
	return e.Message
}

var errFixture = errors.New("the fixture fails")

func data(i int) string { return fmt.Sprintf(`{"n":%d}`, i) }

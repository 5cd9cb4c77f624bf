package node_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
)

// daprds is a platform's knowledge of daprd.
type daprds struct {
	mu      sync.Mutex
	refuses error // of Check
	broken  error // of Program
	files   map[string][]byte
	local   []int
}

func (d *daprds) Check() error { return d.refuses }

func (d *daprds) Program(_ context.Context, say func(string)) (string, error) {
	say("building daprd")
	d.mu.Lock()
	defer d.mu.Unlock()
	return "/layer", d.broken
}

func (d *daprds) Resources(context.Context, string, string) (node.Resources, error) {
	return node.Resources{Files: d.files, Local: d.local}, nil
}

// sharing is a driver that starts copies beside others, and remembers the order of ends.
type sharing struct {
	fakeDriver
	healthy func(n int) bool // whether the n-th daprd is

	mu    sync.Mutex
	specs []instance.Spec
	ends  []string
	side  []*pairedCopy
}

// pairedCopy is a copy of sharing.
type pairedCopy struct {
	*fakeCopy
	of      *sharing
	healthy bool // as daprd
	daprd   *pairedCopy
}

func (d *sharing) Start(ctx context.Context, s instance.Spec) (instance.Instance, error) {
	c, err := d.fakeDriver.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	return &pairedCopy{fakeCopy: c.(*fakeCopy), of: d}, nil
}

func (d *sharing) StartBeside(ctx context.Context, s instance.Spec, other instance.Instance) (instance.Instance, error) {
	io.WriteString(s.Log, "hello\nno end of a line")
	quiet := s
	quiet.Log = io.Discard
	c, err := d.fakeDriver.Start(ctx, quiet)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.specs = append(d.specs, s)
	p := &pairedCopy{fakeCopy: c.(*fakeCopy), of: d, healthy: d.healthy == nil || d.healthy(len(d.specs))}
	d.side = append(d.side, p)
	other.(*pairedCopy).daprd = p
	return p, nil
}

func (c *pairedCopy) Stop(grace time.Duration) {
	c.of.mu.Lock()
	c.of.ends = append(c.of.ends, c.id)
	c.of.mu.Unlock()
	c.fakeCopy.Stop(grace)
}

func (c *pairedCopy) Timing() instance.Timing { return instance.Timing{} }

// DialPort reaches the daprd beside.
func (c *pairedCopy) DialPort(_ context.Context, port int) (net.Conn, error) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if port != run.DaprHTTPPort || c.daprd == nil || !c.daprd.healthy {
		return nil, fmt.Errorf("port %d: connection refused", port)
	}
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		if _, err := http.ReadRequest(bufio.NewReader(there)); err == nil {
			io.WriteString(there, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		}
	}()
	return here, nil
}

func withSidecar() run.Revision {
	return run.Revision{Key: key, Function: "fn", Image: "i", Port: 8080, Reachable: true, MinScale: 1, Dapr: true,
		Sidecar: &run.Sidecar{AppID: "fn-ns", Protocol: "grpc", Flags: []string{"--log-level=debug"}, Files: map[string][]byte{run.SidecarConfig: []byte("{}")}, CPU: 500}}
}

func pairs(t *testing.T, d *sharing, s *daprds) *world {
	t.Helper()
	n, err := node.New(node.Options{Drivers: map[string]instance.Driver{"": d, "wasm": &fakeDriver{}}, Images: &fakeImages{root: node.Root{Activation: true}}, Sidecars: s, Starts: 10})
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, node: n, driver: &d.fakeDriver}
}

func TestSidecar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &sharing{}
		d.behave = func(int) behaviour {
			return behaviour{spec: func(s instance.Spec) {
				if s.Listen.Activation {
					t.Error("a daprd cannot reach a copy that listens on no port")
				}
			}}
		}
		w := pairs(t, d, &daprds{files: map[string][]byte{"component-000.yaml": []byte("secret")}})
		w.apply(withSidecar())
		time.Sleep(time.Second)
		w.expect(run.Ready, 1)
		s := d.specs[0]
		args := strings.Join(s.Process.Args, " ")
		for _, want := range []string{"/daprd --app-id fn-ns --app-port 8080 --app-protocol grpc ", "--dapr-http-port 3500 --dapr-grpc-port 50001", "--config /dapr/config.yaml", "--log-level=debug"} {
			if !strings.Contains(args, want) {
				t.Errorf("arguments %s, want %s", args, want)
			}
		}
		if !slices.Equal(s.Layers, []string{"/layer"}) || s.Limits.CPUMillis != 500 || s.Limits.MemoryBytes == 0 || s.Process.UID == 0 {
			t.Errorf("daprd is %+v", s)
		}
		files := map[string]string{}
		for _, f := range s.Files {
			files[f.Path] = string(f.Data)
			if f.Mode != 0o400 {
				t.Errorf("%s has mode %o", f.Path, f.Mode)
			}
		}
		if len(files) != 2 || files["/dapr/resources/component-000.yaml"] != "secret" || files["/dapr/config.yaml"] != "{}" {
			t.Errorf("files %v", files)
		}
		w.close()
		if len(d.ends) < 2 || d.ends[0] != s.ID || d.ends[1] == s.ID {
			t.Errorf("ended %v; %s is to be the first", d.ends, s.ID)
		}
	})
}

// A daprd that ends takes its copy along, and both are replaced; so does a copy that ends.
func TestSidecarLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &sharing{}
		w := pairs(t, d, &daprds{})
		w.apply(withSidecar())
		time.Sleep(time.Second)
		w.expect(run.Ready, 1)
		d.side[0].end(instance.Exit{Code: 0})
		time.Sleep(5 * time.Second)
		w.expect(run.Ready, 1, "daprd: no end of a line", "ofn: daprd has ended (exit code 0)")
		if s := w.status(); s.Restarts != 1 || len(d.specs) != 2 {
			t.Errorf("%+v, %d daprds", s, len(d.specs))
		}
		for _, c := range d.live {
			if !strings.HasSuffix(c.id, "-d") {
				c.end(instance.Exit{Code: 3})
				break
			}
		}
		time.Sleep(5 * time.Second)
		w.expect(run.Ready, 1, "code 3")
		if _, live, _ := d.counts(); live != 2 || len(d.specs) != 3 {
			t.Errorf("%d live, %d daprds", live, len(d.specs))
		}
		w.close()
	})
}

// Before its daprd is ready a copy gets no requests; when it never is, that is said.
func TestSidecarNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &sharing{healthy: func(n int) bool { return n > 1 }}
		w := pairs(t, d, &daprds{})
		r := withSidecar()
		r.Sidecar.Protocol = "" // found out
		w.apply(r)
		time.Sleep(20 * time.Second)
		w.expect(run.Starting, 0)
		time.Sleep(75 * time.Second)
		w.expect(run.Ready, 1)
		if args := strings.Join(d.specs[0].Process.Args, " "); !strings.Contains(args, "--app-protocol http ") {
			t.Errorf("arguments %s", args)
		}
		w.close()
	})
}

func TestSidecarRefused(t *testing.T) {
	d := &sharing{}
	for name, test := range map[string]struct {
		sidecars *daprds
		class    string
		want     string
	}{
		"not here":   {&daprds{refuses: errors.New("needs root")}, "", "needs root"},
		"other copy": {&daprds{}, "wasm", `runtime class "wasm" has no daprd`},
	} {
		w := pairs(t, d, test.sidecars)
		r := withSidecar()
		r.RuntimeClass = test.class
		if err := w.node.Apply(t.Context(), r); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		w.close()
	}
	synctest.Test(t, func(t *testing.T) {
		w := pairs(t, &sharing{}, &daprds{broken: errors.New("no Go")})
		w.apply(withSidecar())
		time.Sleep(time.Second)
		w.expect(run.Failed, 0, "SidecarFailed", "no Go")
		w.close()
	})
}

// What a component names on the machine's loopback is at the same port of the copy's, and ends with it.
func TestSidecarLocal(t *testing.T) {
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with its listener
		for {
			c, err := broker.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { broker.Close() })
	port := broker.Addr().(*net.TCPAddr).Port
	offered := make(chan net.Listener, 1)
	d := &sharing{}
	d.behave = func(n int) behaviour {
		return behaviour{spec: func(s instance.Spec) {
			if n > 1 {
				return
			}
			if len(s.Services) != 1 || s.Services[0].Port != port {
				t.Errorf("services %+v", s.Services)
				return
			}
			in, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Error(err)
				return
			}
			s.Services[0].Accept(in)
			offered <- in
		}}
	}
	w := pairs(t, d, &daprds{local: []int{port, 8080, 3500, port}})
	w.apply(withSidecar())
	in := <-offered
	c, err := net.Dial("tcp", in.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "ping")
	c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "ping" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	in.Close() // as the driver does at the end of a copy
	w.close()
	if _, err := net.Dial("tcp", in.Addr().String()); err == nil {
		t.Error("it is still reached")
	}
}

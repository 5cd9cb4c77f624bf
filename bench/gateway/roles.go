package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/gateway"
)

// contender is something that answers.
type contender struct {
	name, network, addr string
	h2                  bool // asked with HTTP/2 cleartext
}

// arena is everything that runs during the benchmark.
type arena struct {
	dir        string
	contenders []contender
	notes      []string
	processes  []*exec.Cmd
}

const nginxConf = `worker_processes 2; daemon off; pid @DIR@/nginx.pid; error_log /dev/null;
events { worker_connections 1024; }
http { access_log off; client_body_temp_path @DIR@/b; proxy_temp_path @DIR@/p; fastcgi_temp_path @DIR@/f; uwsgi_temp_path @DIR@/u; scgi_temp_path @DIR@/c;
 upstream u { server unix:@DIR@/s; keepalive 128; keepalive_requests 100000000; }
 server { listen @ADDR@; listen @ADDR2@ http2; keepalive_requests 100000000; location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; } } }
`

func setUp(ctx context.Context) (*arena, error) {
	dir, err := os.MkdirTemp("", "bench-gateway")
	if err != nil {
		return nil, err
	}
	a := &arena{dir: dir}
	socket := filepath.Join(dir, "s")
	a.contenders = append(a.contenders, contender{"direct", "unix", socket, false}, contender{"direct", "unix", socket, true})
	if err := a.role(ctx, "hello", "unix", socket, ""); err != nil {
		return a, err
	}
	for _, r := range []struct {
		name, role string
		both       bool // asked with HTTP/1.1 too
	}{{"direct tcp", "hello", true}, {"ReverseProxy", "rp", true}, {"ofn", "ofn", true}, {"ReverseProxy to h2c", "rp2", false}, {"ofn to h2c", "ofn2", false}} {
		addr, err := freeAddr()
		if err != nil {
			return a, err
		}
		if r.both {
			a.contenders = append(a.contenders, contender{r.name, "tcp", addr, false})
		}
		a.contenders = append(a.contenders, contender{r.name, "tcp", addr, true})
		if err := a.role(ctx, r.role, "tcp", addr, socket); err != nil {
			return a, err
		}
	}
	if err := a.nginx(ctx); err != nil {
		a.notes = append(a.notes, "without nginx: "+err.Error())
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		a.notes = append(a.notes, "wrk is not installed; the load comes from a Go client, which takes more of the machine")
	}
	return a, a.await(ctx)
}

func (a *arena) role(ctx context.Context, role, network, addr, instance string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return a.start(exec.CommandContext(ctx, self, "-role", role, "-listen", network+":"+addr, "-instance", instance))
}

func (a *arena) start(cmd *exec.Cmd) error {
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	a.processes = append(a.processes, cmd)
	return nil
}

func (a *arena) nginx(ctx context.Context) error {
	bin, err := exec.LookPath("nginx")
	if err != nil {
		return fmt.Errorf("it is not installed")
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	addr2, err := freeAddr()
	if err != nil {
		return err
	}
	conf := filepath.Join(a.dir, "nginx.conf")
	text := strings.NewReplacer("@DIR@", a.dir, "@ADDR@", addr, "@ADDR2@", addr2).Replace(nginxConf)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(a.dir, 0o755); err != nil { // its workers run as another user
		return err
	}
	cmd := exec.CommandContext(ctx, bin, "-c", conf, "-p", a.dir)
	if err := cmd.Start(); err != nil {
		return err
	}
	a.processes = append(a.processes, cmd)
	a.contenders = append(a.contenders, contender{"nginx", "tcp", addr, false}, contender{"nginx", "tcp", addr2, true})
	return nil
}

// await waits until everybody answers. The instance's socket is opened to nginx's workers.
func (a *arena) await(ctx context.Context) error {
	for _, c := range a.contenders {
		deadline := time.Now().Add(10 * time.Second)
		for {
			_, err := once(c)
			if err == nil {
				break
			}
			if time.Now().After(deadline) || ctx.Err() != nil {
				return fmt.Errorf("%s does not answer: %w", c.name, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if c.network == "unix" {
			if err := os.Chmod(c.addr, 0o777); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *arena) close() {
	for _, p := range a.processes {
		p.Process.Signal(os.Interrupt)
	}
	for _, p := range a.processes {
		p.Wait()
	}
	os.RemoveAll(a.dir)
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// play is the life of a child process.
func play(ctx context.Context, role, listen, instance string) error {
	network, addr, _ := strings.Cut(listen, ":")
	l, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", instance)
	}
	switch role {
	case "hello":
		serveBoth(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "Hello, World!") }))
	case "rp", "rp2":
		u := &url.URL{Scheme: "http", Host: "instance"}
		p := httputil.NewSingleHostReverseProxy(u)
		p.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			Protocols: only(role == "rp2"), MaxIdleConnsPerHost: 256, DisableCompression: true}
		p.ErrorLog = log.New(io.Discard, "", 0) // the load generator leaves in the middle of requests
		serveBoth(l, p)
	case "ofn", "ofn2":
		rev := activator.New(activator.Options{Namespace: "default", Name: "hello", Concurrency: 100, H2C: role == "ofn2", Budget: activator.NewBudget(10000)})
		rev.Add(copyOf{dial})
		table, err := gateway.NewTable([]gateway.Route{{Hosts: []string{"*"}, Rules: []gateway.Rule{{
			Backends: []gateway.Backend{{Revision: rev, Weight: 1}}}}}})
		if err != nil {
			return err
		}
		g := gateway.New(gateway.Options{DrainTimeout: time.Second, RequestTimeout: 5 * time.Minute})
		g.Swap(table)
		return g.Serve(ctx, l)
	}
	return nil
}

// serveBoth serves HTTP/1.1 and HTTP/2 cleartext.
func serveBoth(l net.Listener, h http.Handler) {
	p := only(true)
	p.SetHTTP1(true)
	s := http.Server{Handler: h, Protocols: p}
	s.Serve(l)
}

// only is one protocol.
func only(h2 bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetUnencryptedHTTP2(h2)
	return p
}

// copyOf is the instance for the activator.
type copyOf struct {
	dial func(context.Context) (net.Conn, error)
}

func (copyOf) ID() string                                   { return "hello" }
func (c copyOf) Dial(ctx context.Context) (net.Conn, error) { return c.dial(ctx) }

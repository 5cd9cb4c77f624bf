package node

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// question is put to a copy; nil is the answer of one that is well.
type question func(ctx context.Context, inst instance.Instance) error

// questionOf is what a probe of the user asks.
func questionOf(p *run.Probe, rev run.Revision) question {
	var talk func(context.Context, dialer) error
	switch {
	case len(p.Exec) > 0:
		return executes(p.Exec)
	case p.GRPC:
		talk = healthy(p.GRPCService)
	case p.HTTPPath != "":
		talk = answers(p, rev.H2C && (p.Port == 0 || p.Port == rev.Port))
	default:
		talk = connects
	}
	if p.Port == 0 || p.Port == rev.Port {
		return over(talk)
	}
	return func(ctx context.Context, inst instance.Instance) error {
		d, ok := inst.(instance.PortDialer)
		if !ok {
			return fmt.Errorf("port %d: copies of this runtime class can be asked at their serving port only", p.Port)
		}
		return talk(ctx, func(ctx context.Context) (net.Conn, error) { return d.DialPort(ctx, p.Port) })
	}
}

// over asks where the copy serves.
func over(talk func(context.Context, dialer) error) question {
	return func(ctx context.Context, inst instance.Instance) error { return talk(ctx, inst.Dial) }
}

// connects is content when a connection is accepted.
func connects(ctx context.Context, dial dialer) error {
	c, err := dial(ctx)
	if err != nil {
		return err
	}
	return c.Close()
}

// speaks is content when anything of HTTP comes back to a request that reaches no handler of the user.
func speaks(ctx context.Context, dial dialer) error {
	return exchange(ctx, dial, func(c net.Conn) error {
		if _, err := io.WriteString(c, "OPTIONS * HTTP/1.1\r\nHost: ready\r\nConnection: close\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

// speaks2 is content when the server begins an HTTP/2 connection.
func speaks2(ctx context.Context, dial dialer) error {
	return exchange(ctx, dial, func(c net.Conn) error {
		if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
			return err
		}
		f := http2.NewFramer(c, c)
		if err := f.WriteSettings(); err != nil {
			return err
		}
		_, err := f.ReadFrame()
		return err
	})
}

// exchange talks over a connection of its own until ctx ends.
func exchange(ctx context.Context, dial dialer, talk func(net.Conn) error) error {
	c, err := dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := talk(c); err != nil {
		return fmt.Errorf("asking whether it serves: %w", err)
	}
	return nil
}

// answers is content when GET path is answered with 200 to 399.
func answers(p *run.Probe, h2c bool) func(context.Context, dialer) error {
	return func(ctx context.Context, dial dialer) error {
		t := &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // as a kubelet's: the copy cannot have a certificate for its address
		}
		if h2c {
			t.Protocols = new(http.Protocols)
			t.Protocols.SetUnencryptedHTTP2(true)
		}
		defer t.CloseIdleConnections()
		req, err := probeRequest(ctx, p)
		if err != nil {
			return err
		}
		resp, err := t.RoundTrip(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode < 200 || resp.StatusCode >= 400 {
			return fmt.Errorf("GET %s answered %s", p.HTTPPath, resp.Status)
		}
		return nil
	}
}

func probeRequest(ctx context.Context, p *run.Probe) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://ready", nil)
	if err != nil {
		return nil, err
	}
	if req.URL, err = req.URL.Parse(p.HTTPPath); err != nil {
		return nil, fmt.Errorf("probe path %q: %w", p.HTTPPath, err)
	}
	req.URL.Scheme, req.URL.Host = "http", "ready"
	if p.HTTPS {
		req.URL.Scheme = "https"
	}
	req.Header.Set("User-Agent", "kube-probe/1.0")
	for k, v := range p.HTTPHeaders {
		req.Header.Set(k, v)
		if http.CanonicalHeaderKey(k) == "Host" {
			req.Host = v
		}
	}
	return req, nil
}

// healthy is content when the standard gRPC health service says that the service, or the whole server, serves.
func healthy(service string) func(context.Context, dialer) error {
	return func(ctx context.Context, dial dialer) error { return checkHealth(ctx, dial, service) }
}

func checkHealth(ctx context.Context, dial dialer, service string) error {
	conn, err := grpc.NewClient("passthrough:///ready", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		return fmt.Errorf("gRPC health check: %w", err)
	}
	if resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("gRPC health check says %s", resp.GetStatus())
	}
	return nil
}

// mostSaid is how much of what a command said goes into a message, in bytes.
const mostSaid = 1024

// errNotAsked is wrapped by answers that say nothing about the copy, because the platform could not ask it.
var errNotAsked = errors.New("the probe could not be carried out")

// executes is content when a command inside the copy exits with code 0.
func executes(args []string) question {
	return func(ctx context.Context, inst instance.Instance) error {
		x, ok := inst.(instance.Executor)
		if !ok {
			return errors.New("commands cannot be run in copies of this runtime class")
		}
		var said bytes.Buffer
		exit, err := x.Exec(ctx, args, &limitedWriter{to: &said, left: mostSaid})
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%s did not end within the timeout of the probe", args[0])
		case err != nil:
			return fmt.Errorf("%w: %w", errNotAsked, err)
		case exit.Code != 0:
			return fmt.Errorf("%s exited with code %d: %s", args[0], exit.Code, strings.ToValidUTF8(strings.TrimSpace(said.String()), "\uFFFD"))
		}
		return nil
	}
}

// limitedWriter drops what is too much.
type limitedWriter struct {
	to   io.Writer
	left int
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	if _, err := w.to.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// A copy that is not ready is asked again after a pause that grows from the first to the last.
const (
	firstPause   = 200 * time.Microsecond
	lastPause    = 20 * time.Millisecond
	probeTimeout = time.Second
)

// errGone is what await returns for a copy that ended before it was ready.
var errGone = errors.New("the process ended before it was ready")

// readiness says when a copy is ready.
type readiness struct {
	check   func(ctx context.Context, dial dialer) error // nil: ready as soon as it was executed
	delay   time.Duration
	timeout time.Duration // of one check
	times   int           // that check must succeed in a row
}

type dialer func(ctx context.Context) (net.Conn, error)

// readinessOf chooses the check. A copy that was given its socket can be reached before it runs, so that the first one of a new
// revision must also answer: that it was executed proves nothing.
func readinessOf(rev run.Revision, activation, proven bool) readiness {
	r := readiness{check: connects, timeout: probeTimeout, times: 1}
	if p := rev.Container.Probe; p != nil {
		r.delay, r.times = p.InitialDelay, max(1, p.SuccessThreshold)
		if p.Timeout > 0 {
			r.timeout = p.Timeout
		}
		switch {
		case p.GRPC:
			r.check = healthy
			return r
		case p.HTTPPath != "":
			r.check = answers(p.HTTPPath, p.HTTPHeaders, rev.H2C)
			return r
		}
	}
	switch {
	case activation && proven:
		r.check = nil
	case activation && rev.H2C:
		r.check = speaks2
	case activation:
		r.check = speaks
	}
	return r
}

// await returns when the copy is ready, with errGone when it ended, or with the last failure when ctx is over.
func (r readiness) await(ctx context.Context, inst instance.Instance) error {
	if r.check == nil {
		return nil
	}
	if err := pause(ctx, inst, r.delay); err != nil {
		return err
	}
	wait, good := firstPause, 0
	for {
		one, cancel := context.WithTimeout(ctx, r.timeout)
		err := r.check(one, inst.Dial)
		cancel()
		if err == nil {
			if good++; good >= r.times {
				return nil
			}
		} else {
			good = 0
		}
		if gone := pause(ctx, inst, wait); gone != nil {
			if errors.Is(gone, errGone) || err == nil {
				return gone
			}
			return err
		}
		wait = min(2*wait, lastPause)
	}
}

// pause waits, unless the copy or ctx ends.
func pause(ctx context.Context, inst instance.Instance, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-inst.Done():
		return errGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connects is ready when a connection is accepted.
func connects(ctx context.Context, dial dialer) error {
	c, err := dial(ctx)
	if err != nil {
		return err
	}
	return c.Close()
}

// speaks is ready when anything of HTTP comes back to a request that reaches no handler of the user.
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

// speaks2 is ready when the server begins an HTTP/2 connection.
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

// answers is ready when GET path is answered with 200 to 399.
func answers(path string, headers map[string]string, h2c bool) func(context.Context, dialer) error {
	return func(ctx context.Context, dial dialer) error {
		t := &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		}
		if h2c {
			t.Protocols = new(http.Protocols)
			t.Protocols.SetUnencryptedHTTP2(true)
		}
		defer t.CloseIdleConnections()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://ready", nil)
		if err != nil {
			return err
		}
		if req.URL, err = req.URL.Parse(path); err != nil {
			return fmt.Errorf("readiness path %q: %w", path, err)
		}
		req.URL.Scheme, req.URL.Host = "http", "ready"
		req.Header.Set("User-Agent", "kube-probe/1.0")
		for k, v := range headers {
			req.Header.Set(k, v)
			if http.CanonicalHeaderKey(k) == "Host" {
				req.Host = v
			}
		}
		resp, err := t.RoundTrip(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode < 200 || resp.StatusCode >= 400 {
			return fmt.Errorf("GET %s answered %s", path, resp.Status)
		}
		return nil
	}
}

// healthy is ready when the standard gRPC health service says that the server serves.
func healthy(ctx context.Context, dial dialer) error {
	conn, err := grpc.NewClient("passthrough:///ready", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("gRPC health check: %w", err)
	}
	if resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("gRPC health check says %s", resp.GetStatus())
	}
	return nil
}

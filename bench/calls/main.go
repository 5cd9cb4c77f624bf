// Command calls measures how long an asynchronous call takes to be accepted, which is to be on disk, against a bare JetStream publish
// of the same size to the same server in the same run, one after the other:
//
//	go run ./bench/calls
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/calls"
	"github.com/openfunction/ofn/internal/calls/callhttp"
	"github.com/openfunction/ofn/internal/gateway"
)

// limit is of the accepted call against the publish.
const limit = 2.0

func main() {
	n := flag.Int("n", 500, "how many of each")
	size := flag.Int("size", 1024, "bytes of a request's body")
	dir := flag.String("dir", "", "where to write; empty is a temporary directory")
	flag.Parse()
	if err := measure(context.Background(), *n, *size, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "calls:", err)
		os.Exit(1)
	}
}

// contender is one way to bring a request to disk.
type contender struct {
	name string
	do   func() error
	took []time.Duration
}

func (c *contender) once() error {
	begin := time.Now()
	err := c.do()
	c.took = append(c.took, time.Since(begin))
	return err
}

func (c *contender) quantile(q float64) time.Duration {
	slices.Sort(c.took)
	return c.took[int(q*float64(len(c.took)-1))]
}

func measure(ctx context.Context, n, size int, dir string) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "calls"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	store := jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: dir})
	defer store.Close()
	js, err := store.JetStream(ctx)
	if err != nil {
		return err
	}
	noop := func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	}
	c, err := calls.Open(ctx, calls.Options{JetStream: js, Transport: transport(noop), HostOf: hostOf, MaxWaiting: 1 << 30, MaxPerFunction: 1 << 30, Room: store.Room})
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	all, stop, err := contenders(ctx, js, c, bytes.Repeat([]byte("x"), size))
	if err != nil {
		return err
	}
	defer stop()
	for range n {
		for i := range all {
			if err := all[i].once(); err != nil {
				return fmt.Errorf("%s: %w", all[i].name, err)
			}
		}
	}
	return report(all)
}

type transport func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func hostOf(n calls.Name) string { return n.Name + "." + n.Namespace }

// contenders are the publish and two ways to make a call that starts in an hour, so that nothing but accepting is measured.
func contenders(ctx context.Context, js natsjs.JetStream, c *calls.Calls, body []byte) ([]contender, func(), error) {
	if _, err := js.CreateStream(ctx, natsjs.StreamConfig{Name: "BARE", Subjects: []string{"bare"}, Storage: natsjs.FileStorage}); err != nil {
		return nil, nil, err
	}
	front := callhttp.New(callhttp.Options{Open: func(context.Context) (*calls.Calls, error) { return c, nil }, HostOf: hostOf})
	url, stop, err := serve(ctx, front)
	if err != nil {
		return nil, nil, err
	}
	fn := calls.Name{Namespace: "default", Name: "f"}
	return []contender{
		{name: "bare JetStream publish", do: func() error { _, err := js.Publish(ctx, "bare", body); return err }},
		{name: "call accepted", do: func() error {
			_, err := c.Accept(ctx, calls.Call{Function: fn, Host: hostOf(fn), Method: http.MethodPost, Path: "/", Body: body, NotBefore: time.Now().Add(time.Hour)})
			return err
		}},
		{name: "202 at the gateway", do: func() error { return post(ctx, url, body) }},
	}, stop, nil
}

// serve is a gateway that knows one function.
func serve(ctx context.Context, front *callhttp.Front) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	rev := activator.New(activator.Options{Namespace: "default", Name: "f-1"})
	table, err := gateway.NewTable([]gateway.Route{{Hosts: []string{"*"}, Namespace: "default", Function: "f", Rules: []gateway.Rule{{Backends: []gateway.Backend{{Revision: rev, Weight: 1}}}}}})
	if err != nil {
		return "", nil, err
	}
	g := gateway.New(gateway.Options{Async: front, DrainTimeout: time.Second})
	g.Swap(table)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, l) }()
	return "http://" + l.Addr().String() + "/", func() { cancel(); <-ended; rev.Close() }, nil
}

func post(ctx context.Context, url string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Prefer", "respond-async")
	r.Header.Set(calls.HeaderDelay, "1h")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		return errors.Join(err, fmt.Errorf("answered %s", resp.Status))
	}
	return err
}

func report(all []contender) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tp50\tp99\tp50 against the publish\tlimit")
	base := all[0].quantile(.5)
	for i := range all {
		p50 := all[i].quantile(.5)
		fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\t%.1f\n", all[i].name, p50.Round(time.Microsecond), all[i].quantile(.99).Round(time.Microsecond), float64(p50)/float64(base), limit)
	}
	return w.Flush()
}

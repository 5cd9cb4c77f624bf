package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/gateway"
)

// function does nothing, in this process, or where the platform has it: behind its gateway.
type function struct {
	entered func(id string)
	client  http.RoundTripper
	close   func()
}

func newFunction(ctx context.Context, behindGateway bool, entered func(id string)) (*function, error) {
	f := &function{entered: entered, close: func() {}}
	if !behindGateway {
		return f, nil
	}
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.entered(r.Header.Get("ce-id"))
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
	})}
	go func() { _ = srv.Serve(own) }()
	address, closeGateway, err := serveGateway(ctx, own.Addr().String())
	if err != nil {
		return nil, errors.Join(err, srv.Close())
	}
	t := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, DialContext: dialer(address)} // as cmd/ofn has it
	f.client = t
	f.close = func() {
		t.CloseIdleConnections()
		closeGateway()
		_ = srv.Close()
	}
	return f, nil
}

func dialer(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
}

// copyAt is the one copy of the function.
type copyAt struct {
	dial func(context.Context, string, string) (net.Conn, error)
}

func (copyAt) ID() string                                   { return "copy" }
func (c copyAt) Dial(ctx context.Context) (net.Conn, error) { return c.dial(ctx, "", "") }

// serveGateway is the platform's own gateway, with the function behind it.
func serveGateway(ctx context.Context, function string) (address string, stop func(), err error) {
	rev := activator.New(activator.Options{Namespace: "bench", Name: "f", Concurrency: 100, Budget: activator.NewBudget(10000)})
	rev.Add(copyAt{dialer(function)})
	table, err := gateway.NewTable([]gateway.Route{{Hosts: []string{"function"}, Rules: []gateway.Rule{{Backends: []gateway.Backend{{Revision: rev, Weight: 1}}}}}})
	if err != nil {
		return "", nil, err
	}
	g := gateway.New(gateway.Options{DrainTimeout: time.Second})
	g.Swap(table)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = g.Serve(ctx, l)
	}()
	return l.Addr().String(), func() { cancel(); <-ended }, nil
}

// RoundTrip implements http.RoundTripper.
func (f *function) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.client != nil {
		return f.client.RoundTrip(r)
	}
	f.entered(r.Header.Get("ce-id"))
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}}, nil
}

package dev

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// upstream is where requests go at the moment. A request that comes while there is nothing to go to waits for what is being built.
type upstream struct {
	mu      sync.Mutex
	current *process
	failure string        // why there is nothing to wait for
	changed chan struct{} // closed and replaced with each change
}

func newUpstream() *upstream { return &upstream{changed: make(chan struct{})} }

// set makes p, or when it is nil the failure, the answer to requests, and returns what was there before.
func (u *upstream) set(p *process, failure string) *process {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.current
	u.current, u.failure = p, failure
	close(u.changed)
	u.changed = make(chan struct{})
	return before
}

// acquire returns the process for one request; requests.Done of it must be called. Without one it returns why.
func (u *upstream) acquire(ctx context.Context) (*process, string) {
	for {
		u.mu.Lock()
		p, failure, changed := u.current, u.failure, u.changed
		if p != nil {
			p.requests.Add(1)
		}
		u.mu.Unlock()
		if p != nil || failure != "" {
			return p, failure
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, "the request was given up while the function was being built"
		}
	}
}

// ServeHTTP passes the request on.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, failure := u.acquire(r.Context())
	if p == nil {
		http.Error(w, failure, http.StatusServiceUnavailable)
		return
	}
	defer p.requests.Done()
	p.handler.ServeHTTP(w, r)
}

// newHandler passes requests on to a process: gRPC over HTTP/2 cleartext, everything else over HTTP/1.1.
func newHandler(p *process) http.Handler {
	plain := &http.Transport{DialContext: p.dial, DisableCompression: true, MaxIdleConnsPerHost: 64}
	second := &http.Transport{DialContext: p.dial, DisableCompression: true, Protocols: new(http.Protocols)}
	second.Protocols.SetUnencryptedHTTP2(true)
	to := &url.URL{Scheme: "http", Host: "function"}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				return second.RoundTrip(r)
			}
			return plain.RoundTrip(r)
		}),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				http.Error(w, fmt.Sprintf("the function did not answer (%v); what it printed may say why", err), http.StatusBadGateway)
			}
		},
		FlushInterval: -1,
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (p *process) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, p.network, p.address)
}

// Package shimtest runs a contract of the shim for its tests.
package shimtest

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Race is GORACE for programs that are the test binary: built with -race they would otherwise sleep for a second at their end.
const Race = "atexit_sleep_ms=0"

// Log is what a contract has said. It may be written and read by several goroutines.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Contract is a contract of the shim.
type Contract interface {
	Start(ctx context.Context) error
	Serve(ctx context.Context, l net.Listener, grace time.Duration) error
}

// Running is a contract that serves.
type Running struct {
	URL string
	// Stop ends it and returns why it has ended, Wait returns when it ends by itself.
	Stop, Wait func() error
}

// Serve starts a contract and stops it with the test.
func Serve(t *testing.T, c Contract) Running {
	t.Helper()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Serve(ctx, l, 5*time.Second) }()
	wait := sync.OnceValue(func() error { return <-ended })
	stop := func() error {
		cancel()
		return wait()
	}
	t.Cleanup(func() { _ = stop() })
	return Running{URL: "http://" + l.Addr().String(), Stop: stop, Wait: wait}
}

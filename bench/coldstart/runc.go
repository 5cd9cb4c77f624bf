//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/openfunction/ofn/bench/runcpeer"
)

// patience is how long one start may take.
const patience = 10 * time.Second

// runc starts the same root filesystem with the runtime that container engines use.
type runc struct {
	bundle  *runcpeer.Bundle
	sockets string
}

// newRunc writes a bundle with a directory for the socket.
func newRunc(dir, root string) (*runc, error) {
	sockets := filepath.Join(dir, "sockets")
	if err := os.MkdirAll(sockets, 0o755); err != nil {
		return nil, err
	}
	b, err := runcpeer.New(dir, root, []string{"/hello"}, []string{"SOCKET=/run/s"}, runcpeer.Mount{From: sockets, To: "/run"})
	return &runc{bundle: b, sockets: sockets}, err
}

func (r *runc) start(_ context.Context, i int) (time.Duration, error) {
	socket, id := filepath.Join(r.sockets, "s"), fmt.Sprintf("coldstart-%d-%d", os.Getpid(), i)
	_ = os.Remove(socket)
	began := time.Now()
	c := r.bundle.Run(id)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = r.bundle.Kill(id)
		_ = c.Wait()
	}()
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			err = get(conn)
			return time.Since(began), err
		}
		if time.Since(began) > patience {
			return 0, fmt.Errorf("runc run: nothing listens after %v: %w", patience, err)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

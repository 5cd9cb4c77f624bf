package host

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// breakable is a connection that can be told to bring nothing more.
type breakable struct {
	net.Conn
	broken atomic.Bool
}

// Read reads, until the connection is broken.
func (c *breakable) Read(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}

// breakables makes every connection breakable.
type breakables struct{ net.Listener }

// Accept implements net.Listener.
func (l breakables) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &breakable{Conn: c}, nil
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// BreakOff ends a Read of the call's body that waits for the caller. The answer still goes out, then the connection is closed: what is left
// of the body must not become the next call, and net/http takes a broken Read for a caller that has gone, for all calls of a connection.
// The call must have come to a Site.
func BreakOff(r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(*breakable)
	if !ok {
		panic("host: BreakOff of a call that came to no Site")
	}
	c.broken.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0)) // fails where the connection has ended
}

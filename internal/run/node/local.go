package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// local lets a copy reach ports of the machine's own loopback at the same ports of its own: a broker of this machine that a
// component names as localhost:6379 is meant.
type local struct {
	ports   []int
	ctx     context.Context //nolint:containedctx // the life of what goes through
	cancel  context.CancelFunc
	through sync.WaitGroup
	places  chan struct{}
}

// What bounds the connections of one copy to the machine.
const (
	localConnections = 256
	localDial        = 10 * time.Second
)

// newLocal is for some ports. Those that the copy has a use of its own for are told to the log and left out.
func newLocal(ports []int, own int, log io.Writer) *local {
	l := &local{places: make(chan struct{}, localConnections)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for _, p := range slices.Compact(slices.Sorted(slices.Values(ports))) {
		if p == own || p == run.DaprHTTPPort || p == run.DaprGRPCPort {
			fmt.Fprintf(log, "a component names port %d of this machine's loopback, which means the copy itself here: choose another port for one of the two\n", p)
			continue
		}
		l.ports = append(l.ports, p)
	}
	return l
}

// services are what the driver offers the copy, and closes with it.
func (l *local) services() []instance.Service {
	out := make([]instance.Service, 0, len(l.ports))
	for _, p := range l.ports {
		out = append(out, instance.Service{Port: p, Accept: func(in net.Listener) {
			l.through.Go(func() { l.accept(in, p) })
		}})
	}
	return out
}

// end ends every connection, when the listeners are closed.
func (l *local) end() {
	l.cancel()
	l.through.Wait()
}

func (l *local) accept(in net.Listener, port int) {
	for {
		c, err := in.Accept()
		if err != nil {
			return
		}
		select {
		case l.places <- struct{}{}:
			l.through.Go(func() {
				defer func() { <-l.places }()
				l.pass(c, port)
			})
		default:
			_ = c.Close()
		}
	}
}

// pass passes one connection on until either end, or the copy, closes it.
func (l *local) pass(in net.Conn, port int) {
	defer in.Close()
	d := net.Dialer{Timeout: localDial}
	out, err := d.DialContext(l.ctx, "tcp", net.JoinHostPort("localhost", strconv.Itoa(port)))
	if err != nil {
		return // the copy sees its connection closed, as it would the broker's
	}
	defer out.Close()
	stop := context.AfterFunc(l.ctx, func() { _, _ = in.Close(), out.Close() })
	defer stop()
	var back sync.WaitGroup
	back.Go(func() { flow(in, out) })
	flow(out, in)
	back.Wait()
}

// flow copies one direction and tells the other side of its end.
func flow(to, from net.Conn) {
	_, _ = io.Copy(to, from) // either end may go at any time
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}

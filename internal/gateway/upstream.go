package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

const (
	maxAnswerHead = 256 << 10
	maxInterim    = 32 // 1xx answers before the real one
	dialTimeout   = 10 * time.Second
)

// errNoAnswer means that a copy closed the connection before the first byte of its answer.
var errNoAnswer = errors.New("the copy of the function broke off before it answered")

// upstream is a connection to a copy.
type upstream struct {
	nc       net.Conn
	sock     *sock
	in       buffer
	resp     response
	body     body
	reused   bool
	patience int  // how many exchanges sleep before glance is tried again
	usable   bool // for another request: the last answer was read to its end and nothing follows
}

// Close ends the connection.
func (u *upstream) Close() error { return u.nc.Close() }

// connectTo takes an idle connection or makes one. careful avoids idle ones that the copy has closed meanwhile, for
// requests that cannot be sent again.
func connectTo(ctx context.Context, ep *activator.Endpoint, careful bool) (*upstream, error) {
	for {
		u, ok := ep.Take().(*upstream)
		if !ok {
			return dial(ctx, ep)
		}
		if careful && !u.sock.quiet() {
			u.Close()
			continue
		}
		u.reused, u.usable = true, false
		return u, nil
	}
}

func dial(ctx context.Context, ep *activator.Endpoint) (*upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := ep.Dial(ctx)
	if err != nil {
		return nil, err
	}
	u := &upstream{nc: nc, sock: newSock(nc)}
	u.in.b = make([]byte, readBuffer)
	return u, nil
}

// readHead reads the head of an answer, which stays in the buffer.
func (u *upstream) readHead(bodyless bool) error {
	u.resp.reset()
	for {
		done, err := u.resp.more(u.in.bytes())
		if err != nil {
			var p *problem
			errors.As(err, &p)
			return badAnswer(p.text)
		}
		if done {
			return u.resp.interpret(bodyless)
		}
		err = u.in.fill(u.nc, maxAnswerHead)
		switch {
		case err == nil:
		case errors.Is(err, errBufferFull):
			return badAnswer("its header is too large")
		case u.in.len() == 0:
			return fmt.Errorf("%w: %w", errNoAnswer, err)
		default:
			return badAnswer("it broke off inside its header")
		}
	}
}

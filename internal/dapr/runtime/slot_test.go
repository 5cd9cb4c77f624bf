package runtime

import (
	"context"
	"testing"

	"github.com/dapr/components-contrib/pubsub"

	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/event"
)

// connected is a component that tells when it is closed.
type connected struct {
	pubsub.PubSub
	closed chan struct{}
}

func (c connected) Close() error {
	close(c.closed)
	return nil
}

// A component whose connection succeeds at the moment in which it is deleted must not be left connected.
func TestConnectedWhileItIsDeleted(t *testing.T) {
	c, begun := connected{closed: make(chan struct{})}, make(chan struct{})
	s := newSlot(t.Context(), event.Component{}, true, func(ctx context.Context, _ event.Component) (*components.Opened, error) {
		close(begun)
		<-ctx.Done()
		return &components.Opened{PubSub: c}, nil
	}, func() {})
	<-begun
	s.close()
	select {
	case <-c.closed:
	default:
		t.Error("it is still connected, and nobody has it")
	}
}

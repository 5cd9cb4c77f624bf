package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// checkDapr refuses what could not have Dapr's API beside it.
func (n *Node) checkDapr(r run.Revision, driver instance.Driver) error {
	if err := n.checkSidecar(r, driver); err != nil {
		return err
	}
	switch {
	case !r.Dapr:
		return nil
	case n.opt.Dapr == nil && r.Sidecar == nil:
		return errors.New("the function uses Dapr, which this runner does not offer")
	case r.Port == run.DaprHTTPPort || r.Port == run.DaprGRPCPort:
		return fmt.Errorf("port %d is that of Dapr's API, which the function uses: choose another for the function", r.Port)
	}
	return nil
}

// companion is Dapr's API beside one copy, from before its first instruction until after its end.
type companion struct {
	dapr Dapr
	rev  run.Revision
	log  *slog.Logger

	grpc    net.Listener
	serving sync.WaitGroup
	cancel  context.CancelFunc
}

// services are what the driver offers the copy. It calls both in their order.
func (c *companion) services() []instance.Service {
	return []instance.Service{
		{Port: run.DaprGRPCPort, Accept: func(l net.Listener) { c.grpc = l }},
		{Port: run.DaprHTTPPort, Accept: c.serve},
	}
}

func (c *companion) serve(http net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.serving.Go(func() {
		if err := c.dapr.Serve(ctx, c.rev.Namespace, c.rev.Function, c.grpc, http); err != nil {
			c.log.Error("Dapr's API cannot be served to a copy", "revision", c.rev.String(), "error", err)
		}
	})
}

// end is called when the copy has ended, or was never started.
func (c *companion) end() {
	if c.cancel != nil {
		c.cancel()
	}
	c.serving.Wait()
}

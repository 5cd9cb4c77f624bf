// Package dapr sends to the outputs of a function, and keeps its states, through a Dapr runtime, over gRPC.
package dapr

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	commonv1 "github.com/dapr/dapr/pkg/proto/common/v1"
	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/OpenFunction/functions-framework-go/host"
)

// The environment variables that say where the runtime is, and where it is when they are empty.
const (
	HostEnvName  = "DAPR_HOST"
	PortEnvName  = "DAPR_GRPC_PORT"
	TokenEnvName = "DAPR_API_TOKEN"

	defaultHost = "127.0.0.1"
	defaultPort = "50001"
	tokenHeader = "dapr-api-token"
)

const (
	// maxMessage is the largest message either way, in bytes.
	maxMessage = 64 << 20
	// maxWait bounds a call whose context has no deadline. It leaves a runtime that starts beside the function time to come up.
	maxWait = time.Minute
)

// Client is a connection to a Dapr runtime that is made when it is first needed, so that a function that never sends
// does not wait for one. It is safe for use by several goroutines at once.
type Client struct {
	target, token string

	mu   sync.Mutex
	conn *grpc.ClientConn
}

// FromEnv makes a client; it connects to nothing yet.
func FromEnv(getenv func(string) string) *Client {
	host, port := getenv(HostEnvName), getenv(PortEnvName)
	if host == "" {
		host = defaultHost
	}
	if port == "" {
		port = defaultPort
	}
	return &Client{target: net.JoinHostPort(host, port), token: getenv(TokenEnvName)}
}

// Close ends the connection; a later call makes a new one.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	conn := c.conn
	c.conn = nil
	return conn.Close()
}

// InvokeBinding asks an output binding for an operation and returns its answer. It waits for a
// runtime that is not there yet, until ctx ends or a minute has passed.
func (c *Client) InvokeBinding(ctx context.Context, name, operation string, data []byte, meta map[string]string) ([]byte, error) {
	api, err := c.api()
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	answer, err := api.InvokeBinding(ctx, &runtimev1.InvokeBindingRequest{
		Name: name, Operation: operation, Data: data, Metadata: meta,
	})
	if err != nil {
		return nil, fmt.Errorf("invoking binding %s through Dapr at %s: %w", name, c.target, err)
	}
	return answer.GetData(), nil
}

// Publish returns when the broker has taken the message. It waits for a
// runtime that is not there yet, until ctx ends or a minute has passed.
func (c *Client) Publish(ctx context.Context, pubsub, topic string, data []byte, meta map[string]string) error {
	api, err := c.api()
	if err != nil {
		return err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	_, err = api.PublishEvent(ctx, &runtimev1.PublishEventRequest{
		PubsubName: pubsub, Topic: topic, Data: data, Metadata: meta,
	})
	if err != nil {
		return fmt.Errorf("publishing to topic %s of %s through Dapr at %s: %w", topic, pubsub, c.target, err)
	}
	return nil
}

// GetState implements ofctx.StateStore.
func (c *Client) GetState(ctx context.Context, store, key string) ([]byte, error) {
	api, err := c.api()
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	answer, err := api.GetState(ctx, &runtimev1.GetStateRequest{StoreName: store, Key: key})
	if err != nil {
		return nil, fmt.Errorf("asking store %s through Dapr at %s: %w", store, c.target, err)
	}
	if len(answer.GetData()) == 0 {
		return nil, nil
	}
	return answer.GetData(), nil
}

// SaveState implements ofctx.StateStore.
func (c *Client) SaveState(ctx context.Context, store, key string, value []byte) error {
	api, err := c.api()
	if err != nil {
		return err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	_, err = api.SaveState(ctx, &runtimev1.SaveStateRequest{StoreName: store, States: []*commonv1.StateItem{{Key: key, Value: value}}})
	if err != nil {
		return fmt.Errorf("writing to store %s through Dapr at %s: %w", store, c.target, err)
	}
	return nil
}

// DeleteState implements ofctx.StateStore.
func (c *Client) DeleteState(ctx context.Context, store, key string) error {
	api, err := c.api()
	if err != nil {
		return err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	if _, err = api.DeleteState(ctx, &runtimev1.DeleteStateRequest{StoreName: store, Key: key}); err != nil {
		return fmt.Errorf("deleting from store %s through Dapr at %s: %w", store, c.target, err)
	}
	return nil
}

func (c *Client) api() (runtimev1.DaprClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		conn, err := grpc.NewClient(c.target, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.WaitForReady(true),
				grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
		if err != nil {
			return nil, fmt.Errorf("connecting to Dapr at %s: %w", c.target, err)
		}
		c.conn = conn
	}
	return runtimev1.NewDaprClient(c.conn), nil
}

// bound gives ctx a deadline when it has none, the token of the runtime, and the trace of the call.
func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	host.TraceOf(ctx).Each(func(name, value string) { ctx = metadata.AppendToOutgoingContext(ctx, name, value) })
	if c.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, tokenHeader, c.token)
	}
	if _, bounded := ctx.Deadline(); bounded {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, maxWait)
}

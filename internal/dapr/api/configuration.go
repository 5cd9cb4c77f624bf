package api

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/dapr/components-contrib/configuration"
	"github.com/dapr/dapr/pkg/messages"
	"github.com/dapr/dapr/pkg/messages/errorcodes"
	commonv1 "github.com/dapr/dapr/pkg/proto/common/v1"
	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc/codes"
)

// maxSubscriptions bounds the subscriptions to configuration that an app has over HTTP.
const maxSubscriptions = 64

func items(of map[string]*configuration.Item) map[string]*commonv1.ConfigurationItem {
	out := make(map[string]*commonv1.ConfigurationItem, len(of))
	for k, v := range of {
		out[k] = &commonv1.ConfigurationItem{Value: v.Value, Version: v.Version, Metadata: v.Metadata}
	}
	return out
}

// GetConfiguration reads configuration.
func (*service) GetConfiguration(ctx context.Context, in *runtimev1.GetConfigurationRequest) (*runtimev1.GetConfigurationResponse, error) {
	got, err := callerOf(ctx).getConfiguration(ctx, in.GetStoreName(), in.GetKeys(), in.GetMetadata())
	return &runtimev1.GetConfigurationResponse{Items: items(got)}, err
}

// GetConfigurationAlpha1 is the older name of GetConfiguration.
func (s *service) GetConfigurationAlpha1(ctx context.Context, in *runtimev1.GetConfigurationRequest) (*runtimev1.GetConfigurationResponse, error) {
	return s.GetConfiguration(ctx, in)
}

// SubscribeConfiguration sends changes until the client goes away or unsubscribes.
func (*service) SubscribeConfiguration(in *runtimev1.SubscribeConfigurationRequest, stream runtimev1.Dapr_SubscribeConfigurationServer) error {
	c := callerOf(stream.Context())
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	var mu sync.Mutex
	begun := make(chan struct{})
	send := func(_ context.Context, e *configuration.UpdateEvent) error {
		select {
		case <-begun:
		case <-ctx.Done():
			return ctx.Err()
		}
		mu.Lock()
		defer mu.Unlock()
		return stream.Send(&runtimev1.SubscribeConfigurationResponse{Id: e.ID, Items: items(e.Items)})
	}
	id, end, err := c.subscribeConfiguration(ctx, in.GetStoreName(), in.GetKeys(), in.GetMetadata(), send)
	if err != nil {
		return err
	}
	defer end()
	key := subscriptionID{c.app, id}
	c.mu.Lock()
	c.subs[key] = cancel
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subs, key)
	}()
	if err := stream.Send(&runtimev1.SubscribeConfigurationResponse{Id: id}); err != nil {
		return err
	}
	close(begun)
	<-ctx.Done()
	return nil
}

// SubscribeConfigurationAlpha1 is the older name of SubscribeConfiguration.
func (s *service) SubscribeConfigurationAlpha1(in *runtimev1.SubscribeConfigurationRequest, stream runtimev1.Dapr_SubscribeConfigurationAlpha1Server) error {
	return s.SubscribeConfiguration(in, stream)
}

// UnsubscribeConfiguration ends a subscription of the same app.
func (*service) UnsubscribeConfiguration(ctx context.Context, in *runtimev1.UnsubscribeConfigurationRequest) (*runtimev1.UnsubscribeConfigurationResponse, error) {
	if !callerOf(ctx).unsubscribe(in.GetId()) {
		return &runtimev1.UnsubscribeConfigurationResponse{Ok: false, Message: "subscription with id " + in.GetId() + " does not exist"}, nil
	}
	return &runtimev1.UnsubscribeConfigurationResponse{Ok: true}, nil
}

// UnsubscribeConfigurationAlpha1 is the older name of UnsubscribeConfiguration.
func (s *service) UnsubscribeConfigurationAlpha1(ctx context.Context, in *runtimev1.UnsubscribeConfigurationRequest) (*runtimev1.UnsubscribeConfigurationResponse, error) {
	return s.UnsubscribeConfiguration(ctx, in)
}

// subscribeConfiguration subscribes at the store until ctx ends; end must be called then.
func (c *caller) subscribeConfiguration(ctx context.Context, store string, keys []string, meta map[string]string, send configuration.UpdateHandler) (id string, end func(), err error) {
	l, err := c.configurationStore(ctx, store)
	if err != nil {
		return "", nil, err
	}
	keys = slices.Sorted(slices.Values(keys))
	id, err = l.Configuration.Subscribe(ctx, &configuration.SubscribeRequest{Keys: keys, Metadata: meta}, send)
	if err != nil {
		l.Release()
		return "", nil, newFault(errorcodes.ConfigurationSubscribe, http.StatusInternalServerError, codes.InvalidArgument, messages.ErrConfigurationSubscribe, keys, store, err)
	}
	return id, func() {
		_ = l.Configuration.Unsubscribe(context.WithoutCancel(ctx), &configuration.UnsubscribeRequest{ID: id})
		l.Release()
	}, nil
}

func (c *caller) unsubscribe(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	cancel, ok := c.subs[subscriptionID{c.app, id}]
	if ok {
		cancel()
		delete(c.subs, subscriptionID{c.app, id})
	}
	return ok
}

// pushConfiguration subscribes for an app over HTTP: changes are posted to its path /configuration/STORE/KEY, until the life of the copy
// that asks for it ends.
func (c *caller) pushConfiguration(life context.Context, store string, keys []string, meta map[string]string) (string, error) {
	ctx, cancel := context.WithCancel(c.closed)
	ended := context.AfterFunc(life, cancel)
	id, end, err := c.subscribeConfiguration(ctx, store, keys, meta, func(ctx context.Context, e *configuration.UpdateEvent) error {
		return c.o.Runtime.PushConfiguration(ctx, c.app, store, e)
	})
	if err != nil {
		ended()
		cancel()
		return "", err
	}
	c.mu.Lock()
	n := 0
	for k := range c.subs {
		if k.app == c.app {
			n++
		}
	}
	if n >= maxSubscriptions {
		c.mu.Unlock()
		ended()
		cancel()
		end()
		return "", newFault(errorcodes.ConfigurationSubscribe, http.StatusTooManyRequests, codes.ResourceExhausted, "the function has %d subscriptions to configuration already", n)
	}
	c.subs[subscriptionID{c.app, id}] = cancel
	c.mu.Unlock()
	c.wg.Go(func() {
		<-ctx.Done()
		ended()
		c.unsubscribe(id)
		end()
	})
	return id, nil
}

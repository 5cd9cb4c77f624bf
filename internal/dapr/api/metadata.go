package api

import (
	"context"
	"maps"
	"net/http"

	"github.com/dapr/dapr/pkg/messages/errorcodes"
	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/openfunction/ofn/internal/event"
)

const (
	maxTold      = 64      // metadata that an app sets
	maxToldValue = 8 << 10 // bytes of key and value
)

// metadata is what daprd tells of itself, for this app.
func (c *caller) metadata() *runtimev1.GetMetadataResponse {
	out := &runtimev1.GetMetadataResponse{
		Id: c.id, RuntimeVersion: c.o.Version,
		ActorRuntime: &runtimev1.ActorRuntime{RuntimeStatus: runtimev1.ActorRuntime_DISABLED},
	}
	for _, comp := range c.o.Runtime.Visible(c.app) {
		version := comp.Version
		if version == "" {
			version = "v1"
		}
		out.RegisteredComponents = append(out.RegisteredComponents, &runtimev1.RegisteredComponents{
			Name: comp.Name.Name, Type: comp.Type, Version: version, Capabilities: c.o.Runtime.Capabilities(c.app, comp.Name.Name),
		})
	}
	for _, sub := range c.o.Runtime.Subscriptions(c.app) {
		one := &runtimev1.PubsubSubscription{
			PubsubName: sub.Component, Topic: sub.Topic, DeadLetterTopic: sub.DeadLetterTopic, Metadata: sub.Metadata,
			Rules: &runtimev1.PubsubSubscriptionRules{}, Type: subscriptionTypes[sub.Source],
		}
		for _, r := range append(sub.Routes, event.Route{Path: sub.Default}) {
			if r.Path != "" {
				one.Rules.Rules = append(one.Rules.Rules, &runtimev1.PubsubSubscriptionRule{Match: r.Match, Path: r.Path})
			}
		}
		out.Subscriptions = append(out.Subscriptions, one)
	}
	port, protocol, most := c.o.Runtime.Connection(c.app)
	out.AppConnectionProperties = &runtimev1.AppConnectionProperties{
		Port: int32(port), Protocol: protocol, ChannelAddress: "127.0.0.1", MaxConcurrency: int32(most), //nolint:gosec // ports and small numbers
	}
	c.mu.Lock()
	out.ExtendedMetadata = maps.Clone(c.told[c.app])
	c.mu.Unlock()
	if out.ExtendedMetadata == nil {
		out.ExtendedMetadata = map[string]string{}
	}
	out.ExtendedMetadata["daprRuntimeVersion"] = c.o.Version
	return out
}

var subscriptionTypes = map[string]runtimev1.PubsubSubscriptionType{
	"input": runtimev1.PubsubSubscriptionType_DECLARATIVE, "declared": runtimev1.PubsubSubscriptionType_DECLARATIVE,
	"programmatic": runtimev1.PubsubSubscriptionType_PROGRAMMATIC, "stream": runtimev1.PubsubSubscriptionType_STREAMING,
}

// setMetadata keeps a key of the app's own.
func (c *caller) setMetadata(key, value string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.told[c.app]
	_, had := told[key]
	if key == "" || len(key)+len(value) > maxToldValue || (!had && len(told) >= maxTold) {
		return newFault(errorcodes.CommonBadRequest, http.StatusBadRequest, codes.InvalidArgument,
			"metadata are at most %d keys, none empty, of at most %d bytes each", maxTold, maxToldValue)
	}
	if told == nil {
		told = map[string]string{}
		c.told[c.app] = told
	}
	told[key] = value
	return nil
}

// GetMetadata tells of the runtime.
func (*service) GetMetadata(ctx context.Context, _ *runtimev1.GetMetadataRequest) (*runtimev1.GetMetadataResponse, error) {
	return callerOf(ctx).metadata(), nil
}

// SetMetadata keeps a key.
func (*service) SetMetadata(ctx context.Context, in *runtimev1.SetMetadataRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, callerOf(ctx).setMetadata(in.GetKey(), in.GetValue())
}

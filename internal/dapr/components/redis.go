package components

import (
	"context"

	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/components-contrib/pubsub"
	"github.com/dapr/components-contrib/pubsub/redis"
	"github.com/dapr/kit/logger"
)

// redisStreams is pubsub.redis, which acknowledges a message whose handler failed, unless the handler's context is over. Here
// the handler ends with its context, at metadata processingTimeout, after which Redis gives the message again.
type redisStreams struct{ pubsub.PubSub }

func newRedisStreams(log logger.Logger) pubsub.PubSub {
	return redisStreams{redis.NewRedisStreams(log)}
}

// Subscribe holds what fails.
func (r redisStreams) Subscribe(ctx context.Context, req pubsub.SubscribeRequest, handle pubsub.Handler) error {
	return r.PubSub.Subscribe(ctx, req, func(ctx context.Context, m *pubsub.NewMessage) error {
		err := handle(ctx, m)
		if err != nil {
			<-ctx.Done()
		}
		return err
	})
}

// GetComponentMetadata is that of the component within.
func (r redisStreams) GetComponentMetadata() metadata.MetadataMap {
	if told, ok := r.PubSub.(interface{ GetComponentMetadata() metadata.MetadataMap }); ok {
		return told.GetComponentMetadata()
	}
	return nil
}

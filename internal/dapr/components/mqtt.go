package components

import (
	"context"

	"github.com/dapr/components-contrib/pubsub"
	mqttpubsub "github.com/dapr/components-contrib/pubsub/mqtt3"
	"github.com/dapr/kit/logger"
)

// mqttTopics is pubsub.mqtt3 whose subscriptions end with the connection. The driver forgets a subscription whose context ends in a
// goroutine of its own, without the lock under which Close forgets all: both at once would end the process.
type mqttTopics struct{ pubsub.PubSub }

func newMQTTTopics(log logger.Logger) pubsub.PubSub {
	return mqttTopics{mqttpubsub.NewMQTTPubSub(log)}
}

// Subscribe calls handle until ctx ends; what comes between that and Close stays with the broker.
func (m mqttTopics) Subscribe(ctx context.Context, r pubsub.SubscribeRequest, handle pubsub.Handler) error {
	return m.PubSub.Subscribe(context.WithoutCancel(ctx), r, func(_ context.Context, msg *pubsub.NewMessage) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return handle(ctx, msg)
	})
}

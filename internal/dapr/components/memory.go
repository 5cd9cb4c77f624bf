package components

import (
	"context"
	"errors"
	"path"
	"slices"
	"sync"

	"github.com/cenkalti/backoff/v5"
	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/components-contrib/pubsub"
	"github.com/dapr/kit/logger"
)

const (
	memoryQueue   = 1024 // messages that wait for one subscription
	memoryWorkers = 16   // handlers of one subscription at once
)

var errClosed = errors.New("the component is closed")

// memory is pubsub.in-memory: unlike the one of components-contrib it gives a message that failed again until it was handled,
// its queues are bounded, and Publish waits when they are full. What it holds is lost with the process.
type memory struct {
	mu     sync.Mutex
	subs   []*memorySub
	closed chan struct{}
	once   sync.Once
	wg     sync.WaitGroup
}

type memorySub struct {
	pattern string
	queue   chan *pubsub.NewMessage
	ctx     context.Context //nolint:containedctx // the subscription's own: it is over when its subscriber's is
	handle  pubsub.Handler
}

func newMemory(logger.Logger) pubsub.PubSub { return &memory{closed: make(chan struct{})} }

func (m *memory) Init(context.Context, pubsub.Metadata) error { return nil }

func (m *memory) Features() []pubsub.Feature {
	return []pubsub.Feature{pubsub.FeatureSubscribeWildcards}
}

func (m *memory) GetComponentMetadata() metadata.MetadataMap { return nil }

// Publish returns when every subscription that there is has the message in its queue.
func (m *memory) Publish(ctx context.Context, req *pubsub.PublishRequest) error {
	m.mu.Lock()
	subs := slices.Clone(m.subs)
	m.mu.Unlock()
	for _, s := range subs {
		if ok, _ := path.Match(s.pattern, req.Topic); !ok {
			continue
		}
		msg := &pubsub.NewMessage{Data: req.Data, Topic: req.Topic, Metadata: req.Metadata, ContentType: req.ContentType}
		select {
		case s.queue <- msg:
		case <-s.ctx.Done():
		case <-m.closed:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-m.closed:
		return errClosed
	default:
		return nil
	}
}

func (m *memory) Subscribe(ctx context.Context, req pubsub.SubscribeRequest, handle pubsub.Handler) error {
	s := &memorySub{pattern: req.Topic, queue: make(chan *pubsub.NewMessage, memoryQueue), ctx: ctx, handle: handle}
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.closed:
		return errClosed
	default:
	}
	m.subs = append(m.subs, s)
	for range memoryWorkers {
		m.wg.Go(func() { m.work(s) })
	}
	m.wg.Go(func() {
		select {
		case <-ctx.Done():
		case <-m.closed:
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.subs = slices.DeleteFunc(m.subs, func(other *memorySub) bool { return other == s })
	})
	return nil
}

func (m *memory) work(s *memorySub) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-m.closed:
			return
		case msg := <-s.queue:
			_, _ = backoff.Retry(s.ctx, func() (struct{}, error) {
				select {
				case <-m.closed:
					return struct{}{}, backoff.Permanent(errClosed)
				default:
					return struct{}{}, s.handle(s.ctx, msg)
				}
			}, backoff.WithMaxElapsedTime(0))
		}
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	m.wg.Wait()
	return nil
}

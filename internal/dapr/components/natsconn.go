package components

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/components-contrib/pubsub"
	"github.com/dapr/components-contrib/pubsub/jetstream"
	"github.com/dapr/kit/logger"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// natsOptions are the metadata of a connection, by the names of pubsub.jetstream.
func natsOptions(m metadata.Base) (url string, opts []nats.Option, err error) {
	get := func(key string) string { v, _ := m.GetProperty(key); return v }
	if url = get("natsURL"); url == "" {
		return "", nil, errors.New("missing natsURL: such as nats://host:4222")
	}
	name := get("name")
	if name == "" {
		name = m.Name
	}
	opts = append(opts, nats.Name(name))
	jwt, seed, token := get("jwt"), get("seedKey"), get("token")
	cert, key := get("tls_client_cert"), get("tls_client_key")
	switch {
	case jwt != "" && seed != "":
		opts = append(opts, nats.UserJWT(func() (string, error) { return jwt, nil }, func(nonce []byte) ([]byte, error) {
			return sign(seed, nonce)
		}))
	case jwt != "" || seed != "":
		return "", nil, errors.New("jwt and seedKey go together: one of them is missing")
	case cert != "" && key != "":
		opts = append(opts, nats.ClientCert(cert, key))
	case token != "":
		opts = append(opts, nats.Token(token))
	}
	return url, opts, nil
}

func sign(seed string, nonce []byte) ([]byte, error) {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return nil, fmt.Errorf("reading seedKey: %w", err)
	}
	defer pair.Wipe()
	return pair.Sign(nonce)
}

// watchedJetStream tells when the connection of pubsub.jetstream is given up: it gives up after two minutes without its
// broker, for ever and without a word. A second, idle connection that gives up earlier stands for it.
type watchedJetStream struct {
	pubsub.PubSub
	watch *nats.Conn
	lost  chan struct{}
	once  sync.Once
}

func newJetStream(log logger.Logger) pubsub.PubSub {
	return &watchedJetStream{PubSub: jetstream.NewJetStream(log), lost: make(chan struct{})}
}

// watchAttempts at two seconds each are fewer than the sixty of the client's default.
const watchAttempts = 30

func (w *watchedJetStream) Init(ctx context.Context, m pubsub.Metadata) error {
	if err := w.PubSub.Init(ctx, m); err != nil {
		return err
	}
	url, opts, err := natsOptions(m.Base)
	if err == nil {
		opts = append(opts, nats.MaxReconnects(watchAttempts), nats.ClosedHandler(func(*nats.Conn) { w.once.Do(func() { close(w.lost) }) }))
		w.watch, err = nats.Connect(url, opts...)
	}
	if err != nil {
		return errors.Join(err, w.PubSub.Close())
	}
	return nil
}

// GetComponentMetadata is that of the component within.
func (w *watchedJetStream) GetComponentMetadata() metadata.MetadataMap {
	if told, ok := w.PubSub.(interface{ GetComponentMetadata() metadata.MetadataMap }); ok {
		return told.GetComponentMetadata()
	}
	return nil
}

// Lost is closed when the component must be opened anew.
func (w *watchedJetStream) Lost() <-chan struct{} { return w.lost }

func (w *watchedJetStream) Close() error {
	w.watch.Close()
	err := w.PubSub.Close()
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil
	}
	return err
}

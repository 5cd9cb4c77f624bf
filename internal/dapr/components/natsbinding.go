package components

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/kit/logger"
	kitmetadata "github.com/dapr/kit/metadata"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsMetadata are the metadata of bindings.nats-jetstream, with the names of pubsub.jetstream where it has the same.
type natsMetadata struct {
	NatsURL       string `mapstructure:"natsURL"`
	Jwt           string `mapstructure:"jwt"`
	SeedKey       string `mapstructure:"seedKey"`
	Token         string `mapstructure:"token"`
	TLSClientCert string `mapstructure:"tls_client_cert"`
	TLSClientKey  string `mapstructure:"tls_client_key"`
	Name          string `mapstructure:"name"`
	Subject       string `mapstructure:"subject"`
	StreamName    string `mapstructure:"streamName"`
	DurableName   string `mapstructure:"durableName"`
	DeliverPolicy string `mapstructure:"deliverPolicy"`
	MaxAckPending int    `mapstructure:"maxAckPending"`
	Concurrency   int    `mapstructure:"concurrency"`
}

const natsAckWait = 30 * time.Second

// natsBinding is bindings.nats-jetstream: a durable pull consumer as input, a publisher as output. components-contrib has none.
type natsBinding struct {
	log    logger.Logger
	meta   natsMetadata
	conn   *nats.Conn
	js     jetstream.JetStream
	closed chan struct{}
	once   sync.Once
	lost   chan struct{}
	losing sync.Once
	wg     sync.WaitGroup
}

func newJetStreamBinding(log logger.Logger) bindings.InputOutputBinding {
	return &natsBinding{log: log, closed: make(chan struct{}), lost: make(chan struct{})}
}

func (b *natsBinding) GetComponentMetadata() (m metadata.MetadataMap) {
	m = metadata.MetadataMap{}
	_ = metadata.GetMetadataInfoFromStructType(reflect.TypeFor[natsMetadata](), &m, metadata.BindingType)
	return m
}

func (b *natsBinding) Init(_ context.Context, m bindings.Metadata) error {
	if err := kitmetadata.DecodeMetadata(m.Properties, &b.meta); err != nil {
		return fmt.Errorf("reading metadata: %w", err)
	}
	if b.meta.Subject == "" {
		return errors.New("missing subject: the NATS subject that is read and published to")
	}
	url, opts, err := natsOptions(m.Base)
	if err != nil {
		return err
	}
	if b.conn, err = nats.Connect(url, append(opts, nats.MaxReconnects(-1))...); err != nil {
		return fmt.Errorf("connecting to %s: %w", url, err)
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		b.conn.Close()
		return fmt.Errorf("using JetStream: %w", err)
	}
	return nil
}

func (b *natsBinding) Operations() []bindings.OperationKind {
	return []bindings.OperationKind{bindings.CreateOperation}
}

// Invoke publishes; metadata subject names another subject, msgId is what duplicates are known by.
func (b *natsBinding) Invoke(ctx context.Context, req *bindings.InvokeRequest) (*bindings.InvokeResponse, error) {
	msg := &nats.Msg{Subject: b.meta.Subject, Data: req.Data, Header: nats.Header{}}
	if s := req.Metadata["subject"]; s != "" {
		msg.Subject = s
	}
	var opts []jetstream.PublishOpt
	if id := req.Metadata["msgId"]; id != "" {
		opts = append(opts, jetstream.WithMsgID(id))
	}
	ack, err := b.js.PublishMsg(ctx, msg, opts...)
	if err != nil {
		return nil, fmt.Errorf("publishing to %s: %w", msg.Subject, err)
	}
	return &bindings.InvokeResponse{Metadata: map[string]string{"stream": ack.Stream, "sequence": strconv.FormatUint(ack.Sequence, 10)}}, nil
}

func (b *natsBinding) consumer(ctx context.Context) (jetstream.Consumer, error) {
	stream := b.meta.StreamName
	if stream == "" {
		var err error
		if stream, err = b.js.StreamNameBySubject(ctx, b.meta.Subject); err != nil {
			return nil, fmt.Errorf("looking for the stream of subject %s: %w", b.meta.Subject, err)
		}
	}
	c := jetstream.ConsumerConfig{
		Durable: b.meta.DurableName, FilterSubject: b.meta.Subject, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: natsAckWait, MaxAckPending: b.meta.MaxAckPending,
	}
	switch b.meta.DeliverPolicy {
	case "", "all":
	case "new":
		c.DeliverPolicy = jetstream.DeliverNewPolicy
	case "last":
		c.DeliverPolicy = jetstream.DeliverLastPolicy
	default:
		return nil, fmt.Errorf("deliverPolicy %q is none of all, new, last", b.meta.DeliverPolicy)
	}
	return b.js.CreateOrUpdateConsumer(ctx, stream, c)
}

// Read consumes with as many handlers at once as metadata concurrency says (8).
func (b *natsBinding) Read(ctx context.Context, handle bindings.Handler) error {
	consumer, err := b.consumer(ctx)
	if err != nil {
		return err
	}
	workers := b.meta.Concurrency
	if workers <= 0 {
		workers = 8
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(workers))
	if err != nil {
		return fmt.Errorf("consuming %s: %w", b.meta.Subject, err)
	}
	for range workers {
		b.wg.Go(func() {
			for {
				msg, err := messages.Next()
				if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
					b.losing.Do(func() { close(b.lost) })
					return
				}
				if err != nil {
					b.log.Warnf("reading %s: %v", b.meta.Subject, err)
					continue
				}
				b.handle(ctx, msg, handle)
			}
		})
	}
	b.wg.Go(func() {
		select {
		case <-ctx.Done():
		case <-b.closed:
		}
		messages.Stop()
	})
	return nil
}

// Lost is closed when reading ended: because its context did, or because the consumer was deleted at the server.
func (b *natsBinding) Lost() <-chan struct{} { return b.lost }

// handle acknowledges after the handler; while it runs, the server is told that work goes on.
func (b *natsBinding) handle(ctx context.Context, msg jetstream.Msg, handle bindings.Handler) {
	done := make(chan struct{})
	var alive sync.WaitGroup
	alive.Go(func() {
		tick := time.NewTicker(natsAckWait / 3)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_ = msg.InProgress()
			}
		}
	})
	meta := map[string]string{"subject": msg.Subject()}
	if m, err := msg.Metadata(); err == nil {
		meta["sequence"] = strconv.FormatUint(m.Sequence.Stream, 10)
		meta["deliveries"] = strconv.FormatUint(m.NumDelivered, 10)
	}
	for k, v := range msg.Headers() {
		if len(v) > 0 {
			meta[k] = v[0]
		}
	}
	_, err := handle(ctx, &bindings.ReadResponse{Data: msg.Data(), Metadata: meta})
	close(done)
	alive.Wait()
	if err != nil {
		err = msg.NakWithDelay(time.Second)
	} else {
		err = msg.Ack()
	}
	if err != nil {
		b.log.Warnf("acknowledging a message of %s: %v", b.meta.Subject, err)
	}
}

func (b *natsBinding) Close() error {
	b.once.Do(func() { close(b.closed) })
	b.wg.Wait()
	b.conn.Close()
	return nil
}

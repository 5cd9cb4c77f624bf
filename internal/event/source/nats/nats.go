// Package nats takes the messages of a NATS subject or of a JetStream stream. A stream's are acknowledged when their events are
// safe; what is sent to a subject while nobody listens is lost, as NATS does it.
package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.NATSSpec.
type spec struct {
	URL           string `json:"url"`
	Subject       string `json:"subject"`
	Queue         string `json:"queue"`
	Stream        string `json:"stream"`
	Durable       string `json:"durable"`
	DeliverPolicy string `json:"deliverPolicy"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	Token         string `json:"token"`
	Credentials   string `json:"credentials"`
	NKey          string `json:"nkey"`
	CaCert        string `json:"caCert"`
	ClientCert    string `json:"clientCert"`
	ClientKey     string `json:"clientKey"`
}

// New makes a source.
func New(c source.Config) (source.Source, error) {
	var s spec
	if err := c.Decode(&s); err != nil {
		return nil, err
	}
	switch {
	case s.URL == "":
		return nil, source.Required("url")
	case s.Subject == "" && s.Stream == "":
		return nil, source.Invalid{Field: "subject", Problem: "subject, stream or both are required"}
	}
	own := s.Durable == ""
	if own {
		s.Durable = strings.NewReplacer(".", "_", "*", "_", ">", "_", " ", "_", "/", "_").Replace(c.Consumer())
	}
	l := &listener{id: c.Identity, spec: s, own: own}
	var err error
	l.options, err = s.options()
	return l, err
}

func (s spec) options() ([]nats.Option, error) {
	o := []nats.Option{nats.Name("ofn"), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second), nats.Timeout(10 * time.Second)}
	switch {
	case s.Credentials != "":
		o = append(o, nats.UserCredentialBytes([]byte(s.Credentials)))
	case s.NKey != "":
		pair, err := nkeys.FromSeed([]byte(s.NKey))
		if err != nil {
			return nil, source.Invalid{Field: "nkey", Problem: "it is no seed: " + err.Error()}
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, source.Invalid{Field: "nkey", Problem: err.Error()}
		}
		o = append(o, nats.Nkey(public, pair.Sign))
	case s.Token != "":
		o = append(o, nats.Token(s.Token))
	case s.Username != "":
		o = append(o, nats.UserInfo(s.Username, s.Password))
	}
	if s.CaCert != "" || s.ClientCert != "" {
		t, err := source.TLS(s.CaCert, s.ClientCert, s.ClientKey, false)
		if err != nil {
			return nil, err
		}
		o = append(o, nats.Secure(t))
	}
	return o, nil
}

type listener struct {
	id      source.Identity
	spec    spec
	options []nats.Option
	own     bool // the consumer was named, and made, by this source
}

const window = 256

func (l *listener) Run(ctx context.Context, out source.Out) error {
	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	o := append([]nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil && ctx.Err() == nil {
				out.Trouble(fmt.Errorf("the connection to NATS was lost: %w", err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { out.Connected() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				fail(fmt.Errorf("%w: %w", source.ErrDenied, err))
				return
			}
			out.Trouble(err)
		}),
		nats.ClosedHandler(func(nc *nats.Conn) { fail(fmt.Errorf("the connection to NATS was closed: %w", nc.LastError())) }),
	}, l.options...)
	nc, err := nats.Connect(l.spec.URL, o...)
	if err != nil {
		return source.Ended(ctx, denied(fmt.Errorf("connecting to NATS: %w", err)))
	}
	defer nc.Close()
	if l.spec.Stream != "" {
		err = l.stream(ctx, nc, out, failed)
	} else {
		err = l.subject(ctx, nc, out, failed)
	}
	return source.Ended(ctx, denied(err))
}

func denied(err error) error {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) {
		return fmt.Errorf("%w: %w", source.ErrDenied, err)
	}
	return err
}

func (l *listener) subject(ctx context.Context, nc *nats.Conn, out source.Out, failed <-chan error) error {
	messages := make(chan *nats.Msg, window)
	sub, err := nc.ChanQueueSubscribe(l.spec.Subject, l.spec.Queue, messages)
	if err != nil {
		return fmt.Errorf("subscribing to %s: %w", l.spec.Subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		return fmt.Errorf("subscribing to %s: %w", l.spec.Subject, err)
	}
	out.Connected()
	w := source.NewWindow(ctx, window, out.Emit)
	defer func() { _ = w.Close() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case m := <-messages:
			if err := w.Add(l.event(m.Header, m.Subject, "", m.Data, time.Now()), func() {}); err != nil {
				return err
			}
		}
	}
}

func (l *listener) stream(ctx context.Context, nc *nats.Conn, out source.Out, failed <-chan error) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	cons, err := l.consumer(ctx, js)
	if err != nil {
		return fmt.Errorf("making consumer %s of stream %s: %w", l.spec.Durable, l.spec.Stream, err)
	}
	beats, end := context.WithCancel(ctx)
	var beating sync.WaitGroup
	defer beating.Wait()
	defer end()
	w := source.NewWindow(ctx, window, out.Emit)
	defer func() { _ = w.Close() }()
	reading, err := cons.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			out.Trouble(err)
			return
		}
		stop := make(chan struct{})
		beating.Go(func() { beat(beats, m, stop) })
		e := l.event(m.Headers(), m.Subject(), fmt.Sprintf("%s/%d", meta.Stream, meta.Sequence.Stream), m.Data(), meta.Timestamp)
		_ = w.Add(e, func() { // the error is of a window that has ended: the message comes again
			close(stop)
			_ = m.Ack()
			out.Waiting(int64(min(meta.NumPending, 1<<62)))
		})
	}, jetstream.PullMaxMessages(window), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) {
			out.Trouble(err)
		}
	}))
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", l.spec.Stream, err)
	}
	out.Connected()
	select {
	case <-ctx.Done():
	case err = <-failed:
	case <-reading.Closed():
		err = fmt.Errorf("consumer %s of stream %s was deleted", l.spec.Durable, l.spec.Stream)
	}
	reading.Stop()
	<-reading.Closed() // no handler begins after that
	return err
}

func (l *listener) consumer(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	cons, err := js.Consumer(ctx, l.spec.Stream, l.spec.Durable)
	if err == nil || !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return cons, err
	}
	c := jetstream.ConsumerConfig{
		Durable: l.spec.Durable, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
		AckWait: ackWait, MaxAckPending: window, FilterSubject: l.spec.Subject,
	}
	if l.spec.DeliverPolicy == "all" {
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	return js.CreateConsumer(ctx, l.spec.Stream, c)
}

// Forget deletes the consumer that this source made: it would hold a stream's messages for ever.
func (l *listener) Forget(ctx context.Context) error {
	if l.spec.Stream == "" || !l.own {
		return nil
	}
	nc, err := nats.Connect(l.spec.URL, l.options...)
	if err != nil {
		return fmt.Errorf("connecting to NATS: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	err = js.DeleteConsumer(ctx, l.spec.Stream, l.spec.Durable)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("deleting consumer %s of stream %s: %w", l.spec.Durable, l.spec.Stream, err)
	}
	return nil
}

const ackWait = 30 * time.Second

// beat tells the server that a message is still being handled: it would come again otherwise.
func beat(ctx context.Context, m jetstream.Msg, stop <-chan struct{}) {
	tick := time.NewTicker(ackWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-stop:
			return
		case <-tick.C:
			_ = m.InProgress()
		}
	}
}

func (l *listener) event(h nats.Header, subject, id string, data []byte, at time.Time) cloudevent.Event {
	header := make(map[string]string, len(h))
	for name := range h {
		header[strings.ToLower(name)] = h.Get(name)
	}
	e := l.id.Message(header, "", id, data, at)
	if e.Source == l.id.URI() && e.Subject == "" {
		e.Subject = subject
	}
	return e
}

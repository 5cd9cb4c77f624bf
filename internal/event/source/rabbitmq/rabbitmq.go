// Package rabbitmq takes the messages of a RabbitMQ queue. Each is acknowledged when its event is safe.
package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.RabbitMQSpec.
type spec struct {
	URL          string `json:"url"`
	Username     string `json:"username"`
	Password     string `json:"password"`
	Queue        string `json:"queue"`
	Exchange     string `json:"exchange"`
	ExchangeType string `json:"exchangeType"`
	RoutingKey   string `json:"routingKey"`
	QueueType    string `json:"queueType"`
	Durable      *bool  `json:"durable"`
	Prefetch     int    `json:"prefetch"`
	CaCert       string `json:"caCert"`
	ClientCert   string `json:"clientCert"`
	ClientKey    string `json:"clientKey"`
}

// New makes a source.
func New(c source.Config) (source.Source, error) {
	s := spec{ExchangeType: "topic", RoutingKey: "#", QueueType: "classic", Prefetch: 32}
	if err := c.Decode(&s); err != nil {
		return nil, err
	}
	u, err := url.Parse(s.URL)
	switch {
	case s.URL == "":
		return nil, source.Required("url")
	case err != nil || u.Host == "" || u.Scheme != "amqp" && u.Scheme != "amqps":
		return nil, source.Invalid{Field: "url", Problem: "it must be like amqp://host:5672/vhost"}
	case s.Queue == "":
		return nil, source.Required("queue")
	case s.Prefetch < 1:
		return nil, source.Invalid{Field: "prefetch", Problem: "it must be 1 or more"}
	}
	if s.Username != "" || s.Password != "" {
		user, password := u.User.Username(), ""
		password, _ = u.User.Password()
		if s.Username != "" {
			user = s.Username
		}
		if s.Password != "" {
			password = s.Password
		}
		u.User = url.UserPassword(user, password)
	}
	q := &queue{id: c.Identity, spec: s, url: u}
	if u.Scheme == "amqps" {
		if q.tls, err = source.TLS(s.CaCert, s.ClientCert, s.ClientKey, false); err != nil {
			return nil, err
		}
	}
	return q, nil
}

type queue struct {
	id   source.Identity
	spec spec
	url  *url.URL
	tls  *tls.Config
}

func (q *queue) Run(ctx context.Context, out source.Out) error {
	conn, err := amqp.DialConfig(q.url.String(), amqp.Config{
		TLSClientConfig: q.tls, Heartbeat: 10 * time.Second, Locale: "en_US", Properties: amqp.Table{"connection_name": "ofn " + q.id.URI()},
		Dial: func(network, addr string) (net.Conn, error) {
			d := net.Dialer{Timeout: 10 * time.Second}
			c, err := d.DialContext(ctx, network, addr)
			if err == nil { // of the handshake
				err = c.SetDeadline(time.Now().Add(30 * time.Second))
			}
			return c, err
		},
	})
	if err != nil {
		return source.Ended(ctx, denied(fmt.Errorf("connecting to RabbitMQ at %s: %w", q.url.Host, err)))
	}
	defer func() { _ = conn.CloseDeadline(time.Now().Add(hangUpWithin)) }()
	ch, messages, err := q.open(ctx, conn)
	if err != nil {
		return source.Ended(ctx, denied(err))
	}
	return source.Ended(ctx, denied(q.consume(ctx, conn, ch, messages, out)))
}

const (
	answerWithin = time.Minute
	hangUpWithin = 5 * time.Second
)

// open declares the queue and begins to read it. The broker never answers about a quorum queue whose members it has lost, so that the end of
// ctx or of patience hangs up.
func (q *queue) open(ctx context.Context, conn *amqp.Connection) (*amqp.Channel, <-chan amqp.Delivery, error) {
	patience, end := context.WithTimeout(ctx, answerWithin)
	defer end()
	answered := context.AfterFunc(patience, func() { _ = conn.CloseDeadline(time.Now().Add(hangUpWithin)) })
	ch, messages, err := q.begin(ctx, conn)
	if !answered() {
		return nil, nil, fmt.Errorf("RabbitMQ at %s does not answer about queue %s within %s: a quorum queue whose members are lost is like that; delete it, and it is made anew", q.url.Host, q.spec.Queue, answerWithin)
	}
	return ch, messages, err
}

func (q *queue) begin(ctx context.Context, conn *amqp.Connection) (*amqp.Channel, <-chan amqp.Delivery, error) {
	if err := q.declare(conn); err != nil {
		return nil, nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, nil, fmt.Errorf("opening a channel: %w", err)
	}
	if err := ch.Qos(q.spec.Prefetch, 0, false); err != nil {
		return nil, nil, fmt.Errorf("limiting the messages under way: %w", err)
	}
	messages, err := ch.ConsumeWithContext(ctx, q.spec.Queue, "ofn", false, false, false, false, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("reading queue %s: %w", q.spec.Queue, err)
	}
	return ch, messages, nil
}

func denied(err error) error {
	var a *amqp.Error
	if errors.Is(err, amqp.ErrCredentials) || errors.Is(err, amqp.ErrSASL) || errors.As(err, &a) && a.Code == amqp.AccessRefused {
		return fmt.Errorf("%w: %w", source.ErrDenied, err)
	}
	return err
}

// declare makes the queue if it is not there, and binds it. One that is there is used as it is.
func (q *queue) declare(conn *amqp.Connection) error {
	there, err := q.on(conn, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(q.spec.Queue, true, false, false, false, nil)
		return err
	})
	if err != nil {
		return err
	}
	_, err = q.on(conn, func(ch *amqp.Channel) error {
		if !there {
			durable := q.spec.Durable == nil || *q.spec.Durable
			if _, err := ch.QueueDeclare(q.spec.Queue, durable, false, false, false, amqp.Table{amqp.QueueTypeArg: q.spec.QueueType}); err != nil {
				return fmt.Errorf("declaring queue %s: %w", q.spec.Queue, err)
			}
		}
		if q.spec.Exchange == "" {
			return nil
		}
		if err := ch.ExchangeDeclare(q.spec.Exchange, q.spec.ExchangeType, true, false, false, false, nil); err != nil {
			return fmt.Errorf("declaring exchange %s: %w", q.spec.Exchange, err)
		}
		if err := ch.QueueBind(q.spec.Queue, q.spec.RoutingKey, q.spec.Exchange, false, nil); err != nil {
			return fmt.Errorf("binding queue %s to exchange %s: %w", q.spec.Queue, q.spec.Exchange, err)
		}
		return nil
	})
	return err
}

// on does something on a channel of its own, which errors close. found is false when what was named is not there.
func (q *queue) on(conn *amqp.Connection, do func(*amqp.Channel) error) (found bool, err error) {
	ch, err := conn.Channel()
	if err != nil {
		return false, fmt.Errorf("opening a channel: %w", err)
	}
	defer func() { _ = ch.Close() }()
	err = do(ch)
	var a *amqp.Error
	if errors.As(err, &a) && a.Code == amqp.NotFound {
		return false, nil
	}
	return err == nil, err
}

func (q *queue) consume(ctx context.Context, conn *amqp.Connection, ch *amqp.Channel, messages <-chan amqp.Delivery, out source.Out) error {
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	gone := ch.NotifyCancel(make(chan string, 1))
	out.Connected()
	w := source.NewWindow(ctx, q.spec.Prefetch, out.Emit)
	defer func() { _ = w.Close() }() // what is not safe is not acknowledged, and comes again
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-gone:
			return fmt.Errorf("queue %s was deleted", q.spec.Queue)
		case m, ok := <-messages:
			if !ok {
				return q.lost(ctx, closed)
			}
			if err := w.Add(q.event(m), func() { _ = m.Ack(false) }); err != nil {
				return err
			}
		}
	}
}

func (q *queue) lost(ctx context.Context, closed <-chan *amqp.Error) error {
	grace := time.NewTimer(time.Second)
	defer grace.Stop()
	select {
	case err := <-closed:
		if err != nil {
			return fmt.Errorf("the connection to RabbitMQ at %s was lost: %w", q.url.Host, err)
		}
	case <-ctx.Done():
	case <-grace.C:
	}
	return fmt.Errorf("RabbitMQ at %s closed the channel", q.url.Host)
}

func (q *queue) event(m amqp.Delivery) cloudevent.Event {
	header := make(map[string]string, len(m.Headers))
	for name, value := range m.Headers {
		switch v := value.(type) {
		case []byte:
			header[strings.ToLower(name)] = string(v)
		case time.Time:
			header[strings.ToLower(name)] = v.UTC().Format(time.RFC3339Nano)
		case amqp.Table, []any:
		default:
			header[strings.ToLower(name)] = fmt.Sprint(v)
		}
	}
	id := ""
	if m.MessageId != "" {
		id = source.Hash(q.spec.Queue, m.MessageId)
	}
	at := m.Timestamp
	if id == "" {
		at = time.Now() // nothing tells it from another with the same payload
	}
	return q.id.Message(header, m.ContentType, id, m.Body, at)
}

// Package mqtt takes the messages of MQTT topics. With a quality of service of 1 (the default) or 2 and a session that the broker
// keeps, nothing is lost while the source is away; messages are acknowledged when their events are safe.
package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.MQTTSpec.
type spec struct {
	URL          string `json:"url"`
	Topic        string `json:"topic"`
	ConsumerID   string `json:"consumerID"`
	Qos          *byte  `json:"qos"`
	CleanSession bool   `json:"cleanSession"`
	CaCert       string `json:"caCert"`
	ClientCert   string `json:"clientCert"`
	ClientKey    string `json:"clientKey"`
	Username     string `json:"username"`
	Password     string `json:"password"`
}

const (
	patience = 30 * time.Second
	// unacknowledged bounds what is under way of messages that the broker does not count: those of quality 0.
	unacknowledged = 4096
	goodbye        = 250 // milliseconds for what is still to be written
)

// New makes a source.
func New(c source.Config) (source.Source, error) {
	var s spec
	if err := c.Decode(&s); err != nil {
		return nil, err
	}
	u, err := url.Parse(s.URL)
	switch {
	case s.URL == "":
		return nil, source.Required("url")
	case err != nil || u.Host == "":
		return nil, source.Invalid{Field: "url", Problem: "it must be like tcp://host:1883 or ssl://host:8883"}
	case s.Topic == "":
		return nil, source.Required("topic")
	}
	sub := &subscription{id: c.Identity, topic: s.Topic, qos: 1, host: u.Host}
	if s.Qos != nil {
		if *s.Qos > 2 {
			return nil, source.Invalid{Field: "qos", Problem: "it must be 0, 1 or 2"}
		}
		sub.qos = *s.Qos
	}
	sub.options, err = s.options(u, c.Consumer())
	return sub, err
}

func (s spec) options(u *url.URL, id string) (*paho.ClientOptions, error) {
	if s.ConsumerID != "" {
		id = s.ConsumerID
	}
	if u.Scheme == "mqtts" || u.Scheme == "tls" {
		u.Scheme = "ssl"
	}
	o := paho.NewClientOptions().AddBroker(u.String()).SetClientID(id).SetCleanSession(s.CleanSession).
		SetAutoReconnect(false).SetConnectRetry(false).SetOrderMatters(false).SetAutoAckDisabled(true).
		SetConnectTimeout(patience).SetKeepAlive(20 * time.Second).SetPingTimeout(10 * time.Second)
	if s.Username != "" {
		o.SetUsername(s.Username)
	}
	if s.Password != "" {
		o.SetPassword(s.Password)
	}
	if s.CaCert != "" || s.ClientCert != "" || u.Scheme == "ssl" {
		t, err := source.TLS(s.CaCert, s.ClientCert, s.ClientKey, false)
		if err != nil {
			return nil, err
		}
		o.SetTLSConfig(t)
	}
	return o, nil
}

type subscription struct {
	id      source.Identity
	topic   string
	qos     byte
	host    string
	options *paho.ClientOptions
}

func (s *subscription) Run(ctx context.Context, out source.Out) error {
	lost := make(chan error, 1)
	var under sync.WaitGroup
	var mu sync.Mutex // handlers begin only before Run waits for them
	open := true
	room := make(chan struct{}, unacknowledged)
	handle := func(_ paho.Client, m paho.Message) {
		mu.Lock()
		if !open || ctx.Err() != nil {
			mu.Unlock()
			return // it is not acknowledged: the broker keeps it
		}
		under.Add(1)
		mu.Unlock()
		defer under.Done()
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
		default:
			out.Trouble(fmt.Errorf("a message of topic %s was dropped: %d wait already, and messages of quality 0 are not kept by the broker", m.Topic(), unacknowledged))
			return
		}
		if out.Emit(ctx, s.event(m, time.Now())) == nil {
			m.Ack()
		}
	}
	o := *s.options
	o.SetDefaultPublishHandler(handle) // what the broker kept comes before the subscription is made anew
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err })
	client := paho.NewClient(&o)
	if err := wait(ctx, client.Connect()); err != nil {
		return source.Ended(ctx, s.denied(fmt.Errorf("connecting to the MQTT broker at %s: %w", s.host, err)))
	}
	err := s.listen(ctx, client, out, handle, lost)
	mu.Lock()
	open = false
	mu.Unlock()
	under.Wait() // acknowledgements go out before the connection is closed
	client.Disconnect(goodbye)
	return source.Ended(ctx, err)
}

// Forget ends the session that the broker keeps: it would gather messages for ever.
func (s *subscription) Forget(ctx context.Context) error {
	o := *s.options
	o.SetCleanSession(true)
	client := paho.NewClient(&o)
	if err := wait(ctx, client.Connect()); err != nil {
		return fmt.Errorf("ending the session at the MQTT broker at %s: %w", s.host, err)
	}
	client.Disconnect(goodbye)
	return nil
}

func (s *subscription) listen(ctx context.Context, client paho.Client, out source.Out, handle paho.MessageHandler, lost <-chan error) error {
	t := client.Subscribe(s.topic, s.qos, handle)
	if err := wait(ctx, t); err != nil {
		return fmt.Errorf("subscribing to %s: %w", s.topic, err)
	}
	if sub, ok := t.(*paho.SubscribeToken); ok {
		for _, granted := range sub.Result() {
			if granted > 2 {
				return fmt.Errorf("%w: the broker does not let it subscribe to %s", source.ErrDenied, s.topic)
			}
		}
	}
	out.Connected()
	select {
	case <-ctx.Done():
		return nil
	case err := <-lost:
		return fmt.Errorf("the connection to the MQTT broker at %s was lost: %w", s.host, err)
	}
}

func (s *subscription) denied(err error) error {
	if errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword) || errors.Is(err, packets.ErrorRefusedNotAuthorised) {
		return fmt.Errorf("%w: %w", source.ErrDenied, err)
	}
	return err
}

func wait(ctx context.Context, t paho.Token) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-limit.C:
		return errors.New("the broker does not answer")
	}
}

// event is a message as an event. MQTT has nothing that tells a message from the next one with the same payload, so every delivery
// has an id of its own: one that comes twice is two events, and none is taken for another.
func (s *subscription) event(m paho.Message, at time.Time) cloudevent.Event {
	id := source.Hash(m.Topic(), strconv.Itoa(int(m.MessageID())), at.UTC().Format(time.RFC3339Nano), string(m.Payload()))
	e := s.id.Message(nil, "", id, m.Payload(), at)
	if e.Source == s.id.URI() && e.Subject == "" {
		e.Subject = m.Topic()
		if e.Validate() != nil {
			e.Subject = ""
		}
	}
	return e
}

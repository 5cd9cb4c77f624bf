// Package kafka takes the messages of Kafka topics as a consumer group. The group's place moves on only over events that are safe.
package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.KafkaSpec.
type spec struct {
	Brokers         string `json:"brokers"`
	AuthRequired    bool   `json:"authRequired"`
	Topic           string `json:"topic"`
	SaslUsername    string `json:"saslUsername"`
	SaslPassword    string `json:"saslPassword"`
	SaslMechanism   string `json:"saslMechanism"`
	MaxMessageBytes int32  `json:"maxMessageBytes"`
	ConsumerGroup   string `json:"consumerGroup"`
	InitialOffset   string `json:"initialOffset"`
	TLS             bool   `json:"tls"`
	CaCert          string `json:"caCert"`
	ClientCert      string `json:"clientCert"`
	ClientKey       string `json:"clientKey"`
	SkipVerify      bool   `json:"skipVerify"`
}

// window is how many events of one partition are under way.
const window = 64

// New makes a source.
func New(c source.Config) (source.Source, error) {
	var s spec
	if err := c.Decode(&s); err != nil {
		return nil, err
	}
	g := &group{id: c.Identity, name: s.ConsumerGroup, newest: s.InitialOffset != "oldest"}
	if g.brokers = list(s.Brokers); len(g.brokers) == 0 {
		return nil, source.Required("brokers")
	}
	if g.topics = list(s.Topic); len(g.topics) == 0 {
		g.topics = []string{c.Event}
	}
	if g.name == "" {
		g.name = c.Consumer()
	}
	var err error
	g.config, err = s.config()
	return g, err
}

func list(s string) (all []string) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" && !slices.Contains(all, part) {
			all = append(all, part)
		}
	}
	return all
}

func (s spec) config() (*sarama.Config, error) {
	c := sarama.NewConfig()
	c.ClientID = "ofn"
	c.ChannelBufferSize = window
	c.Consumer.Return.Errors = true
	c.Consumer.Offsets.Initial = sarama.OffsetOldest // of what Setup gives no place
	c.Consumer.Offsets.AutoCommit.Interval = 500 * time.Millisecond
	c.Consumer.MaxWaitTime = 250 * time.Millisecond
	c.Metadata.Retry.Max = 1
	c.Net.DialTimeout = 10 * time.Second
	if s.MaxMessageBytes > 0 {
		c.Consumer.Fetch.Default = max(c.Consumer.Fetch.Default, s.MaxMessageBytes)
	}
	if s.TLS || s.CaCert != "" || s.ClientCert != "" {
		t, err := source.TLS(s.CaCert, s.ClientCert, s.ClientKey, s.SkipVerify)
		if err != nil {
			return nil, err
		}
		c.Net.TLS.Enable, c.Net.TLS.Config = true, t
	}
	if s.AuthRequired {
		if err := s.login(c); err != nil {
			return nil, err
		}
	}
	if err := c.Validate(); err != nil {
		return nil, source.Invalid{Problem: err.Error()}
	}
	return c, nil
}

func (s spec) login(c *sarama.Config) error {
	if s.SaslUsername == "" || s.SaslPassword == "" {
		return source.Invalid{Field: "saslUsername", Problem: "authRequired needs saslUsername and saslPassword (secretRefs.saslPassword)"}
	}
	c.Net.SASL.Enable, c.Net.SASL.User, c.Net.SASL.Password = true, s.SaslUsername, s.SaslPassword
	switch strings.TrimPrefix(strings.ToUpper(s.SaslMechanism), "SCRAM-") {
	case "", "PLAIN":
		c.Net.SASL.Mechanism = sarama.SASLTypePlaintext
	case "SHA-256":
		c.Net.SASL.Mechanism, c.Net.SASL.SCRAMClientGeneratorFunc = sarama.SASLTypeSCRAMSHA256, scramSHA256
	case "SHA-512":
		c.Net.SASL.Mechanism, c.Net.SASL.SCRAMClientGeneratorFunc = sarama.SASLTypeSCRAMSHA512, scramSHA512
	default:
		return source.Invalid{Field: "saslMechanism", Problem: "it is none of PLAIN, SHA-256 and SHA-512: " + s.SaslMechanism}
	}
	return nil
}

type group struct {
	id      source.Identity
	brokers []string
	topics  []string
	name    string
	newest  bool
	config  *sarama.Config
}

func (g *group) Run(ctx context.Context, out source.Out) (err error) {
	client, err := sarama.NewClient(g.brokers, g.config)
	if err != nil {
		return source.Ended(ctx, denied(fmt.Errorf("connecting to Kafka at %s: %w", strings.Join(g.brokers, ","), err)))
	}
	members, err := sarama.NewConsumerGroupFromClient(g.name, client)
	if err != nil {
		return errors.Join(fmt.Errorf("joining consumer group %s: %w", g.name, err), client.Close())
	}
	h := &handler{group: g, client: client, out: out, behind: map[string]int64{}}
	var told sync.WaitGroup
	told.Go(func() {
		for err := range members.Errors() {
			if ctx.Err() == nil {
				h.trouble(err)
			}
		}
	})
	defer func() {
		closed := errors.Join(members.Close(), client.Close())
		told.Wait()
		if err == nil && ctx.Err() == nil {
			err = closed
		}
	}()
	for ctx.Err() == nil {
		if err := members.Consume(ctx, g.topics, h); err != nil {
			return source.Ended(ctx, denied(fmt.Errorf("reading %s: %w", strings.Join(g.topics, ","), err)))
		}
	}
	return nil
}

// denied finds out which errors are of the credentials.
func denied(err error) error {
	if errors.Is(err, sarama.ErrSASLAuthenticationFailed) || errors.Is(err, sarama.ErrTopicAuthorizationFailed) || errors.Is(err, sarama.ErrGroupAuthorizationFailed) {
		return fmt.Errorf("%w: %w", source.ErrDenied, err)
	}
	return err
}

// handler is the group's part in one round of balance.
type handler struct {
	group  *group
	client sarama.Client
	out    source.Out

	troubled atomic.Bool // since something was last read

	mu     sync.Mutex
	behind map[string]int64 // by partition
}

// trouble tells of what the client mends by itself: it says nothing when it has, and begins no new round.
func (h *handler) trouble(err error) {
	h.troubled.Store(true)
	h.out.Trouble(denied(err))
}

// Setup gives a place to partitions that the group has none in. Without one, "newest" would mean newest again after each restart,
// and what came in between would be lost.
func (h *handler) Setup(s sarama.ConsumerGroupSession) error {
	if h.group.newest {
		if err := h.place(s); err != nil {
			return fmt.Errorf("finding the place of group %s: %w", h.group.name, err)
		}
	}
	h.troubled.Store(false)
	h.out.Connected()
	return nil
}

func (h *handler) place(s sarama.ConsumerGroupSession) error {
	admin, err := sarama.NewClusterAdminFromClient(h.client) // closing it would close the client
	if err != nil {
		return err
	}
	known, err := admin.ListConsumerGroupOffsets(h.group.name, s.Claims())
	if err != nil {
		return err
	}
	for topic, partitions := range s.Claims() {
		fresh := true // the group never read the topic: partitions that are added later are read from their beginning
		for _, p := range partitions {
			if b := known.GetBlock(topic, p); b != nil && b.Offset >= 0 {
				fresh = false
			}
		}
		if !fresh {
			continue
		}
		for _, p := range partitions {
			at, err := h.client.GetOffset(topic, p, sarama.OffsetNewest)
			if err != nil {
				return err
			}
			s.MarkOffset(topic, p, at, "")
		}
	}
	s.Commit()
	return nil
}

// Cleanup ends a round.
func (h *handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim reads one partition until the round ends.
func (h *handler) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	w := source.NewWindow(s.Context(), window, h.out.Emit)
	defer func() { _ = w.Close() }() // what is not safe is not marked, and comes again
	for m := range claim.Messages() {
		if h.troubled.Swap(false) {
			h.out.Connected()
		}
		behind := claim.HighWaterMarkOffset() - m.Offset - 1
		err := w.Add(h.group.event(m), func() {
			s.MarkMessage(m, "")
			h.waiting(fmt.Sprint(m.Topic, "/", m.Partition), behind)
		})
		if err != nil {
			return nil
		}
	}
	return nil
}

// waiting adds up how far the partitions are behind.
func (h *handler) waiting(partition string, behind int64) {
	h.mu.Lock()
	h.behind[partition] = behind
	var sum int64
	for _, n := range h.behind {
		sum += n
	}
	h.mu.Unlock()
	h.out.Waiting(sum)
}

func (g *group) event(m *sarama.ConsumerMessage) cloudevent.Event {
	header := make(map[string]string, len(m.Headers))
	for _, h := range m.Headers {
		header[strings.ToLower(string(h.Key))] = string(h.Value)
	}
	e := g.id.Message(header, "", fmt.Sprintf("%s/%d/%d", m.Topic, m.Partition, m.Offset), m.Value, m.Timestamp)
	if len(m.Key) > 0 && e.Extension(cloudevent.PartitionKey) == "" {
		e.SetExtension(cloudevent.PartitionKey, string(m.Key))
		if e.Validate() != nil {
			e.SetExtension(cloudevent.PartitionKey, hex.EncodeToString(m.Key))
		}
	}
	return e
}

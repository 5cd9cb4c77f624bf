package jetstream

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/openfunction/ofn/internal/bus"
)

// Header fields beside those of the event.
const (
	headerKey       = "Ofn-Key"
	headerPartition = "ce-partitionkey" // of events that others put on the bus
	headerReserved  = "Nats-"
)

// plain is what every kind of NATS name may hold.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// token makes a stream or consumer name of any text; different texts have different names.
func token(text string) string {
	const longest = 100
	clean := strings.Map(func(r rune) rune {
		if r < 0x80 && plain(byte(r)) {
			return r
		}
		return '_'
	}, text)
	if clean == text && len(text) <= longest {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return clean[:min(len(clean), longest)] + "-" + hex.EncodeToString(sum[:6])
}

// Stream is the name of the stream of a bus of that name, where no other is given.
func Stream(bus string) string { return token("bus_" + strings.ReplaceAll(bus, "/", "_")) }

// Durable is what the server calls a consumer.
func Durable(consumer string) string { return token(consumer) }

// subject escapes a topic to what follows the bus's prefix; topicOf reverses it. Dots are kept, since people expect them to
// part a subject into tokens, unless a token would be empty.
func subject(topic string) string {
	var b strings.Builder
	b.Grow(len(topic))
	for i := range len(topic) {
		c := topic[i]
		switch {
		case plain(c), c == '/', c == ':', c == '@', c == '=', c == '+':
			b.WriteByte(c)
		case c == '.' && i > 0 && i < len(topic)-1 && topic[i-1] != '.':
			b.WriteByte(c)
		default:
			const digits = "0123456789ABCDEF"
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

func topicOf(escaped string) string {
	if topic, err := url.PathUnescape(escaped); err == nil {
		return topic
	}
	return escaped
}

// filters are the subjects of topics; none of them, or "*", is all.
func (b *Bus) filters(topics []string) []string {
	all := []string{b.prefix + ">"}
	if len(topics) == 0 {
		return all
	}
	seen := map[string]bool{}
	var subjects []string
	for _, t := range topics {
		if t == "*" {
			return all
		}
		if s := b.prefix + subject(t); !seen[s] {
			seen[s] = true
			subjects = append(subjects, s)
		}
	}
	return subjects
}

func (b *Bus) encode(m bus.Message) *nats.Msg {
	out := &nats.Msg{Subject: b.prefix + subject(m.Topic), Header: make(nats.Header, len(m.Header)+2), Data: m.Data}
	for name, value := range m.Header {
		out.Header[name] = []string{value}
	}
	if m.ID != "" { // of its topic: the server compares over the whole stream
		out.Header[nats.MsgIdHdr] = []string{subject(m.Topic) + "#" + m.ID}
	}
	if m.Key != "" {
		out.Header[headerKey] = []string{m.Key}
	}
	return out
}

func (b *Bus) decode(subject string, header nats.Header, data []byte) bus.Message {
	m := bus.Message{
		Topic: topicOf(strings.TrimPrefix(subject, b.prefix)), Data: data, Header: make(map[string]string, len(header)),
		ID: strings.TrimPrefix(header.Get(nats.MsgIdHdr), strings.TrimPrefix(subject, b.prefix)+"#"), Key: keyOf(header),
	}
	for name, values := range header {
		if len(values) > 0 && name != headerKey && !strings.HasPrefix(name, headerReserved) {
			m.Header[name] = values[0]
		}
	}
	return m
}

func keyOf(header nats.Header) string {
	if key := header.Get(headerKey); key != "" {
		return key
	}
	return header.Get(headerPartition)
}

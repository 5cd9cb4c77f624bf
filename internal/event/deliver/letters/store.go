// Package letters keeps dead letters on JetStream: one message a letter, with the event as it was. A letter is deleted by people,
// or by its age; when there is no room for another, Put fails, and the event stays where it came from: nothing that was
// acknowledged is lost to make room.
package letters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
)

const (
	prefix     = "ofn.deadletters."
	parts      = "ofn.deadletterparts." // of events that exceed one message
	headerMeta = "Ofn-Letter"
)

// Options bound what is kept. Zero fields are the defaults named with each.
type Options struct {
	Stream   string        // DEADLETTERS
	MaxAge   time.Duration // 30 days
	MaxBytes int64         // 1 GiB
	// Part is the largest piece of an event in one message; larger events are cut. 4 MiB, or half of what the server takes.
	Part int
}

// Server is where the stream is: jetstream.Embedded.
type Server interface {
	// JetStream is a connection to a server that runs, and starts it if need be.
	JetStream(ctx context.Context) (jetstream.JetStream, error)
	// Room is nil while there is room for more.
	Room() error
}

// Store is a deliver.Letters.
type Store struct {
	o      Options
	server Server

	mu     sync.Mutex
	js     jetstream.JetStream
	stream jetstream.Stream
}

var _ deliver.Letters = (*Store)(nil)

// New describes a store; nothing is started before it is used.
func New(s Server, o Options) *Store {
	if o.Stream == "" {
		o.Stream = "DEADLETTERS"
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 30 * 24 * time.Hour
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 30
	}
	if o.Part <= 0 {
		o.Part = 4 << 20
	}
	return &Store{o: o, server: s}
}

func (s *Store) open(ctx context.Context) (jetstream.JetStream, jetstream.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != nil {
		return s.js, s.stream, nil
	}
	js, err := s.server.JetStream(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the store of dead letters: %w", err)
	}
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: s.o.Stream, Description: "events that could not be delivered", Subjects: []string{prefix + ">", parts + ">"},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxAge: s.o.MaxAge, MaxBytes: s.o.MaxBytes, Duplicates: min(10*time.Minute, s.o.MaxAge), AllowDirect: true,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("opening the store of dead letters: %w", err)
	}
	if limit := int(js.Conn().MaxPayload()) / 2; limit > 0 {
		s.o.Part = min(s.o.Part, limit)
	}
	s.js, s.stream = js, stream
	return js, stream, nil
}

// kept is what of a letter is not its event.
type kept struct {
	deliver.Letter
	Parts []uint64 `json:"parts,omitempty"` // messages that the data are in, when they are not in this one
}

// Count is how many letters are kept.
func (s *Store) Count(ctx context.Context) (n int64, err error) {
	_, stream, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return 0, fmt.Errorf("counting the dead letters: %w", err)
	}
	for _, messages := range info.State.Subjects {
		n += int64(messages)
	}
	return n, nil
}

// Put returns when the letter is durable. bus.ErrFull says that there is no room.
func (s *Store) Put(ctx context.Context, l deliver.Letter) error {
	if err := s.server.Room(); err != nil {
		return err
	}
	js, _, err := s.open(ctx)
	if err != nil {
		return err
	}
	k, data := kept{Letter: l}, l.Event.Data
	k.ID = ""
	id := identity(l)
	if len(data) > s.o.Part {
		if k.Parts, err = s.cut(ctx, js, id, data); err != nil {
			return err
		}
		data = nil
	}
	meta, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("writing a dead letter: %w", err)
	}
	msg := nats.NewMsg(prefix + token(l.From.Namespace) + "." + token(string(l.From.Kind)))
	for name, value := range l.Event.Header() {
		msg.Header[name] = []string{value}
	}
	msg.Header.Set(headerMeta, string(meta))
	msg.Data = data
	_, err = js.PublishMsg(ctx, msg, jetstream.WithMsgID(id))
	return full(err)
}

func (s *Store) cut(ctx context.Context, js jetstream.JetStream, id string, data []byte) ([]uint64, error) {
	var at []uint64
	for n := 0; len(data) > 0; n++ {
		piece := data[:min(len(data), s.o.Part)]
		data = data[len(piece):]
		ack, err := js.Publish(ctx, parts+id, piece, jetstream.WithMsgID(id+"-"+strconv.Itoa(n)))
		if err != nil {
			return nil, full(err)
		}
		at = append(at, ack.Sequence)
	}
	return at, nil
}

func full(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &api) && (api.ErrorCode == 10077 || api.ErrorCode == 10047 || api.ErrorCode == 10023):
		return fmt.Errorf("%w: dead letters wait for you: look at them with ofn deadletters, redrive or delete them", bus.ErrFull)
	}
	return fmt.Errorf("keeping a dead letter: %w", err)
}

// identity is the same for what a crash makes be put twice.
func identity(l deliver.Letter) string {
	e := cloudevent.Event{ID: l.Event.DedupeID(), Source: strings.Join([]string{string(l.From.Kind), l.From.String(), l.From.Event, l.Part}, "\x00")}
	if l.Sink != nil {
		e.Source += "\x00" + deliver.Describe(*l.Sink)
	}
	return e.DedupeID()
}

// List is the letters of a filter, oldest first.
func (s *Store) List(ctx context.Context, f deliver.Filter) ([]deliver.Letter, error) {
	_, stream, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	next, limit := uint64(1), f.Limit
	if f.After != "" {
		after, err := sequence(f.After)
		if err != nil {
			return nil, err
		}
		next = after + 1
	}
	if limit <= 0 {
		limit = 100
	}
	subject := prefix + ">"
	if f.Namespace != "" {
		subject = prefix + token(f.Namespace) + ".>"
	}
	var out []deliver.Letter
	for len(out) < limit {
		raw, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading dead letters: %w", err)
		}
		next = raw.Sequence + 1
		l, _, err := decode(raw)
		if err != nil {
			return nil, err
		}
		if f.Match(l) {
			out = append(out, l)
		}
	}
	return out, nil
}

// Get is one letter with its whole event, or deliver.ErrNoLetter.
func (s *Store) Get(ctx context.Context, id string) (deliver.Letter, error) {
	l, pieces, err := s.get(ctx, id)
	if err != nil {
		return deliver.Letter{}, err
	}
	for _, seq := range pieces {
		raw, err := s.stream.GetMsg(ctx, seq)
		if err != nil {
			return deliver.Letter{}, fmt.Errorf("reading dead letter %s: %w", id, err)
		}
		l.Event.Data = append(l.Event.Data, raw.Data...)
	}
	return l, nil
}

func (s *Store) get(ctx context.Context, id string) (deliver.Letter, []uint64, error) {
	_, stream, err := s.open(ctx)
	if err != nil {
		return deliver.Letter{}, nil, err
	}
	seq, err := sequence(id)
	if err != nil {
		return deliver.Letter{}, nil, err
	}
	raw, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && !strings.HasPrefix(raw.Subject, prefix) {
		return deliver.Letter{}, nil, deliver.ErrNoLetter
	}
	if err != nil {
		return deliver.Letter{}, nil, fmt.Errorf("reading dead letter %s: %w", id, err)
	}
	return decode(raw)
}

// Delete removes a letter; unknown ones are deliver.ErrNoLetter.
func (s *Store) Delete(ctx context.Context, id string) error {
	_, pieces, err := s.get(ctx, id)
	if err != nil {
		return err
	}
	seq, _ := sequence(id)
	for _, n := range append(pieces, seq) {
		if err := s.stream.DeleteMsg(ctx, n); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("deleting dead letter %s: %w", id, err)
		}
	}
	return nil
}

func sequence(id string) (uint64, error) {
	seq, err := strconv.ParseUint(id, 10, 64)
	if err != nil || seq == 0 {
		return 0, deliver.ErrNoLetter
	}
	return seq, nil
}

func decode(raw *jetstream.RawStreamMsg) (deliver.Letter, []uint64, error) {
	var k kept
	if err := json.Unmarshal([]byte(raw.Header.Get(headerMeta)), &k); err != nil {
		return deliver.Letter{}, nil, fmt.Errorf("reading dead letter %d: %w", raw.Sequence, err)
	}
	header := make(map[string]string, len(raw.Header))
	for name := range raw.Header {
		header[name] = raw.Header.Get(name)
	}
	// What came as a broken event is kept as it came: the header is taken for what it says.
	e, _, _ := cloudevent.FromHeader(header, raw.Data)
	k.Event = e
	k.ID = strconv.FormatUint(raw.Sequence, 10)
	return k.Letter, k.Parts, nil
}

// token is text as a part of a subject.
func token(s string) string {
	if s == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(".*> \t\r\n", r) {
			return '_'
		}
		return r
	}, s)
}

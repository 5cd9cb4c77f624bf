// Package letters keeps dead letters on JetStream: one message a letter, with the event as it was. A letter is deleted by people,
// or by its age; when there is no room for another, Put fails, and the event stays where it came from: nothing that was
// acknowledged is lost to make room.
package letters

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
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
	js, stream, err := s.open(ctx)
	if err != nil {
		return err
	}
	w := writer{js: js, stream: stream, part: s.o.Part}
	if err := w.put(ctx, l); err != nil {
		s.mend(ctx, err)
		return full(err)
	}
	return nil
}

// mend lets a server recover that does not answer: one that could not write answers no more until it is started anew.
func (s *Store) mend(ctx context.Context, cause error) {
	server, ok := s.server.(interface{ Heal(context.Context) error })
	silent := errors.Is(cause, nats.ErrTimeout) || errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, nats.ErrNoResponders) ||
		errors.Is(cause, jetstream.ErrNoStreamResponse)
	if !ok || !silent {
		return
	}
	const patience = 30 * time.Second // the caller's may be over
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_ = server.Heal(ctx) // it logs, and the next Put tells
}

func full(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == 10077 || api.ErrorCode == 10047 || api.ErrorCode == 10023) {
		return fmt.Errorf("%w: dead letters wait for you: look at them with ofn deadletters, redrive or delete them", bus.ErrFull)
	}
	return fmt.Errorf("keeping a dead letter: %w", err)
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
		k, err := decode(raw)
		if err != nil {
			return nil, err
		}
		if f.Match(k.Letter) {
			out = append(out, k.Letter)
		}
	}
	return out, nil
}

// Get is one letter with its whole event, or deliver.ErrNoLetter.
func (s *Store) Get(ctx context.Context, id string) (deliver.Letter, error) {
	k, err := s.get(ctx, id)
	if err != nil {
		return deliver.Letter{}, err
	}
	for _, seq := range k.Parts {
		raw, err := s.stream.GetMsg(ctx, seq)
		if err != nil {
			return deliver.Letter{}, fmt.Errorf("reading dead letter %s: %w", id, err)
		}
		k.Event.Data = append(k.Event.Data, raw.Data...)
	}
	if !k.Whole {
		return k.Letter, nil
	}
	l, err := unwrap(k.Event.Data)
	if err != nil {
		return deliver.Letter{}, fmt.Errorf("reading dead letter %s: %w", id, err)
	}
	l.ID = k.ID
	return l, nil
}

func (s *Store) get(ctx context.Context, id string) (*kept, error) {
	_, stream, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	seq, err := sequence(id)
	if err != nil {
		return nil, err
	}
	raw, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && !strings.HasPrefix(raw.Subject, prefix) {
		return nil, deliver.ErrNoLetter
	}
	if err != nil {
		return nil, fmt.Errorf("reading dead letter %s: %w", id, err)
	}
	return decode(raw)
}

// Delete removes a letter; unknown ones are deliver.ErrNoLetter.
func (s *Store) Delete(ctx context.Context, id string) error {
	k, err := s.get(ctx, id)
	if err != nil {
		return err
	}
	seq, _ := sequence(id)
	for _, n := range append(k.Parts, seq) {
		if err := s.remove(ctx, n); err != nil {
			return fmt.Errorf("deleting dead letter %s: %w", id, err)
		}
	}
	return nil
}

// remove is no error when there is nothing: the answer to a deletion before may have been lost.
func (s *Store) remove(ctx context.Context, seq uint64) error {
	err := s.stream.DeleteMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		if _, gone := s.stream.GetMsg(ctx, seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
			return nil
		}
	}
	return err
}

func sequence(id string) (uint64, error) {
	seq, err := strconv.ParseUint(id, 10, 64)
	if err != nil || seq == 0 {
		return 0, deliver.ErrNoLetter
	}
	return seq, nil
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

package calls

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/textproto"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The streams, and the header that holds what is not a body.
const (
	requestStream  = "OFN_CALLS"
	recordStream   = "OFN_CALL_RECORDS"
	requestSubject = "ofncalls.request."
	recordSubject  = "ofncalls.record."
	metaHeader     = "Ofn-Call"
	sizeHeader     = "Nats-Msg-Size" // of bodies that are left out
)

// ioTimeout bounds one exchange with the streams.
const ioTimeout = 10 * time.Second

// journal is the two streams.
type journal struct {
	log      *slog.Logger
	js       jetstream.JetStream
	requests jetstream.Stream
	records  jetstream.Stream
}

// openJournal makes the streams where there are none.
func openJournal(ctx context.Context, log *slog.Logger, js jetstream.JetStream) (*journal, error) {
	j := &journal{log: log, js: js}
	var err error
	j.requests, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: requestStream, Description: "requests of calls that have not succeeded yet",
		Subjects: []string{requestSubject + "*"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, AllowDirect: true,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the stream of calls: %w", err)
	}
	j.records, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: recordStream, Description: "the newest record of each call, with its result",
		Subjects: []string{recordSubject + "*"}, Storage: jetstream.FileStorage, MaxMsgsPerSubject: 1, AllowDirect: true,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the stream of the records of calls: %w", err)
	}
	return j, nil
}

// room is how many bytes a body may have.
func (j *journal) room() int { return int(j.js.Conn().MaxPayload()) - maxHeader - maxPath - 16<<10 }

// message is what one message of a stream holds: a record in its header, so that it can be read without the rest, and a header
// and a body of HTTP: those of the request, or those of the result.
type message struct {
	record *record
	header http.Header
	body   []byte
	at     stored
}

// putRequest returns when the call is on disk. certain is false when an error leaves open whether it is.
func (j *journal) putRequest(ctx context.Context, r *record, payload []byte) (seq uint64, certain bool, err error) {
	seq, err = j.put(ctx, requestSubject+r.ID, r, payload)
	var refused *jetstream.APIError
	return seq, err == nil || errors.As(err, &refused), err
}

// putRecord returns when the state is on disk.
func (j *journal) putRecord(ctx context.Context, r *record, payload []byte) (uint64, error) {
	return j.put(ctx, recordSubject+r.ID, r, payload)
}

func (j *journal) put(ctx context.Context, subject string, r *record, payload []byte) (uint64, error) {
	meta, err := encode(r)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	ack, err := j.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: nats.Header{metaHeader: {meta}}, Data: payload}, jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, fmt.Errorf("writing to %s: %w", subject, err)
	}
	return ack.Sequence, nil
}

// request reads a call back.
func (j *journal) request(ctx context.Context, seq uint64) (*message, error) {
	return read(ctx, j.requests, seq)
}

// record reads a record back.
func (j *journal) record(ctx context.Context, seq uint64) (*message, error) {
	return read(ctx, j.records, seq)
}

// newest reads the newest record of a call back, which may be one that is just being written.
func (j *journal) newest(ctx context.Context, id string) (*message, error) {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	return parse(j.records.GetLastMsgForSubject(ctx, recordSubject+id))
}

func read(ctx context.Context, s jetstream.Stream, seq uint64) (*message, error) {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	return parse(s.GetMsg(ctx, seq))
}

func parse(raw *jetstream.RawStreamMsg, err error) (*message, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("reading from disk: %w", ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("reading from disk: %w", err)
	}
	m := &message{record: new(record), at: stored{raw.Sequence, len(raw.Data)}}
	if err := json.Unmarshal([]byte(raw.Header.Get(metaHeader)), m.record); err != nil {
		return nil, fmt.Errorf("reading message %d of %s: %w", raw.Sequence, raw.Subject, err)
	}
	if m.header, m.body, err = unframe(raw.Data); err != nil {
		return nil, fmt.Errorf("reading message %d of %s: %w", raw.Sequence, raw.Subject, err)
	}
	return m, nil
}

// frame puts a header, in the form that it has on the wire, before a body. Nothing of both is nothing.
func frame(h http.Header, body []byte) []byte {
	if len(h) == 0 && len(body) == 0 {
		return nil
	}
	var b bytes.Buffer
	b.Grow(headerSize(h) + 4*len(h) + 2 + len(body))
	_ = h.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// unframe is frame undone.
func unframe(data []byte) (http.Header, []byte, error) {
	if len(data) == 0 {
		return nil, nil, nil
	}
	if rest, ok := bytes.CutPrefix(data, []byte("\r\n")); ok {
		return nil, rest, nil
	}
	head, body, ok := bytes.Cut(data, []byte("\r\n\r\n"))
	if !ok {
		return nil, nil, errors.New("the header has no end")
	}
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(data[:len(head)+4]))).ReadMIMEHeader()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the header: %w", err)
	}
	return http.Header(h), body, nil
}

func (j *journal) deleteRequest(ctx context.Context, seq uint64) error {
	return remove(ctx, j.requests, seq)
}
func (j *journal) deleteRecord(ctx context.Context, seq uint64) error {
	return remove(ctx, j.records, seq)
}

// remove is no error when there is nothing.
func remove(ctx context.Context, s jetstream.Stream, seq uint64) error {
	if seq == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	err := s.DeleteMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // which the server also says of what is gone: an answer before may have been lost
		if _, gone := s.GetMsg(ctx, seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("deleting message %d: %w", seq, err)
	}
	return nil
}

// undo makes sure that a request of which it is not known whether it is on disk is not. It reports whether that is known now.
func (j *journal) undo(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	m, err := j.requests.GetLastMsgForSubject(ctx, requestSubject+id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true
	}
	return err == nil && remove(ctx, j.requests, m.Sequence) == nil
}

// load gives each message of both streams, without the bodies, in the order they were written. What cannot be read is logged and
// left where it is: one damaged message must not keep the others from being handled.
func (j *journal) load(ctx context.Context, onRequest, onRecord func(*record, stored)) error {
	if err := each(ctx, j.log, j.requests, onRequest); err != nil {
		return fmt.Errorf("reading the calls: %w", err)
	}
	if err := each(ctx, j.log, j.records, onRecord); err != nil {
		return fmt.Errorf("reading the records of calls: %w", err)
	}
	return nil
}

// stored is where a message is, and how many bytes its body has.
type stored struct {
	seq  uint64
	size int
}

// loadBatch is how many messages are asked for at a time.
const loadBatch = 1000

func each(ctx context.Context, log *slog.Logger, s jetstream.Stream, do func(*record, stored)) error {
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	if info.State.Msgs == 0 {
		return nil
	}
	c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverAllPolicy, MemoryStorage: true, InactiveThreshold: time.Minute})
	if err != nil {
		return err
	}
	defer func() { _ = s.DeleteConsumer(context.WithoutCancel(ctx), c.CachedInfo().Name) }() // it ends by itself a minute later
	for last := info.State.LastSeq; ; {
		batch, err := c.Fetch(loadBatch, jetstream.FetchMaxWait(ioTimeout))
		if err != nil {
			return err
		}
		for m := range batch.Messages() {
			at, err := deliver(log, m, do)
			if err != nil {
				return err
			}
			if at.Sequence.Stream >= last || at.NumPending == 0 {
				return nil
			}
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil {
			return err
		}
	}
}

func deliver(log *slog.Logger, m jetstream.Msg, do func(*record, stored)) (*jetstream.MsgMetadata, error) {
	at, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	v := new(record)
	if err := json.Unmarshal([]byte(m.Headers().Get(metaHeader)), v); err != nil {
		log.Error("a call on disk cannot be read and is left alone", "subject", m.Subject(), "sequence", at.Sequence.Stream, "err", err)
		return at, nil
	}
	var size int
	_, _ = fmt.Sscan(m.Headers().Get(sizeHeader), &size) // 0 when the server does not tell
	do(v, stored{at.Sequence.Stream, size})
	return at, nil
}

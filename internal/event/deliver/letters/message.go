package letters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
)

// maxHeader bounds the header of a message: the server takes 64 KiB.
const maxHeader = 48 << 10

// kept is what of a letter is not its event.
type kept struct {
	deliver.Letter
	Parts []uint64 `json:"parts,omitempty"` // messages that the data are in, when they are not in this one
	// Whole says that the data are a wrapped letter: its header would have been too large.
	Whole bool `json:"whole,omitempty"`
}

// wrapped is a letter with its event.
type wrapped struct {
	Letter deliver.Letter    `json:"letter"`
	Header map[string]string `json:"header"`
	Data   []byte            `json:"data"`
}

func unwrap(data []byte) (deliver.Letter, error) {
	var w wrapped
	if err := json.Unmarshal(data, &w); err != nil {
		return deliver.Letter{}, err
	}
	w.Letter.Event, _, _ = cloudevent.FromHeader(w.Header, w.Data)
	return w.Letter, nil
}

// brief is what is shown of a letter whose header is too large.
func brief(l deliver.Letter) deliver.Letter {
	const most = 1 << 10
	cut := func(s string) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }
	e := cloudevent.Event{ID: cut(l.Event.ID), Source: cut(l.Event.Source), Type: cut(l.Event.Type)}
	l.Part, l.Cause, l.Sink, l.Context, l.Event = cut(l.Part), cut(l.Cause), nil, nil, e
	l.From.Event, l.Answer = cut(l.From.Event), l.Answer[:min(len(l.Answer), most)]
	return l
}

// writer writes letters.
type writer struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	part   int
	fresh  []uint64 // parts that were not there before
}

func (w *writer) put(ctx context.Context, l deliver.Letter) error {
	id := identity(l)
	l.ID = ""
	k, data := kept{Letter: l}, l.Event.Data
	msg, err := w.message(k)
	if err != nil {
		return err
	}
	if headerSize(msg.Header) > maxHeader {
		if data, err = json.Marshal(wrapped{l, l.Event.Header(), l.Event.Data}); err != nil {
			return fmt.Errorf("writing a dead letter: %w", err)
		}
		k = kept{Letter: brief(l), Whole: true}
	}
	if len(data) > w.part {
		if k.Parts, err = w.cut(ctx, id, data); err != nil {
			return w.undo(ctx, err)
		}
		data = nil
	}
	if msg, err = w.message(k); err != nil {
		return err
	}
	msg.Data = data
	_, err = w.publish(ctx, msg, id)
	return w.undo(ctx, err)
}

// undo removes the parts of a letter that was refused: nobody could see them, and they would fill the store. What may have been written
// all the same keeps its parts.
func (w *writer) undo(ctx context.Context, err error) error {
	if refused := (*jetstream.APIError)(nil); errors.As(err, &refused) {
		for _, seq := range w.fresh {
			_ = w.stream.DeleteMsg(ctx, seq) // it goes with its age otherwise
		}
	}
	return err
}

func (w *writer) message(k kept) (*nats.Msg, error) {
	meta, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("writing a dead letter: %w", err)
	}
	msg := nats.NewMsg(prefix + token(k.From.Namespace) + "." + token(string(k.From.Kind)))
	for name, value := range k.Event.Header() {
		msg.Header[name] = []string{value}
	}
	msg.Header.Set(headerMeta, string(meta))
	return msg, nil
}

func headerSize(h nats.Header) (n int) {
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n
}

func (w *writer) cut(ctx context.Context, id string, data []byte) ([]uint64, error) {
	var at []uint64
	for n := 0; len(data) > 0; n++ {
		piece := nats.NewMsg(parts + id)
		piece.Data = data[:min(len(data), w.part)]
		data = data[len(piece.Data):]
		seq, err := w.publish(ctx, piece, id+"-"+strconv.Itoa(n))
		if err != nil {
			return nil, err
		}
		at = append(at, seq)
	}
	return at, nil
}

// publish writes a message, unless it is there already. The server remembers for a while what was there and is not any more: a
// letter that was deleted must not swallow the next one of the same event.
func (w *writer) publish(ctx context.Context, m *nats.Msg, id string) (uint64, error) {
	for {
		ack, err := w.js.PublishMsg(ctx, m, jetstream.WithMsgID(id))
		if err != nil {
			return 0, err
		}
		if !ack.Duplicate {
			if strings.HasPrefix(m.Subject, parts) {
				w.fresh = append(w.fresh, ack.Sequence)
			}
			return ack.Sequence, nil
		}
		if _, err = w.stream.GetMsg(ctx, ack.Sequence); !errors.Is(err, jetstream.ErrMsgNotFound) {
			return ack.Sequence, err
		}
		id += "/" + strconv.FormatUint(ack.Sequence, 10)
	}
}

// identity is the same for what a crash makes be put twice. Two ways of one event to the same function are two letters.
func identity(l deliver.Letter) string {
	way, _ := json.Marshal(l.Context) // of strings, in order
	e := cloudevent.Event{ID: l.Event.DedupeID(), Source: strings.Join([]string{string(l.From.Kind), l.From.String(), l.From.Event, l.Part, string(way)}, "\x00")}
	if l.Sink != nil {
		e.Source += "\x00" + deliver.Describe(*l.Sink)
	}
	return e.DedupeID()
}

func decode(raw *jetstream.RawStreamMsg) (*kept, error) {
	k := new(kept)
	if err := json.Unmarshal([]byte(raw.Header.Get(headerMeta)), k); err != nil {
		return nil, fmt.Errorf("reading dead letter %d: %w", raw.Sequence, err)
	}
	header := make(map[string]string, len(raw.Header))
	for name := range raw.Header {
		header[name] = raw.Header.Get(name)
	}
	// What came as a broken event is kept as it came: the header is taken for what it says.
	k.Event, _, _ = cloudevent.FromHeader(header, raw.Data)
	k.ID = strconv.FormatUint(raw.Sequence, 10)
	return k, nil
}

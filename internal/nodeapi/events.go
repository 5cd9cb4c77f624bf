package nodeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openfunction/ofn/internal/bus"
)

// Buses lends the buses that a namespace sees: its own, and those of the cluster.
type Buses interface {
	// Bus is a bus by name; ErrNoBus when there is none. release must be called.
	Bus(ctx context.Context, namespace, name string) (b bus.Bus, release func(), err error)
}

// ErrNoBus says that there is no bus of a name.
var ErrNoBus = errors.New("there is no such event bus")

// Event is an event of a bus as it is shown: one of Data and Base64 has its data.
type Event struct {
	Topic    string            `json:"topic"`
	ID       string            `json:"id,omitempty"`
	Key      string            `json:"key,omitempty"`
	Sequence uint64            `json:"sequence,omitempty"`
	Time     time.Time         `json:"time,omitzero"`
	Header   map[string]string `json:"header,omitempty"`
	Data     string            `json:"data,omitempty"`
	Base64   []byte            `json:"dataBase64,omitempty"`
}

// Published tells of an event that is on a bus.
type Published struct {
	Sequence  uint64 `json:"sequence,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

// Replayed tells how a replay ended. Error is empty when everything was replayed.
type Replayed struct {
	Events int    `json:"events"`
	Last   uint64 `json:"last,omitempty"` // sequence of the last event that was
	Error  string `json:"error,omitempty"`
}

// MaxEvent bounds the data of an event that is published here, in bytes.
const MaxEvent = 8 << 20

// ShowEvent is an event as it is shown.
func ShowEvent(m bus.Stored) Event {
	e := Event{Topic: m.Topic, ID: m.ID, Key: m.Key, Sequence: m.Sequence, Time: m.Time, Header: m.Header}
	if utf8.Valid(m.Data) {
		e.Data = string(m.Data)
	} else {
		e.Base64 = m.Data
	}
	return e
}

// withBus finds the bus of a request.
func (h *handler) withBus(do func(http.ResponseWriter, *http.Request, bus.Bus)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if h.o.Buses == nil {
			http.Error(w, "this control plane has no event buses", http.StatusNotFound)
			return
		}
		b, release, err := h.o.Buses.Bus(r.Context(), r.PathValue("namespace"), r.PathValue("bus"))
		if err != nil {
			h.failed(w, r, err)
			return
		}
		defer release()
		do(w, r, b)
	}
}

// failed tells an error of a bus, or of the dead letters.
func (h *handler) failed(w http.ResponseWriter, r *http.Request, err error) {
	for _, known := range []struct {
		err  error
		code int
	}{{ErrNoBus, http.StatusNotFound}, {ErrNoLetter, http.StatusNotFound}, {bus.ErrTooLarge, http.StatusRequestEntityTooLarge},
		{bus.ErrFull, http.StatusInsufficientStorage}, {bus.ErrUnsupported, http.StatusNotImplemented}, {errQuery, http.StatusBadRequest}, {ErrRefused, http.StatusConflict}} {
		if errors.Is(err, known.err) {
			http.Error(w, err.Error(), known.code)
			return
		}
	}
	h.o.Log.Error("serving events", "path", r.URL.Path, "err", err)
	http.Error(w, "internal error: see the log of the platform", http.StatusInternalServerError)
}

var errQuery = errors.New("bad request")

// from reads where a reader begins: all=true, since=TIME, sequence=N, or nothing, which is from now on.
func from(r *http.Request) (f bus.From, err error) {
	v := r.URL.Query()
	f.All = v.Get("all") == "true"
	if s := v.Get("sequence"); s != "" {
		if f.Sequence, err = strconv.ParseUint(s, 10, 64); err != nil {
			return f, fmt.Errorf("%w: sequence=%q is not a sequence number", errQuery, s)
		}
	}
	if s := v.Get("since"); s != "" {
		if f.Time, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return f, fmt.Errorf("%w: since=%q is not an RFC 3339 time", errQuery, s)
		}
	}
	return f, nil
}

func topics(r *http.Request) []string {
	if t := r.URL.Query()["topic"]; len(t) > 0 {
		return t
	}
	return []string{"*"}
}

// errEnough ends a reading.
var errEnough = errors.New("enough")

// tail streams what a bus keeps and gets, an Event a line.
func (h *handler) tail(w http.ResponseWriter, r *http.Request, b bus.Bus) {
	at, err := from(r)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		limit = 0
	}
	control := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	sent := 0
	begin := func() error {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
		return control.Flush()
	}
	follow := r.URL.Query().Get("follow") == "true"
	if follow && begin() != nil { // nothing yet is an answer too
		return
	}
	err = b.Read(r.Context(), topics(r), at, follow, func(m bus.Stored) error {
		if sent == 0 && !follow {
			if err := begin(); err != nil {
				return err
			}
		}
		if err := enc.Encode(ShowEvent(m)); err != nil {
			return err
		}
		if sent++; sent == limit {
			return errEnough
		}
		return control.Flush()
	})
	if err != nil && sent == 0 && !follow && !errors.Is(err, errEnough) {
		h.failed(w, r, err)
	}
}

// publish puts an event of HTTP's binary mode on a topic.
func (h *handler) publish(w http.ResponseWriter, r *http.Request, b bus.Bus) {
	topic := r.URL.Query().Get("topic")
	if topic == "" || topic == "*" {
		h.failed(w, r, fmt.Errorf("%w: topic= says where the event goes", errQuery))
		return
	}
	m := bus.Message{Topic: topic, Key: r.URL.Query().Get("key"), Header: map[string]string{}}
	for name, values := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "ce-") || name == "content-type" {
			m.Header[name] = strings.Join(values, ",")
		}
	}
	for _, needed := range []string{"ce-specversion", "ce-id", "ce-source", "ce-type"} {
		if m.Header[needed] == "" {
			h.failed(w, r, fmt.Errorf("%w: a CloudEvent in binary mode is needed, and its %s is missing", errQuery, needed))
			return
		}
	}
	m.ID = r.URL.Query().Get("id")
	var err error
	if m.Data, err = io.ReadAll(http.MaxBytesReader(w, r.Body, MaxEvent)); err != nil {
		h.failed(w, r, fmt.Errorf("%w: reading the data: %w", errQuery, err))
		return
	}
	receipt, err := b.Publish(r.Context(), m)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	writeJSON(w, Published(receipt))
}

// replay brings events that a bus keeps to a function, or puts them on the bus again, in their order. The answer comes at the end.
func (h *handler) replay(w http.ResponseWriter, r *http.Request, b bus.Bus) {
	at, err := from(r)
	v := r.URL.Query()
	until, untilErr := time.Time{}, error(nil)
	if s := v.Get("until"); s != "" {
		if until, untilErr = time.Parse(time.RFC3339Nano, s); untilErr != nil {
			untilErr = fmt.Errorf("%w: until=%q is not an RFC 3339 time", errQuery, s)
		}
	}
	if err := errors.Join(err, untilErr); err != nil {
		h.failed(w, r, err)
		return
	}
	if at == (bus.From{}) {
		h.failed(w, r, fmt.Errorf("%w: since=, sequence= or all=true says where the replay begins", errQuery))
		return
	}
	var done Replayed
	deliver := h.again(b, r.PathValue("namespace"), v.Get("function"), v.Get("totopic"))
	err = b.Read(r.Context(), topics(r), at, false, func(m bus.Stored) error {
		if !until.IsZero() && !m.Time.Before(until) {
			return nil
		}
		if err := deliver(r.Context(), m); err != nil {
			return fmt.Errorf("event %d of topic %s: %w", m.Sequence, m.Topic, err)
		}
		done.Events++
		done.Last = m.Sequence
		return nil
	})
	if err != nil {
		done.Error = err.Error()
	}
	writeJSON(w, done)
}

// again is what replay does with an event.
func (h *handler) again(b bus.Bus, namespace, function, topic string) func(context.Context, bus.Stored) error {
	if function != "" {
		return func(ctx context.Context, m bus.Stored) error { return h.post(ctx, namespace, function, m) }
	}
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	return func(ctx context.Context, m bus.Stored) error {
		copied := m.Message
		if topic != "" {
			copied.Topic = topic
		}
		copied.ID = "replay-" + run + "-" + strconv.FormatUint(m.Sequence, 10) // it is no duplicate of itself
		_, err := b.Publish(ctx, copied)
		return err
	}
}

// post sends an event to NAME[/PATH] through the gateway.
func (h *handler) post(ctx context.Context, namespace, function string, m bus.Stored) error {
	name, path, _ := strings.Cut(function, "/")
	to := h.o.Gateway.JoinPath("/", path)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(string(m.Data)))
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	req.Host = name + "." + namespace + ".svc." + h.o.ClusterDomain
	for k, v := range m.Header {
		req.Header.Set(k, v)
	}
	resp, err := h.o.Transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("calling %s: %w", name, err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %d", name, resp.StatusCode)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that is gone wants nothing
}

package cloudevent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// Media types of the structured modes.
const (
	MediaType      = "application/cloudevents+json"
	BatchMediaType = "application/cloudevents-batch+json"
)

// FromJSON is an event in the JSON format. The error is an ErrInvalid.
func FromJSON(b []byte) (Event, error) {
	var in sdk.Event
	if err := json.Unmarshal(b, &in); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return fromSDK(in)
}

// FromBatch is the events of the JSON batch format. One broken event breaks the batch.
func FromBatch(b []byte) ([]Event, error) {
	var in []json.RawMessage
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if in == nil {
		return nil, fmt.Errorf("%w: a batch is a list", ErrInvalid)
	}
	out := make([]Event, 0, len(in))
	for i, raw := range in {
		e, err := FromJSON(raw)
		if err != nil {
			return nil, fmt.Errorf("event %d of the batch: %w", i, err)
		}
		out = append(out, e)
	}
	return out, nil
}

func fromSDK(in sdk.Event) (Event, error) {
	if in.SpecVersion() != SpecVersion {
		return Event{}, fmt.Errorf("%w: specversion %q is not supported, only %s is", ErrInvalid, in.SpecVersion(), SpecVersion)
	}
	e := Event{
		ID: in.ID(), Source: in.Source(), Type: in.Type(), Subject: in.Subject(), DataContentType: in.DataContentType(),
		DataSchema: in.DataSchema(), Time: in.Time(), Data: in.Data(),
	}
	if e.DataContentType == "" && len(e.Data) > 0 && !in.DataBase64 {
		e.DataContentType = "application/json"
	}
	for name, value := range in.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			return Event{}, fmt.Errorf("%w: attribute %s: %w", ErrInvalid, name, err)
		}
		e.SetExtension(name, text)
	}
	return e, e.Validate()
}

// JSON is the event in the JSON format.
func (e *Event) JSON() ([]byte, error) {
	out := sdk.New(SpecVersion)
	out.SetID(e.ID)
	out.SetSource(e.Source)
	out.SetType(e.Type)
	if e.Subject != "" {
		out.SetSubject(e.Subject)
	}
	if e.DataSchema != "" {
		out.SetDataSchema(e.DataSchema)
	}
	if !e.Time.IsZero() {
		out.SetTime(e.Time)
	}
	for name, value := range e.Extensions {
		out.SetExtension(name, value)
	}
	if e.DataContentType != "" {
		out.SetDataContentType(e.DataContentType)
	}
	out.DataEncoded = e.Data
	out.DataBase64 = !textual(e.DataContentType, e.Data)
	b, err := out.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return b, nil
}

// textual tells whether data can stand in JSON as they are.
func textual(contentType string, data []byte) bool {
	if IsJSON(contentType) {
		return json.Valid(data)
	}
	return strings.HasPrefix(contentType, "text/") && validText(string(bytes.Map(spaces, data))) == nil
}

func spaces(r rune) rune {
	if r == '\n' || r == '\t' || r == '\r' {
		return ' '
	}
	return r
}

// IsJSON tells whether a media type is JSON.
func IsJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = strings.ToLower(strings.TrimSpace(contentType))
	}
	return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

// media is the type of a Content-Type without its parameters.
func media(contentType string) string {
	m, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return strings.ToLower(strings.TrimSpace(contentType))
	}
	return m
}

// FromHTTP is the events of a request or answer in any mode of the HTTP binding: one, or those of a batch. found is false when it
// carries none. A broken one is an ErrInvalid.
func FromHTTP(h http.Header, body []byte) (events []Event, found bool, err error) {
	switch m := media(h.Get("Content-Type")); {
	case m == MediaType:
		e, err := FromJSON(body)
		return []Event{e}, true, err
	case m == BatchMediaType:
		events, err := FromBatch(body)
		return events, true, err
	case strings.HasPrefix(m, "application/cloudevents"):
		return nil, true, fmt.Errorf("%w: format %s is not supported, only JSON is", ErrInvalid, m)
	}
	e, found, err := fromHeader(func(yield func(string, string) bool) {
		for name, values := range h {
			if len(values) > 0 && !yield(name, values[0]) {
				return
			}
		}
	}, body)
	if !found {
		return nil, false, nil
	}
	return []Event{e}, true, err
}

// FromMessage is the event of a broker's message: in binary mode by its headers, in structured mode by its content type, or, where
// the broker has none, by what it looks like. found is false for everything else, a batch and a broken event included: what a
// broker holds is carried as it is.
func FromMessage(header map[string]string, data []byte) (e Event, found bool) {
	if e, found, err := FromHeader(header, data); found {
		return e, err == nil
	}
	kind := ""
	for name, value := range header {
		if strings.EqualFold(name, contentType) {
			kind = value
		}
	}
	if m := media(kind); m == MediaType || kind == "" && looksStructured(data) {
		e, err := FromJSON(data)
		return e, err == nil
	}
	return Event{}, false
}

func looksStructured(data []byte) bool {
	data = bytes.TrimSpace(data)
	return len(data) > 0 && data[0] == '{' && bytes.Contains(data, []byte(`"specversion"`))
}

// Sniff is the content type of data that came without one.
func Sniff(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	if json.Valid(data) {
		return "application/json"
	}
	return "application/octet-stream"
}

// ReadLimited reads a body of at most limit bytes; a larger one is io.ErrShortBuffer.
func ReadLimited(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		return b[:limit], io.ErrShortBuffer
	}
	return b, err
}

package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// mode is how a request carries events.
type mode int

const (
	noMode mode = iota // perhaps a legacy event
	unknownMode
	binaryMode
	structuredMode
	batchMode
)

const (
	eventType  = "application/cloudevents"
	batchType  = eventType + "-batch+json"
	objectType = eventType + "+json"
)

func modeOf(h http.Header) mode {
	media := ""
	if contentType := h.Get("Content-Type"); contentType != "" {
		media = mediaType(contentType)
	}
	switch {
	case media == batchType:
		return batchMode
	case media == objectType:
		return structuredMode
	case strings.HasPrefix(media, eventType):
		return unknownMode
	case h.Get("Ce-Specversion") != "":
		return binaryMode
	}
	return noMode
}

// readEvents returns the events of a request, all of them valid.
func readEvents(m mode, h http.Header, body []byte) ([]event.Event, *refusal) {
	var d *draft
	switch m {
	case batchMode:
		return readBatch(body)
	case structuredMode:
		var err error
		if d, err = parseDraft(body); err != nil {
			return nil, badRequest("the CloudEvent is not a JSON object: %s", detail(err))
		}
	case binaryMode:
		d = headerDraft(h, body)
	default:
		var no *refusal
		if m == noMode {
			d, no = legacyDraft(body)
		}
		if no != nil {
			return nil, no
		}
		if d == nil {
			return nil, &refusal{http.StatusUnsupportedMediaType, "the request is not a CloudEvent: send the ce- headers, " +
				"or the content type application/cloudevents+json or application/cloudevents-batch+json"}
		}
	}
	e, no := d.event("the CloudEvent")
	return []event.Event{e}, no
}

func readBatch(body []byte) ([]event.Event, *refusal) {
	var elements []json.RawMessage
	err := json.Unmarshal(body, &elements)
	if err == nil && elements == nil {
		err = fmt.Errorf("it is %s", body)
	}
	if err != nil {
		return nil, badRequest("the batch is not a JSON array of CloudEvents: %s", detail(err))
	}
	events := make([]event.Event, len(elements))
	for i, raw := range elements {
		subject := fmt.Sprintf("CloudEvent %d of %d", i+1, len(elements))
		d, err := parseDraft(raw)
		if err != nil {
			return nil, badRequest("%s is not a JSON object: %s", subject, detail(err))
		}
		var no *refusal
		if events[i], no = d.event(subject); no != nil {
			return nil, no
		}
	}
	return events, nil
}

// headerDraft is the event of binary mode.
func headerDraft(h http.Header, body []byte) *draft {
	d := &draft{attributes: map[string]any{}}
	for key, values := range h {
		name, ok := strings.CutPrefix(key, "Ce-")
		if name = strings.ToLower(name); ok && validName(name) && name != "datacontenttype" {
			d.attributes[name] = percentDecoded(values[0])
		}
	}
	if contentType := h.Get("Content-Type"); contentType != "" {
		d.attributes["datacontenttype"] = contentType
	}
	if len(body) > 0 {
		d.data = body
	}
	return d
}

// percentDecoded leaves alone what is not encoded well.
func percentDecoded(v string) string {
	if !strings.Contains(v, "%") {
		return v
	}
	var out strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) {
			if c, err := url.PathUnescape(v[i : i+3]); err == nil {
				out.WriteString(c)
				i += 2
				continue
			}
		}
		out.WriteByte(v[i])
	}
	if !utf8.ValidString(out.String()) {
		return v
	}
	return out.String()
}

// percentEncoded is a value as a header of binary mode.
func percentEncoded(v string) string {
	var out strings.Builder
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c == '"' || c == '%' || c >= 0x7F {
			fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

// member is an attribute of an event that is sent.
type member struct {
	name  string
	value any
}

// members are the attributes in the order of the contract: the four that every event has, then the others by name.
func members(e *event.Event) []member {
	more := map[string]any{}
	maps.Copy(more, e.Extensions())
	for name, value := range map[string]string{"subject": e.Subject(), "datacontenttype": e.DataContentType(), "dataschema": e.DataSchema()} {
		if value != "" {
			more[name] = value
		}
	}
	if !e.Time().IsZero() {
		more["time"] = types.FormatTime(e.Time())
	}
	list := []member{{"specversion", e.SpecVersion()}, {"id", e.ID()}, {"source", e.Source()}, {"type", e.Type()}}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		list = append(list, member{name, more[name]})
	}
	return list
}

// writeReplies answers with the events that functions returned.
func writeReplies(w http.ResponseWriter, m mode, replies []*event.Event) {
	if m == batchMode {
		w.Header().Set("Content-Type", batchType)
		_, _ = w.Write(batchJSON(replies)) // a client that has gone is told nothing
		return
	}
	e := replies[0]
	for _, a := range members(e) {
		text, err := types.Format(a.value)
		switch {
		case err != nil: // not a value that CloudEvents have
		case a.name == "datacontenttype":
			w.Header().Set("Content-Type", text)
		default:
			w.Header().Set("Ce-"+a.name, percentEncoded(text))
		}
	}
	_, _ = w.Write(e.Data())
}

func batchJSON(events []*event.Event) []byte {
	out := []byte("[")
	for i, e := range events {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '{')
		for _, a := range members(e) {
			out = appendMember(out, a.name, a.value)
		}
		switch data := e.Data(); {
		case len(data) == 0:
		case isJSON(e.DataContentType()) && json.Valid(data):
			out = appendMember(out, "data", json.RawMessage(data))
		case strings.HasPrefix(e.DataContentType(), "text/") && utf8.Valid(data):
			out = appendMember(out, "data", string(data))
		default:
			out = appendMember(out, "data_base64", data)
		}
		out[len(out)-1] = '}' // in place of the comma
	}
	return append(out, ']')
}

// appendMember appends "name":value and a comma.
func appendMember(out []byte, name string, value any) []byte {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if enc.Encode(value) != nil {
		return out
	}
	return fmt.Appendf(out, "%q:%s,", name, bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}

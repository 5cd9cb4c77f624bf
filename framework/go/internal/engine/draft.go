package engine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
)

// draft is an event before anybody looked whether it is valid.
type draft struct {
	attributes map[string]any // string, bool, json.Number; nil for what no attribute can be
	data       []byte
	badData    bool
}

// text is an attribute as text.
func (d *draft) text(name string) string {
	switch v := d.attributes[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// event checks the draft; subject says which event it is.
func (d *draft) event(subject string) (event.Event, *refusal) {
	e := event.New()
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if v, there := d.attributes[name]; !there || v == "" {
			return e, badRequest("%s lacks the attribute %s", subject, name)
		}
	}
	if v := d.text("specversion"); v != event.CloudEventsVersionV1 {
		return e, badRequest("%s has the specversion %q, but 1.0 is needed", subject, v)
	}
	for _, name := range slices.Sorted(maps.Keys(d.attributes)) {
		if d.attributes[name] == nil || !validName(name) || d.set(e.Context, name) != nil {
			return e, badRequest("%s has an invalid attribute %s", subject, name)
		}
	}
	if d.badData {
		return e, badRequest("%s has invalid data", subject)
	}
	e.DataEncoded = d.data
	e.DataBase64 = !isJSON(e.DataContentType()) && !utf8.Valid(d.data)
	return e, nil
}

// set sets an attribute of ctx.
func (d *draft) set(ctx event.EventContext, name string) error {
	text := d.text(name)
	switch name {
	case "specversion":
		return nil
	case "id":
		return ctx.SetID(text)
	case "source":
		return ctx.SetSource(text)
	case "type":
		return ctx.SetType(text)
	case "subject":
		return ctx.SetSubject(text)
	case "datacontenttype":
		return ctx.SetDataContentType(text)
	case "dataschema":
		return ctx.SetDataSchema(text)
	case "time":
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return err
		}
		return ctx.SetTime(t)
	}
	return ctx.SetExtension(name, d.extension(name))
}

// extension is the value with the type that CloudEvents have for it.
func (d *draft) extension(name string) any {
	n, ok := d.attributes[name].(json.Number)
	if !ok {
		return d.attributes[name]
	}
	if i, err := strconv.ParseInt(n.String(), 10, 32); err == nil {
		return int32(i)
	}
	return n.String()
}

func validName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// parseDraft reads the JSON of one event.
func parseDraft(text []byte) (*draft, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	if members == nil {
		return nil, errors.New("it is null")
	}
	d := &draft{attributes: map[string]any{}}
	for name, raw := range members {
		if name != "data" && name != "data_base64" && !isNull(raw) {
			d.attributes[name] = attribute(raw)
		}
	}
	d.readData(members["data"], members["data_base64"])
	return d, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// attribute is nil for objects and arrays.
func attribute(raw json.RawMessage) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	switch v.(type) {
	case string, bool, json.Number:
		return v
	}
	return nil
}

func (d *draft) readData(data, encoded json.RawMessage) {
	switch {
	case !isNull(data) && !isNull(encoded):
		d.badData = true
	case !isNull(encoded):
		var text string
		if d.badData = json.Unmarshal(encoded, &text) != nil; d.badData {
			return
		}
		var err error
		d.data, err = base64.StdEncoding.DecodeString(text)
		d.badData = err != nil
	case !isNull(data):
		if _, ok := d.attributes["datacontenttype"]; !ok {
			d.attributes["datacontenttype"] = event.ApplicationJSON
		}
		d.data = data
		var text string
		if !isJSON(d.text("datacontenttype")) && json.Unmarshal(data, &text) == nil {
			d.data = []byte(text)
		}
	}
}

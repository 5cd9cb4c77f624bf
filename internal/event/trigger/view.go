package trigger

import (
	"encoding/json"
	"mime"
	"strings"
	"unicode/utf8"
)

// event is the attributes: optional ones that are not set are absent, so that has(event.subject) tells.
func (v *View) event() map[string]any {
	if v.attributes != nil {
		return v.attributes
	}
	e := &v.Event
	v.attributes = make(map[string]any, len(e.Extensions)+8)
	for name, value := range e.Extensions {
		v.attributes[name] = value
	}
	for name, value := range map[string]string{
		"specversion": "1.0", "id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject,
		"datacontenttype": e.DataContentType, "dataschema": e.DataSchema,
	} {
		if value != "" {
			v.attributes[name] = value
		}
	}
	if !e.Time.IsZero() {
		v.attributes["time"] = e.Time
	}
	return v.attributes
}

// data is the payload: the value of JSON, else text, else bytes.
func (v *View) data() any {
	if !v.parsed {
		v.payload, v.parsed = value(v.Event.DataContentType, v.Event.Data), true
	}
	return v.payload
}

// value reads a payload. One that says nothing of its type, or says JSON and is not, is text.
func value(contentType string, data []byte) any {
	if len(data) == 0 {
		return nil
	}
	if contentType == "" || isJSON(contentType) {
		var out any
		if json.Unmarshal(data, &out) == nil {
			return out
		}
	}
	if utf8.Valid(data) {
		return string(data)
	}
	return data
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"))
}

package dapr

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"unicode/utf8"

	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/openfunction/ofn/internal/bus"
)

const (
	structured   = "application/cloudevents+json"
	contentType  = "content-type"
	partitionKey = "partitionkey"
	headerPrefix = "ce-"
)

// encode is a message for the broker: a CloudEvent in the JSON format, as Dapr's own publishers write it, since most components
// carry no headers. What is no CloudEvent goes as it is.
func encode(m bus.Message) (data []byte, media string, err error) {
	if m.Header[headerPrefix+"specversion"] == "" {
		if media = m.Header[contentType]; media == "" {
			media = "application/octet-stream"
		}
		return m.Data, media, nil
	}
	doc := map[string]any{}
	for name, value := range m.Header {
		if attr, ok := strings.CutPrefix(name, headerPrefix); ok {
			doc[attr] = unescape(value)
		}
	}
	if m.Key != "" && doc[partitionKey] == nil {
		doc[partitionKey] = m.Key
	}
	if media = m.Header[contentType]; media != "" {
		doc["datacontenttype"] = media
	}
	switch {
	case len(m.Data) == 0:
	case (media == "" || isJSON(media)) && json.Valid(m.Data):
		doc["data"] = json.RawMessage(m.Data)
	case media != "" && !isJSON(media) && utf8.Valid(m.Data):
		doc["data"] = string(m.Data)
	default:
		doc["data_base64"] = m.Data
	}
	data, err = json.Marshal(doc)
	if err != nil {
		return nil, "", fmt.Errorf("writing the event as JSON: %w", err)
	}
	return data, structured, nil
}

// decode reads what encode, or another publisher, wrote.
func decode(topic string, data []byte, metadata map[string]string) bus.Message {
	m := bus.Message{Topic: topic, Data: data, Header: map[string]string{}}
	var e sdk.Event
	if len(data) == 0 || data[0] != '{' || json.Unmarshal(data, &e) != nil || e.Validate() != nil {
		if media := metadata["contentType"]; media != "" {
			m.Header[contentType] = media
		}
		return m
	}
	m.Data = e.Data()
	set := func(name, value string) {
		if value != "" {
			m.Header[headerPrefix+name] = escape(value)
		}
	}
	for name, value := range map[string]string{
		"specversion": e.SpecVersion(), "id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(), "dataschema": e.DataSchema(),
	} {
		set(name, value)
	}
	if !e.Time().IsZero() {
		set("time", types.FormatTime(e.Time()))
	}
	for name, value := range e.Extensions() {
		if text, err := types.Format(value); err == nil {
			set(name, text)
		}
	}
	if media := e.DataContentType(); media != "" {
		m.Header[contentType] = media
	}
	m.Key, _ = e.Extensions()[partitionKey].(string)
	return m
}

func isJSON(media string) bool {
	m, _, err := mime.ParseMediaType(media)
	return err == nil && (m == "application/json" || m == "text/json" || strings.HasSuffix(m, "+json"))
}

func unescape(value string) string {
	if plain, err := url.PathUnescape(value); err == nil {
		return plain
	}
	return value
}

// escape is what headers of CloudEvents ask for: all but printable ASCII, and space, quote and percent.
func escape(value string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(value) {
		if c := value[i]; c > ' ' && c < 0x7f && c != '"' && c != '%' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

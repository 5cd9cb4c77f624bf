package cloudevent

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// contentType is the header that carries datacontenttype in binary mode.
const contentType = "content-type"

// Header is the event in binary mode, without the data: "ce-id" and so on, "content-type", "traceparent". Names are in lower case.
func (e *Event) Header() map[string]string {
	h := make(map[string]string, len(e.Extensions)+8)
	for name, value := range e.attributes() {
		if name == "datacontenttype" {
			h[contentType] = value
			continue
		}
		h["ce-"+name] = escape(value)
	}
	for _, name := range []string{TraceParent, TraceState} {
		if v := e.Extensions[name]; v != "" {
			h[name] = v
		}
	}
	return h
}

// prefixes are those of attributes in the headers of HTTP and NATS, Kafka, and AMQP.
var prefixes = [...]string{"ce-", "ce_", "cloudEvents:", "cloudEvents_"}

// FromHeader is an event in binary mode, of the headers of any binding (HTTP, NATS, Kafka, AMQP; MQTT 5 has bare names: see
// FromProperties). found is false when the headers are of no CloudEvent. A broken one is an ErrInvalid.
func FromHeader(header map[string]string, data []byte) (e Event, found bool, err error) {
	return fromHeader(func(yield func(string, string) bool) {
		for k, v := range header {
			if !yield(k, v) {
				return
			}
		}
	}, data)
}

func fromHeader(each func(func(string, string) bool), data []byte) (e Event, found bool, err error) {
	e.Data = data
	bare := map[string]string{}
	each(func(name, value string) bool {
		attr, ok := attribute(name)
		switch {
		case ok && attr == "specversion":
			found = true
			fallthrough
		case ok:
			if err == nil {
				err = e.set(attr, plain(name, value))
			}
		case strings.EqualFold(name, contentType):
			e.DataContentType = value
		case strings.EqualFold(name, TraceParent), strings.EqualFold(name, TraceState):
			bare[strings.ToLower(name)] = value
		}
		return true
	})
	if !found {
		return Event{}, false, nil
	}
	for name, value := range bare {
		if e.Extensions[name] == "" {
			e.SetExtension(name, value)
		}
	}
	if err == nil {
		err = e.Validate()
	}
	return e, true, err
}

// attribute is the name of the attribute that a header carries.
func attribute(header string) (string, bool) {
	for _, p := range prefixes {
		if len(header) > len(p) && strings.EqualFold(header[:len(p)], p) {
			return strings.ToLower(header[len(p):]), true
		}
	}
	return "", false
}

// FromProperties is an event of MQTT 5's user properties, whose names have no prefix.
func FromProperties(properties map[string]string, data []byte) (e Event, found bool, err error) {
	if properties["specversion"] == "" {
		return Event{}, false, nil
	}
	e.Data = data
	for name, value := range properties {
		if strings.EqualFold(name, contentType) {
			name = "datacontenttype"
		}
		if !ValidName(name) {
			continue
		}
		if err := e.set(name, value); err != nil {
			return e, true, err
		}
	}
	return e, true, e.Validate()
}

// SetHTTP writes the event in binary mode into the header of a request; its data are the body.
func (e *Event) SetHTTP(h http.Header) {
	for name, value := range e.attributes() {
		switch {
		case name == "datacontenttype":
			h["Content-Type"] = []string{value}
		case !ValidName(name):
			h.Set("ce-"+name, escape(value))
		default: // as Set would spell it, which takes longer
			h["Ce-"+strings.ToUpper(name[:1])+name[1:]] = []string{escape(value)}
		}
	}
	if v := e.Extensions[TraceParent]; v != "" {
		h["Traceparent"] = []string{v}
	}
	if v := e.Extensions[TraceState]; v != "" {
		h["Tracestate"] = []string{v}
	}
}

// escape encodes what headers cannot carry, as the HTTP binding says: space, double quote, percent and everything outside
// printable ASCII.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	plain := true
	for i := range len(s) {
		if !printable(s[i]) {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; printable(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

func printable(c byte) bool { return c > 0x20 && c < 0x7f && c != '"' && c != '%' }

// plain is the value of an attribute: HTTP and NATS encode it, Kafka and AMQP carry it as it is.
func plain(header, value string) string {
	if !strings.HasPrefix(strings.ToLower(header), prefixes[0]) {
		return value
	}
	if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
		value = unquote(value[1 : n-1])
	}
	return unescape(value)
}

// unquote undoes a quoted string of HTTP.
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// unescape undoes escape; what was never escaped stays.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}

// TooLong tells of an event whose attributes exceed what headers of brokers and gateways carry.
func (e *Event) TooLong(limit int) error {
	n := 0
	for name, value := range e.attributes() {
		n += len(name) + len(value)
	}
	if n > limit {
		return fmt.Errorf("%w: its attributes have %d bytes, at most %d are taken", ErrInvalid, n, limit)
	}
	return nil
}

// Package cloudevent is a CloudEvent 1.0.2 in flight, and its forms on the wires: HTTP (binary, structured, batch), the headers of
// NATS and of the bus, and those of Kafka, AMQP and MQTT.
package cloudevent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"time"
	"unicode/utf8"
)

// SpecVersion is the version of CloudEvents that is spoken.
const SpecVersion = "1.0"

// Names of extension attributes that the platform knows.
const (
	PartitionKey = "partitionkey" // events of one key stay in order
	TraceParent  = "traceparent"
	TraceState   = "tracestate"
)

// ErrInvalid is what every error of an event that breaks the specification is.
var ErrInvalid = errors.New("this is not a valid CloudEvent")

// Event is a CloudEvent. Its data are never changed in place: events share them.
type Event struct {
	ID, Source, Type string
	Subject          string            // optional, as everything below
	DataContentType  string            // "application/json"
	DataSchema       string            // an absolute URI
	Time             time.Time         // zero is none
	Extensions       map[string]string // in the canonical string form of their types; names of a-z and 0-9
	Data             []byte
}

// Extension is the value of an extension attribute; empty when there is none.
func (e *Event) Extension(name string) string { return e.Extensions[name] }

// SetExtension sets an extension attribute; an empty value removes it.
func (e *Event) SetExtension(name, value string) {
	if value == "" {
		delete(e.Extensions, name)
		return
	}
	if e.Extensions == nil {
		e.Extensions = make(map[string]string, 4)
	}
	e.Extensions[name] = value
}

// Clone is a copy whose extensions may be changed.
func (e Event) Clone() Event {
	ext := make(map[string]string, len(e.Extensions)+4)
	for k, v := range e.Extensions {
		ext[k] = v
	}
	e.Extensions = ext
	return e
}

// DedupeID tells an event from all others: by the specification, source and id do.
func (e *Event) DedupeID() string {
	h := sha256.New()
	h.Write([]byte(e.Source))
	h.Write([]byte{0})
	h.Write([]byte(e.ID))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Validate says what of the specification the event breaks; nil is nothing. The error is an ErrInvalid.
func (e *Event) Validate() error {
	for _, a := range []struct{ name, value string }{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if a.value == "" {
			return fmt.Errorf("%w: attribute %s is required", ErrInvalid, a.name)
		}
	}
	if _, err := url.Parse(e.Source); err != nil {
		return fmt.Errorf("%w: attribute source %q is no URI reference", ErrInvalid, e.Source)
	}
	if e.DataSchema != "" {
		if u, err := url.Parse(e.DataSchema); err != nil || !u.IsAbs() {
			return fmt.Errorf("%w: attribute dataschema %q is no absolute URI", ErrInvalid, e.DataSchema)
		}
	}
	for name, value := range e.attributes() {
		if name == "data" {
			return fmt.Errorf("%w: no attribute may be named data", ErrInvalid)
		}
		if !ValidName(name) {
			return fmt.Errorf("%w: attribute names are of a-z and 0-9, not %q", ErrInvalid, name)
		}
		if err := validText(value); err != nil {
			return fmt.Errorf("%w: attribute %s: %w", ErrInvalid, name, err)
		}
	}
	return nil
}

// attributes are all of them but the data, in canonical form; what an extension calls itself like another attribute comes before it.
func (e *Event) attributes() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for name, value := range e.Extensions {
			if !yield(name, value) {
				return
			}
		}
		for _, a := range [...]struct{ name, value string }{
			{"id", e.ID}, {"source", e.Source}, {"type", e.Type}, {"subject", e.Subject}, {"datacontenttype", e.DataContentType}, {"dataschema", e.DataSchema},
			{"specversion", SpecVersion},
		} {
			if a.value != "" && !yield(a.name, a.value) {
				return
			}
		}
		if !e.Time.IsZero() {
			yield("time", e.Time.Format(time.RFC3339Nano))
		}
	}
}

// set gives the event one attribute in canonical form.
func (e *Event) set(name, value string) error {
	switch name {
	case "specversion":
		if value != SpecVersion {
			return fmt.Errorf("%w: specversion %q is not supported, only %s is", ErrInvalid, value, SpecVersion)
		}
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "datacontenttype":
		e.DataContentType = value
	case "dataschema":
		e.DataSchema = value
	case "time":
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return fmt.Errorf("%w: attribute time %q is not of RFC 3339", ErrInvalid, value)
		}
		e.Time = at
	default:
		e.SetExtension(name, value)
	}
	return nil
}

// ValidName tells whether an attribute may have this name.
func ValidName(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func validText(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("it is not UTF-8")
	}
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r <= 0x9f {
			return fmt.Errorf("control character %U", r)
		}
	}
	return nil
}

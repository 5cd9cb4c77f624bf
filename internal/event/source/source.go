// Package source is the seam of event sources: what brings events from the outside into the platform. Its siblings are folders
// of this one, a kind each; sourcetest is what all of them must do.
//
// A source acknowledges an event to its broker only after Emit returned nil: then it is durable, or was handled.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/event/cloudevent"
)

// Emit hands on one event. It returns nil when the event is safe, and an error only when ctx ended before: the event is not to be
// acknowledged then. It waits as long as that takes, and may be called from several goroutines; who needs an order waits.
type Emit func(ctx context.Context, e cloudevent.Event) error

// Out is where a source's events and troubles go.
type Out struct {
	Emit Emit
	// Connected says that events are taken from now on. It may be called again, after Trouble.
	Connected func()
	// Trouble says what is wrong while the source mends it by itself.
	Trouble func(error)
	// Lag says how many events wait at the broker, where it tells. Nil: nobody asks.
	Lag func(int64)
}

// Waiting tells Lag.
func (o Out) Waiting(n int64) {
	if o.Lag != nil {
		o.Lag(n)
	}
}

// Source brings events.
type Source interface {
	// Run takes events until ctx ends, and returns nil after the last Emit did. Any other return says why it cannot go on; it is
	// run again after a pause, unless the error is an Invalid.
	Run(ctx context.Context, out Out) error
}

// Config is what a source is made of.
type Config struct {
	Identity
	Spec json.RawMessage
	Log  *slog.Logger
}

// New makes a source of one kind. It reaches for nothing yet; what is wrong with the fields is an Invalid.
type New func(Config) (Source, error)

// Decode reads the fields of a kind.
func (c Config) Decode(into any) error {
	if len(c.Spec) == 0 {
		return Invalid{Field: "", Problem: "it has no fields"}
	}
	if err := json.Unmarshal(c.Spec, into); err != nil {
		return Invalid{Field: "", Problem: err.Error()}
	}
	return nil
}

// Invalid is a source that can never run as it is described.
type Invalid struct {
	Field   string // "brokers"; empty is the whole
	Problem string // what is wrong, and what to do
}

func (e Invalid) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + ": " + e.Problem
}

// Required is the Invalid of a field that is missing.
func Required(field string) error { return Invalid{field, "it is required"} }

// ErrDenied is what a broker answers that does not accept the credentials.
var ErrDenied = errors.New("the credentials are refused")

// Identity says which event of which EventSource.
type Identity struct {
	Namespace, Name, Event string
	Kind                   string // "kafka"
	Type                   string // of its events; empty is "io.openfunction." and Kind
}

// URI is the source attribute of its events.
func (i Identity) URI() string {
	return "/namespaces/" + url.PathEscape(i.Namespace) + "/eventsources/" + url.PathEscape(i.Name) + "/" + url.PathEscape(i.Event)
}

// Consumer is the name that brokers know it by, where its author gave none.
func (i Identity) Consumer() string { return i.Namespace + "-" + i.Name + "-" + i.Event }

// platform is the namespace of the platform's owner.
const platform = "openfunction"

// HTTPPath is where an HTTP source listens that asks for a path, or for none. Only the platform's owner may take paths outside of
// /events/NAMESPACE/: they may be those of somebody's function.
func (i Identity) HTTPPath(asked string) (string, error) {
	if asked == "" {
		return i.Path(), nil
	}
	own := "/events/" + i.Namespace + "/"
	if i.Namespace != platform && !strings.HasPrefix(asked, own) {
		return "", Invalid{"path", "it must begin with " + own}
	}
	return asked, nil
}

// Path is where an HTTP source listens, where its author gave no other.
func (i Identity) Path() string { return "/events/" + i.Namespace + "/" + i.Name + "/" + i.Event }

// Make is an event with that payload. An empty id is made of the payload and the time; contentType is found out when it is empty.
func (i Identity) Make(id, contentType string, data []byte, at time.Time) cloudevent.Event {
	kind := i.Type
	if kind == "" {
		kind = "io.openfunction." + i.Kind
	}
	if at.IsZero() {
		at = time.Now()
	}
	if id == "" {
		id = Hash(at.UTC().Format(time.RFC3339Nano), string(data))
	}
	if contentType == "" {
		contentType = cloudevent.Sniff(data)
	}
	return cloudevent.Event{ID: id, Source: i.URI(), Type: kind, DataContentType: contentType, Time: at.UTC(), Data: data}
}

// Message is the event of a broker's message: the CloudEvent that it is, with its own attributes, or else one that Make makes of
// it. What claims to be a CloudEvent and is none is carried as the payload that it is.
func (i Identity) Message(header map[string]string, contentType, id string, data []byte, at time.Time) cloudevent.Event {
	if contentType != "" && header["content-type"] == "" {
		with := make(map[string]string, len(header)+1)
		for k, v := range header {
			with[k] = v
		}
		with["content-type"] = contentType
		header = with
	}
	if e, found := cloudevent.FromMessage(header, data); found {
		return e
	}
	e := i.Make(id, header["content-type"], data, at)
	for _, name := range []string{cloudevent.TraceParent, cloudevent.TraceState} {
		e.SetExtension(name, header[name])
	}
	if e.Validate() != nil { // a header of the broker that no attribute may hold
		e = i.Make(id, "", data, at)
	}
	return e
}

// Hash is a short name of texts; different texts have different ones.
func Hash(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		_, _ = fmt.Fprintf(h, "%d:%s,", len(t), t)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Ended is what Run returns for err: nil when ctx has ended, whatever that brought about.
func Ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Forgetter is a source that leaves something with its broker that must go when the source is deleted.
type Forgetter interface {
	// Forget removes it; it is called after Run has ended, and there may be nothing to remove.
	Forget(ctx context.Context) error
}

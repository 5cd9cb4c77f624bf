package deliver

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
)

// ErrNoLetter is returned for letters that do not exist, or no longer.
var ErrNoLetter = errors.New("there is no such dead letter")

// Letter is an event that could not be delivered, and why.
type Letter struct {
	ID       string           `json:"id,omitempty"` // given by the store
	From     event.Ref        `json:"from"`
	Part     string           `json:"part,omitempty"` // of From: a subscriber's condition, an input
	Event    cloudevent.Event `json:"-"`
	Sink     *event.Sink      `json:"sink,omitempty"` // where it should have gone; nil: see Context
	Cause    string           `json:"cause"`
	Code     int              `json:"code,omitempty"` // HTTP status of the last attempt; 0 is none
	Answer   []byte           `json:"answer,omitempty"`
	Attempts int              `json:"attempts"`
	Accepted time.Time        `json:"accepted"`
	Last     time.Time        `json:"last"`
	// Context is what else the giver needs to deliver it again.
	Context map[string]string `json:"context,omitempty"`
}

// Letters keeps dead letters.
type Letters interface {
	// Put returns when the letter is durable. The same event of the same sink and origin is kept once.
	Put(ctx context.Context, l Letter) error
	// List is the letters of a filter, oldest first.
	List(ctx context.Context, f Filter) ([]Letter, error)
	// Get is one letter, or ErrNoLetter.
	Get(ctx context.Context, id string) (Letter, error)
	// Delete removes a letter; unknown ones are ErrNoLetter.
	Delete(ctx context.Context, id string) error
}

// Filter chooses letters. Zero fields choose all.
type Filter struct {
	Namespace string
	From      event.Ref // fields that are set must agree
	After     string    // the ID of the last letter that is known already
	Limit     int       // 0 is 100
}

// Match tells whether a letter is chosen, the ID apart.
func (f Filter) Match(l Letter) bool {
	return either(f.Namespace, l.From.Namespace) && either(string(f.From.Kind), string(l.From.Kind)) && either(f.From.Namespace, l.From.Namespace) &&
		either(f.From.Name.Name, l.From.Name.Name) && either(f.From.Event, l.From.Event)
}

func either(want, is string) bool { return want == "" || want == is }

func letterOf(v Delivery, r Result) Letter {
	sink := v.Sink
	l := Letter{
		From: v.From, Part: v.Part, Event: v.Event, Sink: &sink, Code: r.Code, Answer: r.Answer, Attempts: r.Attempts, Accepted: v.Accepted, Last: time.Now(),
	}
	if r.Err != nil {
		l.Cause = r.Err.Error()
	}
	return l
}

// Attributes of dead letters: Knative's, and what those do not say.
const (
	attrDest     = "knativeerrordest"
	attrCode     = "knativeerrorcode"
	attrData     = "knativeerrordata"
	attrFrom     = "ofnerrorfrom"
	attrCause    = "ofnerrorcause"
	attrAttempts = "ofnerrorattempts"
	attrTime     = "ofnerrortime"
)

// Told is the event with attributes that say where it should have gone and why it did not.
func (l Letter) Told() cloudevent.Event {
	e := l.Event.Clone()
	if l.Sink != nil {
		e.SetExtension(attrDest, clean(Describe(*l.Sink)))
	}
	if l.Code != 0 {
		e.SetExtension(attrCode, strconv.Itoa(l.Code))
	}
	if len(l.Answer) > 0 {
		e.SetExtension(attrData, base64.StdEncoding.EncodeToString(l.Answer))
	}
	from := string(l.From.Kind) + "/" + l.From.String()
	if l.From.Event != "" {
		from += "/" + l.From.Event
	}
	e.SetExtension(attrFrom, clean(from))
	e.SetExtension(attrCause, clean(l.Cause))
	e.SetExtension(attrAttempts, strconv.Itoa(l.Attempts))
	e.SetExtension(attrTime, l.Last.UTC().Format(time.RFC3339Nano))
	return e
}

// clean is text that may be the value of an attribute.
func clean(s string) string {
	const longest = 1000
	out := make([]rune, 0, min(len(s), longest))
	for _, r := range s {
		if len(out) == longest {
			break
		}
		if unicode.IsControl(r) || r == utf8.RuneError {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}

// Redrive brings a letter to its sink again, once, and deletes it when it was taken. It stays otherwise, and says why it did.
func (d *Deliverer) Redrive(ctx context.Context, id string) error {
	if d.o.Letters == nil {
		return ErrNoLetter
	}
	l, err := d.o.Letters.Get(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case l.Sink != nil:
		r := d.Attempt(ctx, Delivery{Event: l.Event, Sink: *l.Sink, From: l.From, Part: l.Part})
		err = r.Err
	case d.o.Redrive != nil:
		err = d.o.Redrive(ctx, l)
	default:
		err = fmt.Errorf("%s %s cannot be called from here", l.From.Kind, l.From)
	}
	if err != nil {
		return fmt.Errorf("redriving dead letter %s: %w; it is kept", id, err)
	}
	if err := d.o.Letters.Delete(ctx, id); err != nil && !errors.Is(err, ErrNoLetter) {
		return fmt.Errorf("dead letter %s was delivered, and could not be deleted: %w", id, err)
	}
	return nil
}

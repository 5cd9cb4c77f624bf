package v1alpha1

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// identifier is what a condition can name.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reserved are names that conditions have for something else.
var reserved = []string{"event", "data", "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
	"loop", "package", "namespace", "return", "var", "void", "while"}

// Validate says why a Trigger cannot be accepted. Conditions, filters and transformations are compiled by admission.
func (t *Trigger) Validate() (warnings []string, errs field.ErrorList) {
	r, spec := &report{}, field.NewPath("spec")
	if t.Spec.EventBus == "" {
		r.required(spec.Child("eventBus"), "name the bus; "+strconv.Quote(DefaultEventBus)+" is always there")
	}
	if len(t.Spec.Inputs) == 0 {
		r.required(spec.Child("inputs"), "give at least one input")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Spec.Inputs)) {
		r.input(spec.Child("inputs").Key(name), name, t.Spec.Inputs[name])
	}
	if len(t.Spec.Subscribers) == 0 {
		r.required(spec.Child("subscribers"), "give at least one subscriber")
	}
	for i, s := range t.Spec.Subscribers {
		r.subscriber(spec.Child("subscribers").Index(i), s)
	}
	return r.warnings, r.errs
}

func (r *report) input(p *field.Path, name string, in *Input) {
	if !identifier.MatchString(name) || slices.Contains(reserved, name) {
		r.invalid(p, name, "a condition cannot name it: use letters, digits and \"_\", beginning with a letter, and no word that conditions have for something else")
	}
	switch {
	case in == nil:
		r.required(p, "say which event it is")
	case in.Topic != "" && (in.EventSource != "" || in.Event != "" || in.Namespace != ""):
		r.forbidden(p.Child("topic"), "cannot be given together with eventSource and event")
	case in.Topic != "":
		r.name(p.Child("topic"), in.Topic)
	case in.EventSource == "":
		r.required(p.Child("eventSource"), "name the EventSource, or give a topic")
	case in.Event == "":
		r.required(p.Child("event"), "name the event of the EventSource")
	default:
		r.name(p.Child("event"), in.Event)
	}
}

func (r *report) subscriber(p *field.Path, s *Subscriber) {
	if s == nil {
		r.required(p, "say who it is")
		return
	}
	if s.Sink == nil && s.Topic == "" {
		r.required(p, "give at least one of sink and topic: the events would go nowhere")
	}
	r.sink(p.Child("sink"), s.Sink)
	r.sink(p.Child("deadLetterSink"), s.DeadLetterSink)
	for _, topic := range []struct{ name, value string }{{"topic", s.Topic}, {"deadLetterTopic", s.DeadLetterTopic}} {
		if topic.value != "" {
			r.name(p.Child(topic.name), topic.value)
		}
	}
	if s.DeadLetterSink != nil && s.DeadLetterTopic != "" {
		r.warn(p.Child("deadLetterTopic"), "gets what the topic does not take; what the sink does not take goes to deadLetterSink")
	}
	r.retry(p.Child("retry"), s.Retry)
	r.transform(p.Child("transform"), s.Transform)
	if c := s.Correlate; c != nil {
		r.positive(p.Child("correlate", "window"), c.Window)
	}
	if l := s.RateLimit; l != nil {
		if _, err := l.Rate(); err != nil {
			r.invalid(p.Child("rateLimit", "perSecond"), l.PerSecond, err.Error())
		}
	}
	if _, err := ParseFrom(s.From); err != nil {
		r.invalid(p.Child("from"), s.From, err.Error())
	}
}

func (r *report) transform(p *field.Path, t *Transform) {
	if t == nil {
		return
	}
	json := ""
	if !t.JSON.IsEmpty() {
		json = "given"
	}
	r.atMostOne(p, "data", t.Data, "json", json, "template", t.Template)
}

// Rate is the number of calls in a second.
func (l *RateLimit) Rate() (float64, error) {
	rate, err := strconv.ParseFloat(l.PerSecond, 64)
	if err != nil || rate <= 0 || rate > 1e9 {
		return 0, fmt.Errorf("must be a number more than 0, such as \"10\" or \"0.5\"")
	}
	return rate, nil
}

// From is where a new subscriber begins; the zero From is with new events.
//
// +kubebuilder:object:generate=false
type From struct {
	All      bool
	Time     time.Time
	Sequence uint64
}

// ParseFrom reads the field from of a subscriber.
func ParseFrom(s string) (From, error) {
	switch s {
	case "", "new":
		return From{}, nil
	case "all":
		return From{All: true}, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil && n > 0 {
		return From{Sequence: n}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return From{}, fmt.Errorf("must be new, all, a time such as 2030-01-31T12:00:00Z, or a sequence number of the bus")
	}
	return From{Time: t}, nil
}

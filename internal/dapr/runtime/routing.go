package runtime

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dapr/components-contrib/contenttype"
	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/components-contrib/pubsub"
	"github.com/google/cel-go/cel"

	"github.com/openfunction/ofn/internal/event"
)

// subscription is one topic that calls an app, from whatever told of it.
type subscription struct {
	Source    string // "input", "declared", "programmatic", "stream"
	Name      string // of the input or the object
	Component string
	Type      string // of the component, where the input tells it
	Topic     string
	Rules     []event.Route
	Default   string
	DeadTopic string
	Sink      *event.Sink   // of dead letters; nil is the app's
	Retry     *event.Policy // nil is the app's
	Metadata  map[string]string
	Bulk      bool
	BulkMax   int
	BulkWait  time.Duration
}

// key is what makes a subscription the same one as another.
func (s subscription) key() [2]string { return [2]string{s.Component, s.Topic} }

// router finds the path of an event.
type router struct {
	rules    []rule
	fallback string
}

type rule struct {
	match cel.Program // nil matches everything
	path  string
}

// maxRule bounds a rule in bytes: compiling takes time by length.
const maxRule = 8 << 10

// newRouter compiles the rules.
func newRouter(routes []event.Route, fallback string) (*router, error) {
	r := &router{fallback: fallback}
	for i, route := range routes {
		next := rule{path: route.Path}
		if strings.TrimSpace(route.Match) != "" {
			var err error
			if next.match, err = compile(route.Match); err != nil {
				return nil, fmt.Errorf("rule %d, match %q: %w", i, route.Match, err)
			}
		}
		r.rules = append(r.rules, next)
	}
	return r, nil
}

// compile makes the program of a rule. Names that nothing declares are variables of any type, as with Dapr.
func compile(text string) (p cel.Program, err error) {
	if len(text) > maxRule {
		return nil, fmt.Errorf("it is longer than %d bytes", maxRule)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it cannot be compiled: %v", r)
		}
	}()
	var variables []cel.EnvOption
	found := map[string]bool{}
	for {
		env, err := cel.NewEnv(variables...)
		if err != nil {
			return nil, err
		}
		ast, issues := env.Compile(text)
		if issues.Err() == nil {
			return env.Program(ast)
		}
		known := len(found)
		for _, e := range issues.Errors() {
			name, missing := strings.CutPrefix(e.Message, "undeclared reference to '")
			name, _, _ = strings.Cut(name, "'")
			if !missing {
				return nil, issues.Err()
			}
			if !found[name] {
				found[name] = true
				variables = append(variables, cel.Variable(name, cel.AnyType))
			}
		}
		if len(found) == known { // declaring it does not help: ".event" is one that begins with a dot
			return nil, issues.Err()
		}
	}
}

// path of an event; ok is false when no rule matches and there is no default. A rule that cannot be evaluated for an event does
// not match it.
func (r *router) path(ev map[string]any) (path string, ok bool) {
	for _, rule := range r.rules {
		if rule.match == nil {
			return rule.path, true
		}
		if out, err := evaluate(rule.match, ev); err == nil && out {
			return rule.path, true
		}
	}
	return r.fallback, r.fallback != "" || len(r.rules) == 0
}

func evaluate(p cel.Program, ev map[string]any) (yes bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("evaluating: %v", p)
		}
	}()
	out, _, err := p.Eval(map[string]any{"event": ev})
	if err != nil {
		return false, err
	}
	yes, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("it gives %T, not a bool", out.Value())
	}
	return yes, nil
}

// topicEvent is one message of a topic on its way to an app.
type topicEvent struct {
	sub      *subscription
	path     string
	event    map[string]any // the CloudEvent
	body     []byte         // the CloudEvent in JSON
	raw      []byte         // as the broker gave it
	metadata map[string]string
	accepted time.Time
}

var errNotCloudEvent = errors.New(`not a CloudEvent in JSON: if publishers send something else, set metadata rawPayload: "true" on the subscription`)

// newTopicEvent reads a message as Dapr does: a CloudEvent in JSON, one in binary mode by its metadata, or with rawPayload
// anything, which a new CloudEvent is put around.
func newTopicEvent(sub *subscription, data []byte, meta map[string]string) (*topicEvent, error) {
	t := &topicEvent{sub: sub, body: data, raw: data, metadata: meta, accepted: time.Now()}
	raw, err := metadata.IsRawPayload(sub.Metadata)
	if err != nil {
		return t, err
	}
	switch kind := meta["content-type"]; {
	case raw:
		t.event = pubsub.FromRawPayload(data, sub.Topic, sub.Component)
		for _, k := range []string{pubsub.TraceIDField, pubsub.TraceParentField, pubsub.TraceStateField} {
			if v, ok := meta[k]; ok {
				t.event[k] = v
			}
		}
	case kind != "" && contenttype.IsBinaryContentType(kind):
		t.event = fromHeaders(data, meta, kind)
	default:
		if err := json.Unmarshal(data, &t.event); err != nil || t.event == nil {
			return t, errNotCloudEvent
		}
		return t, nil
	}
	t.body, err = json.Marshal(t.event)
	return t, err
}

// fromHeaders is the CloudEvent whose attributes are in metadata ce_NAME.
func fromHeaders(data []byte, meta map[string]string, kind string) map[string]any {
	ev := map[string]any{pubsub.DataContentTypeField: kind, pubsub.DataBase64Field: base64.StdEncoding.EncodeToString(data)}
	for k, v := range meta {
		if name, ok := strings.CutPrefix(strings.ToLower(k), "ce_"); ok {
			ev[name] = v
		}
	}
	return ev
}

// text is an attribute of the event, empty where it is none or no string.
func (t *topicEvent) text(name string) string {
	s, _ := t.event[name].(string)
	return s
}

// identity is what the same event has in common wherever it comes from; empty where there is none.
func (t *topicEvent) identity() string {
	if raw, _ := metadata.IsRawPayload(t.sub.Metadata); raw {
		return ""
	}
	id, source := t.text(pubsub.IDField), t.text(pubsub.SourceField)
	if id == "" || source == "" {
		return ""
	}
	return source + "\x00" + id
}

// data is what the event carries, as Dapr's gRPC callback has it. JSON is the publisher's, to the digit.
func (t *topicEvent) data() ([]byte, error) {
	if b, ok := t.event[pubsub.DataBase64Field].(string); ok {
		return base64.StdEncoding.DecodeString(b)
	}
	data, ok := t.event[pubsub.DataField]
	if !ok || data == nil {
		return nil, nil
	}
	if s, ok := data.(string); ok && !contenttype.IsJSONContentType(t.text(pubsub.DataContentTypeField)) {
		return []byte(s), nil
	}
	var parts struct {
		Data json.RawMessage `json:"data"`
	}
	err := json.Unmarshal(t.body, &parts)
	return parts.Data, err
}

// attributes that are no extensions.
var standard = map[string]bool{
	pubsub.IDField: true, pubsub.SourceField: true, pubsub.TypeField: true, pubsub.SpecVersionField: true, pubsub.DataField: true,
	pubsub.DataBase64Field: true, pubsub.DataContentTypeField: true, pubsub.TopicField: true, pubsub.PubsubField: true,
	pubsub.SubjectField: true, "dataschema": true, pubsub.TimeField: true,
}

// extensions are all other attributes.
func (t *topicEvent) extensions() map[string]any {
	ext := map[string]any{}
	for k, v := range t.event {
		if !standard[k] {
			ext[k] = v
		}
	}
	return ext
}

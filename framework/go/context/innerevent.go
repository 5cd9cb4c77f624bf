package context

import (
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/uuid"
)

// envelopeType begins the type of every envelope.
const envelopeType = "io.openfunction.function"

// InnerEvent is a payload and its metadata as they travel between functions: a CloudEvent whose data is
// {"metadata": {...}, "userData": "<base64>"}.
type InnerEvent interface {
	SetMetadata(key string, value string)
	GetMetadata() map[string]string
	// SetUserData takes bytes and strings as they are and turns anything else into JSON.
	SetUserData(data interface{})
	GetUserData() []byte
	GetCloudEvent() event.Event
	// MergeMetadata adds the metadata of another event, which wins.
	MergeMetadata(event InnerEvent)
	// Clone makes this event the one that event holds.
	Clone(event *event.Event)
	// GetCloudEventJSON is nil when the event cannot be written as JSON.
	GetCloudEventJSON() []byte
	SetSubject(s string)
}

type innerEvent struct {
	event event.Event
	data  envelope
}

type envelope struct {
	Metadata map[string]string `json:"metadata,omitempty"`
	UserData []byte            `json:"userData,omitempty"`
}

// NewInnerEvent returns an empty event that names the function of ctx as its source.
func NewInnerEvent(ctx RuntimeContext) InnerEvent { return newInnerEvent(ctx) }

func newInnerEvent(ctx RuntimeContext) *innerEvent {
	source, kind := ctx.GetName(), envelopeType+"."+ctx.GetName()
	if ctx.GetMode() == KubernetesMode {
		source = ctx.GetPodNamespace() + "/" + ctx.GetName()
		kind = strings.Join([]string{envelopeType, ctx.GetPodNamespace(), ctx.GetName()}, ".")
	}
	e := event.New()
	e.SetID(uuid.NewString())
	e.SetTime(time.Now())
	e.SetSource(source)
	e.SetType(kind)
	e.SetDataContentType(event.ApplicationJSON)
	return &innerEvent{event: e, data: envelope{Metadata: map[string]string{}}}
}

// unwrap makes an inner event of a payload: the one it holds when it is a CloudEvent, otherwise one around it.
func unwrap(ctx RuntimeContext, inputName string, payload []byte) InnerEvent {
	var e event.Event
	if json.Unmarshal(payload, &e) == nil && e.Validate() == nil {
		inner := &innerEvent{}
		inner.Clone(&e)
		return inner
	}
	inner := newInnerEvent(ctx)
	inner.SetSubject(inputName)
	inner.SetUserData(payload)
	return inner
}

func (i *innerEvent) SetMetadata(key string, value string) { i.data.Metadata[key] = value }

func (i *innerEvent) GetMetadata() map[string]string { return i.data.Metadata }

func (i *innerEvent) SetUserData(data interface{}) { i.data.UserData = ConvertUserDataToBytes(data) }

func (i *innerEvent) GetUserData() []byte { return i.data.UserData }

func (i *innerEvent) SetSubject(s string) { i.event.SetSubject(s) }

func (i *innerEvent) MergeMetadata(other InnerEvent) {
	if other != nil {
		maps.Copy(i.data.Metadata, other.GetMetadata())
	}
}

func (i *innerEvent) Clone(e *event.Event) {
	i.event, i.data = e.Clone(), envelope{}
	if !strings.HasPrefix(e.Type(), envelopeType) || e.DataAs(&i.data) != nil {
		i.data.UserData = e.Data()
	}
	if i.data.Metadata == nil {
		i.data.Metadata = map[string]string{}
	}
}

func (i *innerEvent) GetCloudEvent() event.Event {
	e := i.event.Clone()
	if text, err := json.Marshal(i.data); err == nil {
		_ = e.SetData(event.ApplicationJSON, text) // bytes are taken as they are
	}
	return e
}

func (i *innerEvent) GetCloudEventJSON() []byte {
	text, err := json.Marshal(i.GetCloudEvent())
	if err != nil {
		return nil
	}
	return text
}

// ConvertUserDataToBytes returns bytes and strings as they are and anything else as JSON, nil when that is impossible.
func ConvertUserDataToBytes(data interface{}) []byte {
	switch d := data.(type) {
	case []byte:
		return d
	case string:
		return []byte(d)
	}
	text, err := json.Marshal(data)
	if err != nil {
		return nil
	}
	return text
}

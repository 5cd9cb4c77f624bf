package engine

import (
	"encoding/json"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
)

// legacyEvent is a background event of Google Cloud: the members of context may lie beside data.
type legacyEvent struct {
	Context *legacyContext  `json:"context"`
	Data    json.RawMessage `json:"data"`
	legacyContext
}

type legacyContext struct {
	EventID   string          `json:"eventId"`
	Timestamp string          `json:"timestamp"`
	EventType string          `json:"eventType"`
	Resource  json.RawMessage `json:"resource"`
}

// resource is the name of the resource.
func (c *legacyContext) resource() string {
	var name string
	if json.Unmarshal(c.Resource, &name) == nil {
		return name
	}
	var object struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(c.Resource, &object) // what is neither has no name
	return object.Name
}

// legacyKind is what becomes of one type of legacy events.
type legacyKind struct {
	kind, service string
	// split begins the part of the resource that is the subject; empty: there is none.
	split string
}

func legacyKindOf(eventType string) (legacyKind, bool) {
	const (
		pubsub    = "pubsub.googleapis.com"
		storage   = "storage.googleapis.com"
		firestore = "firestore.googleapis.com"
	)
	published := legacyKind{"google.cloud.pubsub.topic.v1.messagePublished", pubsub, ""}
	object := func(what string) legacyKind {
		return legacyKind{"google.cloud.storage.object.v1." + what, storage, "objects/"}
	}
	document := func(what string) legacyKind {
		return legacyKind{"google.cloud.firestore.document.v1." + what, firestore, "documents/"}
	}
	k, ok := map[string]legacyKind{
		"google.pubsub.topic.publish":                          published,
		"providers/cloud.pubsub/eventTypes/topic.publish":      published,
		"google.storage.object.finalize":                       object("finalized"),
		"google.storage.object.delete":                         object("deleted"),
		"google.storage.object.archive":                        object("archived"),
		"google.storage.object.metadataUpdate":                 object("metadataUpdated"),
		"providers/cloud.firestore/eventTypes/document.create": document("created"),
		"providers/cloud.firestore/eventTypes/document.delete": document("deleted"),
		"providers/cloud.firestore/eventTypes/document.update": document("updated"),
		"providers/cloud.firestore/eventTypes/document.write":  document("written"),
	}[eventType]
	return k, ok
}

// legacyDraft makes a CloudEvent of a legacy event. Both results are nil for a body that is none.
func legacyDraft(body []byte) (*draft, *refusal) {
	var l legacyEvent
	if json.Unmarshal(body, &l) != nil || l.Data == nil {
		return nil, nil
	}
	c := l.Context
	if c == nil {
		if c = &l.legacyContext; c.EventID == "" || c.EventType == "" {
			return nil, nil
		}
	}
	resource := c.resource()
	for _, m := range []member{{"eventId", c.EventID}, {"eventType", c.EventType}, {"timestamp", c.Timestamp}, {"resource", resource}} {
		if m.value == "" {
			return nil, badRequest("the legacy event lacks %s", m.name)
		}
	}
	k, ok := legacyKindOf(c.EventType)
	if !ok {
		return nil, badRequest("the legacy event type %q is not known here", c.EventType)
	}
	d := &draft{attributes: map[string]any{
		"specversion": event.CloudEventsVersionV1, "id": c.EventID, "time": c.Timestamp, "type": k.kind,
		"datacontenttype": event.ApplicationJSON,
	}, data: l.Data}
	source := resource
	if before, after, found := strings.Cut(resource, "/"+k.split); k.split != "" && found {
		source = before
		subject, _, _ := strings.Cut(after, "#")
		d.attributes["subject"] = k.split + subject
	}
	d.attributes["source"] = "//" + k.service + "/" + source
	if k.split == "" {
		d.data = message(c, l.Data)
	}
	return d, nil
}

// message wraps the data of a pubsub event, and adds what they lack.
func message(c *legacyContext, data json.RawMessage) []byte {
	var members map[string]any
	if json.Unmarshal(data, &members) != nil || members == nil {
		members = map[string]any{}
	}
	for name, value := range map[string]string{"messageId": c.EventID, "publishTime": c.Timestamp} {
		if _, there := members[name]; !there {
			members[name] = value
		}
	}
	out, err := json.Marshal(map[string]any{"message": members})
	if err != nil {
		return data
	}
	return out
}

package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/dapr/components-contrib/contenttype"
	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/components-contrib/pubsub"
	apierrors "github.com/dapr/dapr/pkg/api/errors"

	"github.com/openfunction/ofn/internal/dapr/runtime"
	"github.com/openfunction/ofn/internal/event"
)

// caller is one app that calls the API.
type caller struct {
	*Server
	app event.Name
	id  string
}

// trace is the W3C trace context of a request.
type trace struct{ parent, state string }

// message is what is published.
type message struct {
	data        []byte
	contentType string
	metadata    map[string]string
	trace       trace
}

// pubsub lends the component that is published to, after the checks of names and topics.
func (c *caller) pubsub(ctx context.Context, name, topic string) (*runtime.Lease, error) {
	switch {
	case name == "":
		return nil, apierrors.PubSub("").WithMetadata(map[string]string{}).NameEmpty()
	case topic == "":
		return nil, apierrors.PubSub(name).WithMetadata(map[string]string{}).TopicEmpty()
	case !c.has("pubsub."):
		return nil, apierrors.PubSub(name).WithMetadata(map[string]string{}).NotConfigured()
	}
	lease, err := c.o.Runtime.Acquire(ctx, c.app, name)
	var missing *runtime.NotFound
	if errors.As(err, &missing) || (err == nil && lease.PubSub == nil) {
		release(lease)
		return nil, apierrors.PubSub(name).WithMetadata(map[string]string{}).NotFound()
	}
	if err != nil {
		return nil, apierrors.PubSub(name).PublishMessage(topic, err)
	}
	if !c.o.Runtime.MayPublish(lease.Spec, c.app, topic) {
		release(lease)
		return nil, apierrors.PubSub(name).PublishForbidden(topic, c.id, errors.New("the component's metadata do not allow it"))
	}
	return lease, nil
}

func release(l *runtime.Lease) {
	if l != nil {
		l.Release()
	}
}

// has tells whether the app sees any component of a category ("pubsub.").
func (c *caller) has(category string) bool {
	for _, v := range c.o.Runtime.Visible(c.app) {
		if strings.HasPrefix(v.Type, category) {
			return true
		}
	}
	return false
}

// envelope is the CloudEvent around a message, as Dapr makes it: metadata cloudevent.NAME override attributes.
func (c *caller) envelope(m message, name, topic string, features []pubsub.Feature) ([]byte, error) {
	var ev map[string]any
	if contenttype.IsCloudEventContentType(m.contentType) {
		var err error
		if ev, err = pubsub.FromCloudEvent(m.data, topic, name, m.trace.parent, m.trace.state); err != nil {
			return nil, err
		}
		if ev == nil {
			return nil, errors.New("it is no JSON object")
		}
	} else {
		over := func(attribute, fallback string) string {
			for k, v := range m.metadata {
				if strings.EqualFold(k, "cloudevent."+attribute) && v != "" {
					return v
				}
			}
			return fallback
		}
		parent := over("traceparent", over("traceid", m.trace.parent))
		ev = pubsub.NewCloudEventsEnvelope(over("id", ""), over("source", c.id), over("type", ""), over("subject", ""),
			topic, name, over("datacontenttype", m.contentType), m.data, parent, over("tracestate", m.trace.state))
	}
	pubsub.ApplyMetadata(ev, features, m.metadata)
	return json.Marshal(ev)
}

// publish publishes one message.
func (c *caller) publish(ctx context.Context, name, topic string, m message) error {
	lease, err := c.pubsub(ctx, name, topic)
	if err != nil {
		return err
	}
	defer lease.Release()
	raw, err := metadata.IsRawPayload(m.metadata)
	if err != nil {
		return apierrors.PubSub(name).WithMetadata(m.metadata).DeserializeError(err)
	}
	data := m.data
	if !raw {
		if data, err = c.envelope(m, name, topic, lease.PubSub.Features()); err != nil {
			return apierrors.PubSub(name).WithAppError(c.id, err).CloudEventCreation()
		}
	}
	req := &pubsub.PublishRequest{PubsubName: name, Topic: topic, Data: data, Metadata: m.metadata}
	if raw && m.contentType != "" {
		req.ContentType = &m.contentType
	}
	err = lease.PubSub.Publish(ctx, req)
	c.o.Runtime.Published(c.app, name, err)
	if err != nil {
		return apierrors.PubSub(name).PublishMessage(topic, err)
	}
	return nil
}

// entry is one message of a bulk.
type entry struct {
	id string
	message
}

// failedEntry is one that was not published.
type failedEntry struct{ id, err string }

// bulkWorkers bounds how many messages of a bulk are published at once where the component knows no bulk.
const bulkWorkers = 16

// publishAll publishes a bulk. failed are those that were not published, when err is not nil.
func (c *caller) publishAll(ctx context.Context, name, topic string, entries []entry, meta map[string]string) (failed []failedEntry, err error) {
	lease, err := c.pubsub(ctx, name, topic)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	list, err := c.bulkEntries(name, topic, entries, meta, lease.PubSub.Features())
	if err != nil {
		return nil, err
	}
	var res pubsub.BulkPublishResponse
	if bulk, ok := lease.PubSub.(pubsub.BulkPublisher); ok {
		res, err = bulk.BulkPublish(ctx, &pubsub.BulkPublishRequest{PubsubName: name, Topic: topic, Entries: list, Metadata: meta})
	} else {
		res, err = oneByOne(ctx, lease.PubSub, name, topic, list)
	}
	c.o.Runtime.Published(c.app, name, err)
	if err == nil {
		return nil, nil
	}
	for _, f := range res.FailedEntries {
		text := err.Error()
		if f.Error != nil {
			text = f.Error.Error()
		}
		failed = append(failed, failedEntry{f.EntryId, text})
	}
	return failed, apierrors.PubSub(name).PublishMessage(topic, err)
}

func (c *caller) bulkEntries(name, topic string, entries []entry, meta map[string]string, features []pubsub.Feature) ([]pubsub.BulkMessageEntry, error) {
	raw, err := metadata.IsRawPayload(meta)
	if err != nil {
		return nil, apierrors.PubSub(name).WithMetadata(meta).DeserializeError(err)
	}
	seen := map[string]bool{}
	list := make([]pubsub.BulkMessageEntry, 0, len(entries))
	for _, e := range entries {
		if e.id == "" || seen[e.id] {
			return nil, apierrors.PubSub(name).WithAppError(c.id, errors.New("entryId is duplicated or not present for entry")).WithTopic(topic).MarshalEvents()
		}
		seen[e.id] = true
		all := map[string]string{}
		for _, m := range []map[string]string{meta, e.metadata} {
			for k, v := range m {
				all[k] = v
			}
		}
		e.metadata = all
		data := e.data
		if !raw {
			if data, err = c.envelope(e.message, name, topic, features); err != nil {
				return nil, apierrors.PubSub(name).WithAppError(c.id, err).CloudEventCreation()
			}
		}
		list = append(list, pubsub.BulkMessageEntry{EntryId: e.id, Event: data, ContentType: e.contentType, Metadata: all})
	}
	return list, nil
}

// oneByOne publishes a bulk to a component that knows none.
func oneByOne(ctx context.Context, to pubsub.PubSub, name, topic string, list []pubsub.BulkMessageEntry) (pubsub.BulkPublishResponse, error) {
	errs := make([]error, len(list))
	next := make(chan int)
	done := make(chan struct{})
	workers := min(bulkWorkers, len(list))
	for range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range next {
				errs[i] = to.Publish(ctx, &pubsub.PublishRequest{PubsubName: name, Topic: topic, Data: list[i].Event, Metadata: list[i].Metadata})
			}
		}()
	}
	for i := range list {
		next <- i
	}
	close(next)
	for range workers {
		<-done
	}
	var res pubsub.BulkPublishResponse
	for i, err := range errs {
		if err != nil {
			res.FailedEntries = append(res.FailedEntries, pubsub.BulkPublishResponseFailedEntry{EntryId: list[i].EntryId, Error: err})
		}
	}
	return res, errors.Join(errs...)
}

var errMismatch = errors.New("error: mismatch between contentType and event")

// eventBytes are the bytes of an event of a bulk over HTTP: base64 for binary content types, a string, or JSON.
func eventBytes(ev json.RawMessage, contentType string) ([]byte, error) {
	var text string
	isText := json.Unmarshal(ev, &text) == nil
	switch {
	case contenttype.IsBinaryContentType(contentType):
		if !isText {
			return nil, errMismatch
		}
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("error: unable to decode base64 data: %w", err)
		}
		return data, nil
	case contenttype.IsJSONContentType(contentType), contenttype.IsCloudEventContentType(contentType):
		return ev, nil
	case contenttype.IsStringContentType(contentType) && isText:
		return []byte(text), nil
	}
	return nil, errMismatch
}

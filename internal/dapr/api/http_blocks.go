package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/dapr/components-contrib/bindings"
	apierrors "github.com/dapr/dapr/pkg/api/errors"
)

func (q *request) servePublish() error {
	if err := q.methods(http.MethodPost, http.MethodPut); err != nil {
		return err
	}
	if q.arg(0) == "bulk" && len(q.args) >= 3 {
		return q.serveBulk(q.arg(1), q.from(2))
	}
	data, err := q.body()
	if err != nil {
		return err
	}
	return q.done(q.publish(q.r.Context(), q.arg(0), q.from(1), message{data, q.r.Header.Get("Content-Type"), q.queryMetadata(), q.trace()}))
}

func (q *request) serveBulk(name, topic string) error {
	var listed []struct {
		EntryID     string            `json:"entryId"`
		Event       json.RawMessage   `json:"event"`
		ContentType string            `json:"contentType"`
		Metadata    map[string]string `json:"metadata"`
	}
	if err := json.NewDecoder(q.r.Body).Decode(&listed); err != nil {
		return apierrors.PubSub(name).WithAppError(q.id, nil).WithTopic(topic).UnmarshalEvents(err)
	}
	entries := make([]entry, 0, len(listed))
	for _, l := range listed {
		data, err := eventBytes(l.Event, l.ContentType)
		if err != nil {
			return apierrors.PubSub(name).WithAppError(q.id, err).WithTopic(topic).MarshalEnvelope()
		}
		entries = append(entries, entry{l.EntryID, message{data, l.ContentType, l.Metadata, q.trace()}})
	}
	failed, err := q.publishAll(q.r.Context(), name, topic, entries, q.queryMetadata())
	if len(failed) == 0 {
		return q.done(err)
	}
	type one struct {
		EntryID string `json:"entryId"`
		Error   string `json:"error,omitempty"`
	}
	out := struct {
		FailedEntries []one  `json:"failedEntries"`
		ErrorCode     string `json:"errorCode,omitempty"`
	}{ErrorCode: "ERR_PUBSUB_PUBLISH_MESSAGE"}
	for _, f := range failed {
		out.FailedEntries = append(out.FailedEntries, one{f.id, f.err})
	}
	code, _ := answer(err)
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/json")
	q.w.WriteHeader(code)
	_, _ = q.w.Write(body)
	return nil
}

func (q *request) serveBinding() error {
	if err := q.methods(http.MethodPost, http.MethodPut); err != nil {
		return err
	}
	var in struct {
		Metadata  map[string]string `json:"metadata"`
		Data      json.RawMessage   `json:"data"`
		Operation string            `json:"operation"`
	}
	if err := q.read(&in); err != nil {
		return err
	}
	if in.Metadata == nil {
		in.Metadata = map[string]string{}
	}
	if t := q.trace(); t.parent != "" {
		in.Metadata["traceparent"], in.Metadata["tracestate"] = t.parent, t.state
	}
	if in.Data == nil {
		in.Data = json.RawMessage("null")
	}
	resp, err := q.invokeBinding(q.r.Context(), q.arg(0), &bindings.InvokeRequest{
		Metadata: in.Metadata, Data: in.Data, Operation: bindings.OperationKind(in.Operation),
	})
	if resp != nil {
		for k, v := range resp.Metadata {
			q.w.Header().Set("metadata."+k, v)
		}
	}
	if err != nil {
		return err
	}
	if resp == nil {
		return q.done(nil)
	}
	return q.data(resp.Data)
}

func (q *request) serveSecrets() error {
	if err := q.methods(http.MethodGet); err != nil {
		return err
	}
	if q.arg(1) == "bulk" && len(q.args) == 2 {
		all, err := q.getSecrets(q.r.Context(), q.arg(0), q.queryMetadata())
		if err != nil || all == nil {
			return q.done(err)
		}
		return q.json(all)
	}
	data, err := q.getSecret(q.r.Context(), q.arg(0), q.from(1), q.queryMetadata())
	if err != nil || data == nil {
		return q.done(err)
	}
	return q.json(data)
}

func (q *request) serveConfiguration() error {
	if err := q.methods(http.MethodGet); err != nil {
		return err
	}
	query := q.r.URL.Query()
	switch {
	case len(q.args) == 2 && q.arg(1) == "subscribe":
		life, _ := q.r.Context().Value(lifeKey{}).(context.Context)
		id, err := q.pushConfiguration(life, q.arg(0), query["key"], q.queryMetadata())
		if err != nil {
			return err
		}
		return q.json(map[string]string{"id": id})
	case len(q.args) == 3 && q.arg(2) == "unsubscribe":
		type result struct {
			OK      bool   `json:"ok,omitempty"`
			Message string `json:"message,omitempty"`
		}
		if !q.unsubscribe(q.arg(1)) {
			return q.json(result{false, "subscription with id " + q.arg(1) + " does not exist"})
		}
		return q.json(result{OK: true})
	}
	items, err := q.getConfiguration(q.r.Context(), q.arg(0), query["key"], q.queryMetadata())
	if err != nil || len(items) == 0 {
		return q.done(err)
	}
	return q.json(items)
}

func (q *request) serveMetadata() error {
	if q.r.Method == http.MethodPut {
		value, err := q.body()
		if err != nil {
			return err
		}
		return q.done(q.setMetadata(q.from(0), string(value)))
	}
	if err := q.methods(http.MethodGet, http.MethodPut); err != nil {
		return err
	}
	return q.json(documentOf(q.metadata()))
}

func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

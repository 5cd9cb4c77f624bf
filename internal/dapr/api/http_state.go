package api

import (
	"encoding/json"
	"maps"
	"net/http"

	"github.com/dapr/components-contrib/state"
	"github.com/dapr/dapr/pkg/messages"
	"github.com/dapr/dapr/pkg/messages/errorcodes"
	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc/codes"
)

func (q *request) serveState() error {
	name := q.arg(0)
	switch {
	case len(q.args) == 1:
		if err := q.methods(http.MethodPost, http.MethodPut); err != nil {
			return err
		}
		return q.saveAll(name)
	case len(q.args) == 2 && q.writes() && q.arg(1) == "bulk":
		return q.getAll(name)
	case len(q.args) == 2 && q.writes() && q.arg(1) == "transaction":
		return q.transaction(name)
	case len(q.args) == 2 && q.writes() && q.arg(1) == "query":
		return q.query(name)
	case q.r.Method == http.MethodDelete:
		return q.deleteOne(name, q.from(1))
	}
	if err := q.methods(http.MethodGet, http.MethodDelete); err != nil {
		return err
	}
	return q.getOne(name, q.from(1))
}

func (q *request) writes() bool { return q.r.Method == http.MethodPost || q.r.Method == http.MethodPut }

func (q *request) getOne(name, key string) error {
	got, err := q.getState(q.r.Context(), name, key, q.r.URL.Query().Get("consistency"), q.queryMetadata())
	if err != nil {
		return err
	}
	if got.Data == nil {
		return q.done(nil)
	}
	if got.ETag != nil {
		q.w.Header().Set("ETag", *got.ETag)
	}
	for k, v := range got.Metadata {
		q.w.Header().Set("metadata."+k, v)
	}
	return q.data(got.Data)
}

func (q *request) deleteOne(name, key string) error {
	query := q.r.URL.Query()
	req := state.DeleteRequest{Key: key, Metadata: q.queryMetadata(), Options: state.DeleteStateOption{
		Concurrency: query.Get("concurrency"), Consistency: query.Get("consistency"),
	}}
	if etag, ok := q.r.Header["If-Match"]; ok && len(etag) > 0 {
		req.ETag = &etag[0]
	}
	return q.done(q.deleteState(q.r.Context(), name, req))
}

func (q *request) saveAll(name string) error {
	var reqs []state.SetRequest
	if err := json.NewDecoder(q.r.Body).Decode(&reqs); err != nil {
		return newFault(errorcodes.CommonMalformedRequest, http.StatusBadRequest, codes.InvalidArgument, "%s", err.Error())
	}
	more := q.queryMetadata()
	for i := range reqs {
		reqs[i].Metadata = merged(reqs[i].Metadata, more)
	}
	return q.done(q.saveStates(q.r.Context(), name, reqs))
}

func merged(m, more map[string]string) map[string]string {
	all := maps.Clone(m)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, more)
	return all
}

func (q *request) getAll(name string) error {
	var in struct {
		Metadata    map[string]string `json:"metadata"`
		Keys        []string          `json:"keys"`
		Parallelism int               `json:"parallelism"`
	}
	if err := q.read(&in); err != nil {
		return err
	}
	got, err := q.getStates(q.r.Context(), name, in.Keys, in.Parallelism, merged(in.Metadata, q.queryMetadata()))
	if err != nil {
		return err
	}
	type item struct {
		Key      string            `json:"key"`
		Data     json.RawMessage   `json:"data,omitempty"`
		ETag     *string           `json:"etag,omitempty"`
		Metadata map[string]string `json:"metadata,omitempty"`
		Error    string            `json:"error,omitempty"`
	}
	out := make([]item, len(got))
	for i, g := range got {
		out[i] = item{Key: g.Key, ETag: g.ETag, Metadata: g.Metadata, Error: g.Error}
		if g.Error == "" {
			out[i].Data = document(g.Data)
		}
	}
	return q.json(out)
}

// document is data as a part of a JSON document: itself where it is JSON, else a string.
func document(data []byte) json.RawMessage {
	if len(data) == 0 || json.Valid(data) {
		return data
	}
	s, _ := json.Marshal(string(data))
	return s
}

func (q *request) transaction(name string) error {
	var in struct {
		Operations []struct {
			Operation string          `json:"operation"`
			Request   json.RawMessage `json:"request"`
		} `json:"operations"`
		Metadata map[string]string `json:"metadata"`
	}
	if err := q.read(&in); err != nil {
		return err
	}
	more := q.queryMetadata()
	var ops []state.TransactionalStateOperation
	for _, o := range in.Operations {
		switch state.OperationType(o.Operation) {
		case state.OperationUpsert:
			var req state.SetRequest
			if err := json.Unmarshal(o.Request, &req); err != nil {
				return messages.ErrMalformedRequest.WithFormat(err)
			}
			req.Metadata = merged(req.Metadata, more)
			ops = append(ops, req)
		case state.OperationDelete:
			var req state.DeleteRequest
			if err := json.Unmarshal(o.Request, &req); err != nil {
				return messages.ErrMalformedRequest.WithFormat(err)
			}
			req.Metadata = merged(req.Metadata, more)
			ops = append(ops, req)
		default:
			return newFault(errorcodes.StateNotSupportedOperation, http.StatusBadRequest, codes.Unimplemented, messages.ErrNotSupportedStateOperation, o.Operation)
		}
	}
	return q.done(q.transact(q.r.Context(), name, ops, merged(in.Metadata, more)))
}

func (q *request) query(name string) error {
	body, err := q.body()
	if err != nil {
		return err
	}
	got, err := q.queryState(q.r.Context(), name, string(body), q.queryMetadata())
	if err != nil {
		return err
	}
	if len(got.Results) == 0 {
		return q.done(nil)
	}
	type row struct {
		Key   string          `json:"key"`
		Data  json.RawMessage `json:"data"`
		ETag  *string         `json:"etag,omitempty"`
		Error string          `json:"error,omitempty"`
	}
	out := struct {
		Results  []row             `json:"results"`
		Token    string            `json:"token,omitempty"`
		Metadata map[string]string `json:"metadata,omitempty"`
	}{Token: got.Token, Metadata: got.Metadata}
	for _, r := range got.Results {
		out.Results = append(out.Results, row{r.Key, document(r.Data), r.ETag, r.Error})
	}
	return q.json(out)
}

// documentOf is metadata as daprd's HTTP API has it.
func documentOf(m *runtimev1.GetMetadataResponse) any {
	type rule struct {
		Match string `json:"match,omitempty"`
		Path  string `json:"path,omitempty"`
	}
	type subscription struct {
		PubsubName      string            `json:"pubsubname"`
		Topic           string            `json:"topic"`
		Metadata        map[string]string `json:"metadata,omitempty"`
		Rules           []rule            `json:"rules,omitempty"`
		DeadLetterTopic string            `json:"deadLetterTopic"`
		Type            string            `json:"type"`
	}
	var subs []subscription
	for _, s := range m.GetSubscriptions() {
		one := subscription{PubsubName: s.GetPubsubName(), Topic: s.GetTopic(), Metadata: s.GetMetadata(), DeadLetterTopic: s.GetDeadLetterTopic(), Type: s.GetType().String()}
		for _, r := range s.GetRules().GetRules() {
			one.Rules = append(one.Rules, rule{r.GetMatch(), r.GetPath()})
		}
		subs = append(subs, one)
	}
	type connection struct {
		Port           int32  `json:"port,omitempty"`
		Protocol       string `json:"protocol,omitempty"`
		ChannelAddress string `json:"channelAddress,omitempty"`
		MaxConcurrency int32  `json:"maxConcurrency,omitempty"`
	}
	app := m.GetAppConnectionProperties()
	return struct {
		ID            string                            `json:"id,omitempty"`
		Version       string                            `json:"runtimeVersion,omitempty"`
		Components    []*runtimev1.RegisteredComponents `json:"components,omitempty"`
		Extended      map[string]string                 `json:"extended,omitempty"`
		Subscriptions []subscription                    `json:"subscriptions,omitempty"`
		Connection    connection                        `json:"appConnectionProperties"`
		Actors        map[string]any                    `json:"actorRuntime"`
	}{
		m.GetId(), m.GetRuntimeVersion(), m.GetRegisteredComponents(), m.GetExtendedMetadata(), subs,
		connection{app.GetPort(), app.GetProtocol(), app.GetChannelAddress(), app.GetMaxConcurrency()},
		map[string]any{"runtimeStatus": "DISABLED", "hostReady": false},
	}
}

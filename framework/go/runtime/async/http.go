package async

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/dapr/go-sdk/service/common"

	"github.com/OpenFunction/functions-framework-go/host"
)

// metadataPrefix begins the request headers that hold metadata of the broker.
const metadataPrefix = "Metadata."

// subscription is one element of the answer to GET /dapr/subscribe.
type subscription struct {
	PubsubName      string            `json:"pubsubname"`
	Topic           string            `json:"topic"`
	Route           string            `json:"route"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	DeadLetterTopic string            `json:"deadLetterTopic,omitempty"`
}

func (s *Server) routes(next http.Handler) http.Handler {
	topics := map[string]topic{}
	subscriptions := []subscription{}
	for _, t := range s.topics {
		topics[t.route] = t
		subscriptions = append(subscriptions, subscription{t.pubsub, t.name, t.route, t.metadata, t.dead})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/dapr/subscribe" {
			writeJSON(w, subscriptions)
			return
		}
		input, isBinding := s.bindings[strings.TrimPrefix(r.URL.Path, "/")]
		t, isTopic := topics[r.URL.Path]
		switch {
		case isBinding && r.Method == http.MethodOptions:
			w.Header().Set("Allow", "OPTIONS, POST")
		case isBinding && r.Method == http.MethodPost:
			s.bindingEvent(w, r, input)
		case isTopic && r.Method == http.MethodPost:
			s.topicEvent(w, r, t)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Server) bindingEvent(w http.ResponseWriter, r *http.Request, input string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "reading the event failed", http.StatusBadRequest)
		return
	}
	out, err := s.call(host.WithTrace(r.Context(), host.TraceIn(r.Header)), input, &common.BindingEvent{Data: body, Metadata: headers(r.Header)})
	if judge(out, err) != success {
		http.Error(w, errRefused.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(data(out)) // a client that has gone is told nothing
}

func (s *Server) topicEvent(w http.ResponseWriter, r *http.Request, t topic) {
	event, trace, err := readTopicEvent(r, t)
	if err != nil {
		s.log.Warn("topic event dropped", "topic", t.name, "pubsub", t.pubsub, "error", err.Error())
		writeJSON(w, map[string]string{"status": "DROP"}) // it will not become readable by coming again
		return
	}
	out, err := s.call(host.WithTrace(r.Context(), trace), t.input, event)
	text := [...]string{success: "SUCCESS", retry: "RETRY", drop: "DROP"}[judge(out, err)]
	writeJSON(w, map[string]string{"status": text})
}

// readTopicEvent reads the CloudEvent that Dapr makes of every message. The trace is that of the request, otherwise that of the event.
func readTopicEvent(r *http.Request, t topic) (*common.TopicEvent, host.Trace, error) {
	trace := host.TraceIn(r.Header)
	var in struct {
		common.TopicEvent
		Data   json.RawMessage `json:"data"`
		Base64 string          `json:"data_base64"`
		Parent string          `json:"traceparent"`
		State  string          `json:"tracestate"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, trace, fmt.Errorf("reading the event: %w", err)
	}
	if trace.Parent == "" {
		trace.Parent, trace.State = in.Parent, in.State
	}
	e := in.TopicEvent
	e.DataBase64 = in.Base64
	e.RawData = in.Data
	if in.Base64 != "" {
		raw, err := base64.StdEncoding.DecodeString(in.Base64)
		if err != nil {
			return nil, trace, fmt.Errorf("reading data_base64 of the event: %w", err)
		}
		e.RawData = raw
	} else if text := ""; !isJSON(e.DataContentType) && json.Unmarshal(in.Data, &text) == nil {
		e.RawData = []byte(text)
	}
	e.Data = decoded(e.RawData, e.DataContentType)
	if e.Topic == "" {
		e.Topic, e.PubsubName = t.name, t.pubsub
	}
	e.Metadata = headers(r.Header)
	return &e, trace, nil
}

// headers returns the metadata of the broker, which Dapr hands on as headers.
func headers(h http.Header) map[string]string {
	out := map[string]string{}
	for key := range h {
		name := strings.TrimPrefix(key, metadataPrefix)
		out[strings.ToLower(name)] = h.Get(key)
	}
	return out
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that has gone is told nothing
}

package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/dapr/components-contrib/pubsub"
	"github.com/google/uuid"

	"github.com/openfunction/ofn/internal/event"
)

// maxAnswer bounds how much of an app's answer is read.
const maxAnswer = 4 << 20

// httpChannel is the app channel over HTTP.
type httpChannel struct {
	client *http.Client
	token  string
}

func newHTTPChannel(token string, dial dialer, h2c bool) *httpChannel {
	t := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxIdleConnsPerHost: 16, IdleConnTimeout: idleChannel, DisableCompression: true,
		WriteBufferSize: 4 << 10, ReadBufferSize: 4 << 10,
	}
	if h2c {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return &httpChannel{token: token, client: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (h *httpChannel) close() { h.client.CloseIdleConnections() }

// send posts a body and reads the answer.
func (h *httpChannel) send(ctx context.Context, method, path, kind string, body []byte, header http.Header) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://app/"+strings.TrimPrefix(path, "/"), bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("path %q of the app: %w", path, err)
	}
	if header != nil {
		req.Header = header
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if h.token != "" {
		req.Header.Set("dapr-api-token", h.token)
	}
	req.Header.Set("User-Agent", "dapr-runtime/ofn")
	resp, err := h.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return resp.StatusCode, nil, fmt.Errorf("reading the answer: %w", err)
	}
	return resp.StatusCode, answer, nil
}

// header carries metadata that are header fields, and the trace.
func header(meta map[string]string, ev map[string]any) http.Header {
	h := http.Header{}
	for k, v := range meta {
		if fieldName(k) && !hopByHop[strings.ToLower(k)] && !strings.ContainsAny(v, "\r\n\x00") {
			h.Set(k, v)
		}
	}
	for _, k := range []string{pubsub.TraceParentField, pubsub.TraceStateField} {
		if v, ok := ev[k].(string); ok && v != "" && !strings.ContainsAny(v, "\r\n\x00") {
			h.Set(k, v)
		}
	}
	return h
}

var hopByHop = map[string]bool{
	"content-type": true, "content-length": true, "host": true, "connection": true, "transfer-encoding": true, "upgrade": true,
	"keep-alive": true, "te": true, "trailer": true, "proxy-connection": true, "expect": true, "dapr-api-token": true,
}

func fieldName(s string) bool {
	return s != "" && len(s) < 256 && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

func (h *httpChannel) topic(ctx context.Context, ev *topicEvent) verdict {
	code, body, err := h.send(ctx, http.MethodPost, ev.path, "application/cloudevents+json", ev.body, header(ev.metadata, ev.event))
	if err != nil {
		return unreachable(err)
	}
	if v, bad := failure(code, ev.path, body); bad {
		return v
	}
	var said struct {
		Status string `json:"status"`
	}
	// An answer that is no such document is a success, as an empty one is.
	_ = json.Unmarshal(body, &said)
	return status(said.Status, code)
}

func unreachable(err error) verdict { return verdict{outcome: retry, cause: err, broken: true} }

// failure is the verdict of an answer that is no 2xx.
func failure(code int, path string, body []byte) (verdict, bool) {
	switch {
	case code >= 200 && code <= 299:
		return verdict{}, false
	case code == http.StatusNotFound:
		return refusal(fmt.Errorf("the function answered 404: it has no path %q", path), code), true
	}
	return failed(fmt.Errorf("the function answered %d: %s", code, excerpt(body)), code), true
}

func status(said string, code int) verdict {
	switch said {
	case "", "SUCCESS":
		return verdict{outcome: success, code: code}
	case "RETRY":
		return failed(errors.New("the function answered RETRY"), code)
	case "DROP":
		return refusal(errors.New("the function answered DROP"), code)
	}
	return failed(fmt.Errorf("the function answered the unknown status %q", excerpt([]byte(said))), code)
}

func excerpt(b []byte) string {
	const most = 200
	if len(b) > most {
		b = append(bytes.Clone(b[:most]), "…"...)
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(b)), "?")
}

type bulkEntry struct {
	EntryID     string            `json:"entryId"`
	Event       any               `json:"event"`
	ContentType string            `json:"contentType,omitempty"`
	Metadata    map[string]string `json:"metadata"`
}

func (h *httpChannel) topics(ctx context.Context, evs []*topicEvent) []verdict {
	entries := make([]bulkEntry, len(evs))
	for i, ev := range evs {
		entries[i] = bulkEntry{fmt.Sprint(i), json.RawMessage(ev.body), "application/cloudevents+json", ev.metadata}
	}
	first := evs[0].sub
	body, err := json.Marshal(map[string]any{
		"id": uuid.NewString(), "entries": entries, "metadata": map[string]string{}, "topic": first.Topic,
		"pubsubname": first.Component, "type": pubsub.DefaultBulkEventType,
	})
	if err != nil {
		return all(len(evs), failed(err, 0))
	}
	code, answer, err := h.send(ctx, http.MethodPost, evs[0].path, "application/json", body, header(nil, evs[0].event))
	if err != nil {
		return all(len(evs), unreachable(err))
	}
	if v, bad := failure(code, evs[0].path, answer); bad {
		return all(len(evs), v)
	}
	var said struct {
		Statuses []struct {
			EntryID string `json:"entryId"`
			Status  string `json:"status"`
		} `json:"statuses"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return all(len(evs), failed(fmt.Errorf("reading the statuses that the function answered: %w", err), code))
	}
	of := map[string]string{}
	for _, s := range said.Statuses {
		of[s.EntryID] = s.Status
	}
	return each(len(evs), func(i int) verdict {
		if s := of[fmt.Sprint(i)]; s != "" {
			return status(s, code)
		}
		return failed(errors.New("the function answered no status for this event of several"), code)
	})
}

func all(n int, v verdict) []verdict { return each(n, func(int) verdict { return v }) }

func each(n int, of func(int) verdict) []verdict {
	vs := make([]verdict, n)
	for i := range vs {
		vs[i] = of(i)
	}
	return vs
}

func (h *httpChannel) binding(ctx context.Context, ev *bindingEvent) (*bindingAnswer, verdict) {
	code, body, err := h.send(ctx, http.MethodPost, ev.route, "application/json", ev.data, header(ev.metadata, nil))
	if err != nil {
		return nil, unreachable(err)
	}
	if code < 200 || code > 299 {
		return nil, failed(fmt.Errorf("the function answered %d: %s", code, excerpt(body)), code)
	}
	return &bindingAnswer{data: body}, verdict{outcome: success, code: code}
}

// httpSubscription is one of GET /dapr/subscribe.
type httpSubscription struct {
	PubsubName      string            `json:"pubsubname"`
	Topic           string            `json:"topic"`
	Route           string            `json:"route"`
	DeadLetterTopic string            `json:"deadLetterTopic"`
	Metadata        map[string]string `json:"metadata"`
	Routes          *struct {
		Rules []struct {
			Match string `json:"match"`
			Path  string `json:"path"`
		} `json:"rules"`
		Default string `json:"default"`
	} `json:"routes"`
	BulkSubscribe *struct {
		Enabled            bool `json:"enabled"`
		MaxMessagesCount   int  `json:"maxMessagesCount"`
		MaxAwaitDurationMs int  `json:"maxAwaitDurationMs"`
	} `json:"bulkSubscribe"`
}

func (h *httpChannel) subscriptions(ctx context.Context) ([]subscription, error) {
	code, body, err := h.send(ctx, http.MethodGet, "/dapr/subscribe", "", nil, nil)
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, &notAnswered{code}
	}
	return readSubscriptions(body)
}

// notAnswered says that an app answered a question of Dapr's with a status that is not 200.
type notAnswered struct{ code int }

func (e *notAnswered) Error() string { return fmt.Sprintf("the function answered %d", e.code) }

// readSubscriptions reads what GET /dapr/subscribe answered.
func readSubscriptions(body []byte) ([]subscription, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	var listed []httpSubscription
	if err := json.Unmarshal(body, &listed); err != nil {
		return nil, fmt.Errorf("reading the answer of GET /dapr/subscribe: %w", err)
	}
	var subs []subscription
	for _, l := range listed {
		s := subscription{
			Source: "programmatic", Component: l.PubsubName, Topic: l.Topic, Default: l.Route, DeadTopic: l.DeadLetterTopic, Metadata: l.Metadata,
		}
		if l.Routes != nil {
			for _, r := range l.Routes.Rules {
				s.Rules = append(s.Rules, event.Route{Match: r.Match, Path: r.Path})
			}
			if l.Routes.Default != "" {
				s.Default = l.Routes.Default
			}
		}
		if b := l.BulkSubscribe; b != nil {
			s.Bulk, s.BulkMax, s.BulkWait = b.Enabled, b.MaxMessagesCount, time.Duration(b.MaxAwaitDurationMs)*time.Millisecond
		}
		subs = append(subs, s)
	}
	return subs, nil
}

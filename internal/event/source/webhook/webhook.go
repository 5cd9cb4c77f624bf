// Package webhook takes HTTP calls as events, after a check of who sent them. A call is answered when its event is safe.
package webhook

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.WebhookSpec.
type spec struct {
	Path      string   `json:"path"`
	Methods   []string `json:"methods"`
	Verify    string   `json:"verify"`
	Secret    string   `json:"secret"`
	Header    string   `json:"header"`
	Algorithm string   `json:"algorithm"`
	Encoding  string   `json:"encoding"`
	Prefix    string   `json:"prefix"`
	Tolerance string   `json:"tolerance"`
	MaxBytes  int64    `json:"maxBytes"`
}

// New makes the sources, which listen at mux.
func New(mux *source.Mux) source.New {
	return func(c source.Config) (source.Source, error) {
		var s spec
		if err := c.Decode(&s); err != nil {
			return nil, err
		}
		check, err := s.checker()
		if err != nil {
			return nil, err
		}
		h := &hook{id: c.Identity, spec: s, check: check, mux: mux}
		if h.spec.Path, err = c.HTTPPath(s.Path); err != nil {
			return nil, err
		}
		for i, m := range h.spec.Methods {
			h.spec.Methods[i] = strings.ToUpper(m)
		}
		return h, nil
	}
}

type hook struct {
	id    source.Identity
	spec  spec
	check checker
	mux   *source.Mux
}

func (h *hook) Run(ctx context.Context, out source.Out) error {
	return h.mux.Run(ctx, out, source.Endpoint{
		Path: h.spec.Path, Methods: h.spec.Methods, MaxBytes: h.spec.MaxBytes,
		Handle: func(ctx context.Context, r *http.Request, body []byte) source.Answer {
			if err := h.check(r.Header, body, time.Now()); err != nil {
				return source.Answer{Code: http.StatusUnauthorized, Body: err.Error()}
			}
			if challenge, ok := h.challenge(body); ok {
				return source.Answer{Code: http.StatusOK, Body: challenge}
			}
			e := h.event(r, body)
			if err := out.Emit(ctx, e); err != nil {
				return source.Unsafe
			}
			id, _ := json.Marshal(map[string]string{"id": e.ID})
			code := http.StatusAccepted
			if h.spec.Verify == "slack" {
				code = http.StatusOK // what Slack takes for a success
			}
			return source.Answer{Code: code, Header: map[string]string{"Content-Type": "application/json"}, Body: string(id)}
		},
	})
}

// challenge is how Slack finds out whether the endpoint is its owner's.
func (h *hook) challenge(body []byte) (string, bool) {
	if h.spec.Verify != "slack" {
		return "", false
	}
	var ask struct{ Type, Challenge string }
	if json.Unmarshal(body, &ask) != nil || ask.Type != "url_verification" {
		return "", false
	}
	return ask.Challenge, true
}

// event is the call as an event: its id and subject are the sender's, where the sender has them.
func (h *hook) event(r *http.Request, body []byte) cloudevent.Event {
	if len(body) == 0 && r.URL.RawQuery != "" {
		body, _ = json.Marshal(r.URL.Query())
	}
	id, subject := "", ""
	switch h.spec.Verify {
	case "github":
		id, subject = r.Header.Get("X-GitHub-Delivery"), r.Header.Get("X-GitHub-Event")
	case "gitlab":
		id, subject = gitlabID(r.Header, body), r.Header.Get("X-Gitlab-Event")
	case "standard":
		id, subject = r.Header.Get("webhook-id"), field(body, "type")
	case "stripe":
		id, subject = field(body, "id"), field(body, "type")
	case "slack":
		id, subject = field(body, "event_id"), field(body, "type")
	}
	e := h.id.Message(source.Headers(r.Header), "", id, body, time.Now())
	if e.Source == h.id.URI() && e.Subject == "" {
		e.Subject = subject
	}
	if e.Validate() != nil { // the sender's id or subject is none that an event can have
		e = h.id.Make("", "", body, time.Now())
	}
	return e
}

// gitlabID stays the same when GitLab sends a call again. Older ones have only the UUID of the event, which events share that one
// brought about by a webhook of the other.
func gitlabID(h http.Header, body []byte) string {
	if key := h.Get("Idempotency-Key"); key != "" {
		return key
	}
	uuid := h.Get("X-Gitlab-Event-UUID")
	if uuid == "" {
		return ""
	}
	return source.Hash(uuid, string(body))
}

// field is a string of a JSON object; empty when it is not there.
func field(body []byte, name string) string {
	var all map[string]json.RawMessage
	var s string
	if json.Unmarshal(body, &all) != nil || json.Unmarshal(all[name], &s) != nil {
		return ""
	}
	return s
}

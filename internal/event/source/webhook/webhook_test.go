package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
	"github.com/openfunction/ofn/internal/event/source/webhook"
)

const (
	secret   = "it's a secret"
	standard = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	body     = `{"id":"evt_1","event_id":"Ev1","type":"thing.happened"}`
)

func mac(h func() hash.Hash, text string) []byte {
	m := hmac.New(h, []byte(secret))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexMAC(text string) string { return hex.EncodeToString(mac(sha256.New, text)) }

func standardHeaders(at time.Time, payload string) map[string]string {
	w, err := standardwebhooks.NewWebhook(standard)
	if err != nil {
		panic(err)
	}
	signature, err := w.Sign("msg_1", at, []byte(payload))
	if err != nil {
		panic(err)
	}
	return map[string]string{"webhook-id": "msg_1", "webhook-timestamp": fmt.Sprint(at.Unix()), "webhook-signature": "v1,AAAA " + signature}
}

type call struct {
	header map[string]string
	code   int
}

// kinds are the checks, with calls that pass and calls that do not.
func kinds() map[string]struct {
	spec        map[string]any
	id, subject string
	calls       []call
} {
	now, old := time.Now(), time.Now().Add(-time.Hour)
	slackSig := func(at time.Time) map[string]string {
		return map[string]string{"X-Slack-Request-Timestamp": fmt.Sprint(at.Unix()), "X-Slack-Signature": "v0=" + hexMAC(fmt.Sprintf("v0:%d:%s", at.Unix(), body))}
	}
	stripeSig := func(at time.Time) map[string]string {
		return map[string]string{"Stripe-Signature": fmt.Sprintf("t=%d,v1=00,v1=%s,v0=1", at.Unix(), hexMAC(fmt.Sprintf("%d.%s", at.Unix(), body)))}
	}
	return map[string]struct {
		spec        map[string]any
		id, subject string
		calls       []call
	}{
		"none": {map[string]any{}, "", "", []call{{nil, 202}}},
		"github": {map[string]any{"secret": "older\n" + secret + "\n"}, "d-1", "push", []call{
			{map[string]string{"X-GitHub-Delivery": "d-1", "X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + hexMAC(body)}, 202},
			{map[string]string{"X-Hub-Signature-256": "sha256=" + hexMAC(body+" ")}, 401},
			{map[string]string{"X-Hub-Signature-256": hexMAC(body)}, 401}, {map[string]string{"X-Hub-Signature-256": "sha256="}, 401}, {nil, 401},
		}},
		"gitlab": {map[string]any{"secret": secret}, "k-1", "Push Hook", []call{
			{map[string]string{"X-Gitlab-Token": secret, "X-Gitlab-Event-UUID": "u-1", "Idempotency-Key": "k-1", "X-Gitlab-Event": "Push Hook"}, 202},
			{map[string]string{"X-Gitlab-Token": secret + "x"}, 401}, {nil, 401},
		}},
		"slack": {map[string]any{"secret": secret}, "Ev1", "thing.happened", []call{
			{slackSig(now), 200}, {slackSig(old), 401}, {map[string]string{"X-Slack-Request-Timestamp": "x", "X-Slack-Signature": "v0=00"}, 401}, {nil, 401},
		}},
		"stripe": {map[string]any{"secret": secret, "tolerance": "10m0s"}, "evt_1", "thing.happened", []call{
			{stripeSig(now.Add(-9 * time.Minute)), 202}, {stripeSig(old), 401}, {stripeSig(now.Add(time.Hour)), 401}, {map[string]string{"Stripe-Signature": "t=,v1="}, 401}, {nil, 401},
		}},
		"standard": {map[string]any{"secret": standard}, "msg_1", "thing.happened", []call{
			{standardHeaders(now, body), 202}, {standardHeaders(old, body), 401}, {standardHeaders(now, body+"x"), 401}, {nil, 401},
		}},
		"hmac": {map[string]any{"secret": secret, "header": "X-Sig", "algorithm": "sha1", "encoding": "base64", "prefix": "sha1="}, "", "", []call{
			{map[string]string{"X-Sig": "sha1=" + base64.StdEncoding.EncodeToString(mac(sha1.New, body))}, 202},
			{map[string]string{"X-Sig": "sha1=!"}, 401}, {nil, 401},
		}},
		"token": {map[string]any{"secret": secret}, "", "", []call{
			{map[string]string{"Authorization": "bearer " + secret}, 202}, {map[string]string{"Authorization": secret}, 202},
			{map[string]string{"Authorization": "Bearer no"}, 401}, {nil, 401},
		}},
	}
}

func post(mux http.Handler, path, body string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func TestVerification(t *testing.T) {
	for name, c := range kinds() {
		t.Run(name, func(t *testing.T) {
			var mux source.Mux
			if name != "none" {
				c.spec["verify"] = name
			}
			s := sourcetest.Start(t, webhook.New(&mux), sourcetest.Config(t, "webhook", c.spec))
			s.Connected()
			for i, x := range c.calls {
				w := post(&mux, "/events/ns/es/ev", body, x.header)
				if w.Code != x.code {
					t.Fatalf("call %d: %d %s, want %d", i, w.Code, w.Body, x.code)
				}
				if x.code >= 400 {
					if !s.None() {
						t.Fatalf("call %d was refused and made an event all the same", i)
					}
					continue
				}
				e := s.Next()
				if string(e.Data) != body || e.DataContentType != "application/json" || e.Subject != c.subject || c.id != "" && e.ID != c.id || e.Type != "io.openfunction.webhook" {
					t.Fatalf("call %d: %+v", i, e)
				}
			}
		})
	}
}

// TestGitLabChains: what a webhook of an event brings about has the UUID of that event, and is another one.
func TestGitLabChains(t *testing.T) {
	var mux source.Mux
	s := sourcetest.Start(t, webhook.New(&mux), sourcetest.Config(t, "webhook", map[string]any{"verify": "gitlab", "secret": secret}))
	s.Connected()
	ids := map[string]int{}
	for _, text := range []string{`{"n":1}`, `{"n":2}`, `{"n":1}`} {
		if w := post(&mux, "/events/ns/es/ev", text, map[string]string{"X-Gitlab-Token": secret, "X-Gitlab-Event-UUID": "u-1"}); w.Code != 202 {
			t.Fatal(w.Code)
		}
		ids[s.Next().ID]++
	}
	if len(ids) != 2 {
		t.Errorf("ids %v: two events, one of which was sent twice", ids)
	}
}

// limited takes down the deadlines of reading.
type limited struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (l *limited) SetReadDeadline(at time.Time) error {
	l.deadlines = append(l.deadlines, at)
	return nil
}

// TestSlowBodies: a caller that does not send what it announced gives its place back.
func TestSlowBodies(t *testing.T) {
	var mux source.Mux
	s := sourcetest.Start(t, webhook.New(&mux), sourcetest.Config(t, "webhook", map[string]any{}))
	s.Connected()
	w := &limited{ResponseRecorder: httptest.NewRecorder()}
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/events/ns/es/ev", strings.NewReader("x")))
	if w.Code != 202 || len(w.deadlines) != 2 || w.deadlines[0].IsZero() || !w.deadlines[1].IsZero() {
		t.Errorf("%d, deadlines %v: one for the body, and none after it", w.Code, w.deadlines)
	}
}

func TestSlackChallenge(t *testing.T) {
	var mux source.Mux
	s := sourcetest.Start(t, webhook.New(&mux), sourcetest.Config(t, "webhook", map[string]any{"verify": "slack", "secret": secret, "path": "/events/ns/slack"}))
	s.Connected()
	ask := `{"type":"url_verification","challenge":"3eZ"}`
	at := time.Now().Unix()
	w := post(&mux, "/events/ns/slack", ask, map[string]string{"X-Slack-Request-Timestamp": fmt.Sprint(at), "X-Slack-Signature": "v0=" + hexMAC(fmt.Sprintf("v0:%d:%s", at, ask))})
	if w.Code != 200 || strings.TrimSpace(w.Body.String()) != "3eZ" || !s.None() {
		t.Fatalf("%d %q", w.Code, w.Body)
	}
}

func TestCalls(t *testing.T) {
	var mux source.Mux
	s := sourcetest.Start(t, webhook.New(&mux), sourcetest.Config(t, "webhook", map[string]any{"maxBytes": 10, "methods": []string{"get", "POST"}}))
	s.Connected()
	const path = "/events/ns/es/ev"
	if w := post(&mux, path, "12345678901", nil); w.Code != 413 {
		t.Errorf("too large: %d", w.Code)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("PUT", path, nil))
	if w.Code != 405 || w.Header().Get("Allow") != "GET, POST" {
		t.Errorf("PUT: %d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", path+"?a=1", nil))
	if e := s.Next(); w.Code != 202 || string(e.Data) != `{"a":["1"]}` {
		t.Errorf("GET: %d %s", w.Code, e.Data)
	}
	if w := post(&mux, path, "x", map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "9", "Ce-Source": "/mine", "Ce-Type": "t"}); w.Code != 202 {
		t.Error(w.Code)
	}
	if e := s.Next(); e.ID != "9" || e.Source != "/mine" {
		t.Errorf("a CloudEvent must keep its attributes: %+v", e)
	}
	s.Stop()
	if w := post(&mux, path, "x", nil); w.Code != 404 {
		t.Errorf("it listens after its end: %d", w.Code)
	}
}

// TestNotSafe: a caller is told to send it again when the event could not be made safe.
func TestNotSafe(t *testing.T) {
	var mux source.Mux
	s := sourcetest.Start(t, webhook.New(&mux), sourcetest.Config(t, "webhook", map[string]any{}))
	s.Connected()
	s.Hold()
	r := httptest.NewRequest(http.MethodPost, "/events/ns/es/ev", strings.NewReader("x"))
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r.WithContext(ctx))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	s.Release()
}

func TestInvalid(t *testing.T) {
	for field, spec := range map[string]map[string]any{
		"secret":    {"verify": "github"},
		"verify":    {"verify": "x", "secret": "s"},
		"algorithm": {"verify": "hmac", "secret": "s", "algorithm": "md5"},
		"encoding":  {"verify": "hmac", "secret": "s", "encoding": "rot13"},
		"path":      {"path": "/default/somebodys-function"},
		"tolerance": {"verify": "slack", "secret": "s", "tolerance": "soon"},
	} {
		var invalid source.Invalid
		if _, err := webhook.New(&source.Mux{})(sourcetest.Config(t, "webhook", spec)); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	var invalid source.Invalid
	if _, err := webhook.New(&source.Mux{})(sourcetest.Config(t, "webhook", map[string]any{"verify": "standard", "secret": "not base64!"})); !errors.As(err, &invalid) {
		t.Error(err)
	}
}

// FuzzSignatures: no header makes a check pass or panic.
func FuzzSignatures(f *testing.F) {
	f.Add("sha256=00", "123", body)
	f.Add("t=1,v1=00,v1=", "", "x")
	f.Add("v1,AAAA v1", "-1", "")
	f.Fuzz(func(t *testing.T, signature, at, payload string) {
		for _, kind := range []string{"github", "gitlab", "slack", "stripe", "standard", "hmac", "token"} {
			var mux source.Mux
			spec := map[string]any{"verify": kind, "secret": secret}
			if kind == "standard" {
				spec["secret"] = standard
			}
			s := sourcetest.Start(t, webhook.New(&mux), sourcetest.Config(t, "webhook", spec))
			s.Connected()
			r := httptest.NewRequest(http.MethodPost, "/events/ns/es/ev", strings.NewReader(payload))
			for _, name := range []string{"X-Hub-Signature-256", "X-Gitlab-Token", "X-Slack-Signature", "Stripe-Signature", "webhook-signature", "X-Signature", "Authorization"} {
				r.Header[http.CanonicalHeaderKey(name)] = []string{signature}
			}
			r.Header.Set("X-Slack-Request-Timestamp", at)
			r.Header.Set("webhook-timestamp", at)
			r.Header.Set("webhook-id", at)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if w.Code != 401 {
				t.Fatalf("%s: %d", kind, w.Code)
			}
			s.Stop()
		}
	})
}

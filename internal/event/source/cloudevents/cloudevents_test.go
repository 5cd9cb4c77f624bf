package cloudevents_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/cloudevents"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
)

const one = `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}`

func TestModes(t *testing.T) {
	var mux source.Mux
	s := sourcetest.Start(t, cloudevents.New(&mux), sourcetest.Config(t, "cloudevents", map[string]any{"token": "tok", "maxBytes": 500}))
	s.Connected()
	for name, c := range map[string]struct {
		header map[string]string
		body   string
		code   int
		events int
	}{
		"binary":       {map[string]string{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "content-type": "text/plain"}, "x", 202, 1},
		"structured":   {map[string]string{"content-type": "application/cloudevents+json"}, one, 202, 1},
		"batch":        {map[string]string{"content-type": "application/cloudevents-batch+json"}, "[" + one + "," + one + "]", 202, 2},
		"empty":        {map[string]string{"content-type": "application/cloudevents-batch+json"}, "[]", 202, 0},
		"half a batch": {map[string]string{"content-type": "application/cloudevents-batch+json"}, "[" + one + `,{"id":"2"}]`, 400, 0},
		"none":         {map[string]string{"content-type": "application/json"}, "{}", 415, 0},
		"invalid":      {map[string]string{"ce-specversion": "1.0", "ce-id": "1"}, "", 400, 0},
		"xml":          {map[string]string{"content-type": "application/cloudevents+xml"}, "<a/>", 400, 0},
		"too large":    {map[string]string{"content-type": "application/cloudevents+json"}, strings.Repeat(" ", 501), 413, 0},
		"no token":     {map[string]string{"content-type": "application/cloudevents+json", "authorization": "Bearer no"}, one, 401, 0},
	} {
		r := httptest.NewRequest("POST", "/events/ns/es/ev", strings.NewReader(c.body))
		r.Header.Set("Authorization", "Bearer tok")
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != c.code {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, c.code)
		}
		for range c.events {
			if e := s.Next(); e.ID != "1" || e.Source != "/s" || e.Type != "t" {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if !s.None() {
			t.Errorf("%s: too many events", name)
		}
	}
}

func TestHandshake(t *testing.T) {
	for origin, allowed := range map[string]string{"eventemitter.example.com": "eventemitter.example.com", "evil.example.com": ""} {
		var mux source.Mux
		s := sourcetest.Start(t, cloudevents.New(&mux), sourcetest.Config(t, "cloudevents", map[string]any{"path": "/events/ns/in", "allowedOrigins": []string{"eventemitter.example.com"}}))
		s.Connected()
		r := httptest.NewRequest("OPTIONS", "/events/ns/in", nil)
		r.Header.Set("WebHook-Request-Origin", origin)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != 200 || w.Header().Get("WebHook-Allowed-Origin") != allowed || !strings.Contains(w.Header().Get("Allow"), "POST") {
			t.Errorf("%s: %d %v", origin, w.Code, w.Header())
		}
		s.Stop()
	}
}

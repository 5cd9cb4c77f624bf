//go:build keda

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/openfunction/ofn/scalers/serve"
)

// TestRealScaler asks one of KEDA's own scalers, which needs no broker.
func TestRealScaler(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprint(w, `{"queue": {"waiting": 42}}`)
	}))
	t.Cleanup(web.Close)
	trigger := serve.Trigger{
		Type: "metrics-api", Name: "q", Namespace: "ns", Object: "fn", Kind: "ScaledObject", MetricType: "AverageValue",
		Metadata: map[string]string{"url": web.URL, "valueLocation": "queue.waiting", "targetValue": "10", "authMode": "basic"},
		Auth:     map[string]string{"username": "me", "password": "secret"},
	}
	s, err := build(t.Context(), trigger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(t.Context()) })
	specs, err := s.Specs(t.Context())
	if err != nil || len(specs) != 1 || specs[0].Target != 10 {
		t.Fatalf("%+v %v", specs, err)
	}
	if n, active, err := s.Read(t.Context(), specs[0].Name); n != 42 || !active || err != nil {
		t.Errorf("%v %v %v", n, active, err)
	}
	trigger.Auth["password"] = "wrong"
	stranger, err := build(t.Context(), trigger)
	if err != nil {
		return // it asked at once
	}
	t.Cleanup(func() { _ = stranger.Close(t.Context()) })
	if _, _, err := stranger.Read(t.Context(), specs[0].Name); err == nil {
		t.Error("it is told without the password")
	}
}

// TestTypes: every type is one that KEDA knows, and what needs a cluster is left out.
func TestTypes(t *testing.T) {
	if n := len(Types()); n < 60 {
		t.Errorf("%d types", n)
	}
	if _, err := build(t.Context(), serve.Trigger{Type: "kubernetes-workload"}); err == nil {
		t.Error("it counts objects of a cluster")
	}
}

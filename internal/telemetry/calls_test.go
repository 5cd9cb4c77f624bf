package telemetry_test

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/telemetry"
)

func TestCalls(t *testing.T) {
	m := telemetry.New("v")
	c := m.Calls(func() int { return 7 })
	c.Accepted("ns", "f")
	c.Refused("disk")
	c.Attempt("ns", "f", 503, time.Second)
	c.Ended("ns", "f", "succeeded")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`ofn_calls_accepted_total{function="f",namespace="ns"} 1`, `ofn_calls_refused_total{reason="disk"} 1`, `ofn_call_attempts_total{code="503",function="f",namespace="ns"} 1`,
		`ofn_calls_ended_total{function="f",namespace="ns",state="succeeded"} 1`, `ofn_calls_waiting 7`, `ofn_call_attempt_duration_seconds_sum{function="f",namespace="ns"} 1`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%s is missing", want)
		}
	}
}

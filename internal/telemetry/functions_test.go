package telemetry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/telemetry"
)

func TestFunction(t *testing.T) {
	const most = 100
	m := telemetry.New("test")
	m.Function("ns/rev", "orders", 200, time.Millisecond)
	m.Function("ns/rev", "orders", 200, time.Millisecond)
	m.Function("ns/rev", "bad\xff", 500, time.Millisecond)
	for i := range 2 * most { // a copy that makes names up
		m.Function("ns/rev", fmt.Sprint("f", i), 200, time.Millisecond)
	}
	text := scrape(t, m, "")
	for _, want := range []string{
		`ofn_function_requests_total{code="200",function="orders",namespace="ns",revision="rev"} 2`,
		`ofn_function_requests_total{code="500",function="other",namespace="ns",revision="rev"} 1`,
		fmt.Sprintf(`ofn_function_requests_total{code="200",function="other",namespace="ns",revision="rev"} %d`, most+1),
		`ofn_function_request_duration_seconds_count{function="orders",namespace="ns",revision="rev"} 2`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	m.Forget("ns/rev")
	if strings.Contains(scrape(t, m, ""), "ofn_function_requests_total{") {
		t.Error("series of a deleted revision are left")
	}
}

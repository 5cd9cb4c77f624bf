package telemetry_test

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/telemetry"
)

func scrape(t *testing.T, m *telemetry.Metrics, accept string) string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	m.Handler().ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("scrape answered %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestRequestsAreCountedPerRevisionAndCode(t *testing.T) {
	m := telemetry.New("v1")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				m.Request("ns/a", 200, time.Millisecond, 0, false)
				m.Request("ns/a", 503, time.Millisecond, time.Second, true)
			}
		})
	}
	wg.Wait()
	m.Request("ns/a", 9999, 0, 0, false)
	m.Started("ns/a")
	m.Exited("ns/a", "out_of_memory")
	m.Built("ns", "Succeeded", time.Second)
	out := scrape(t, m, "")
	for _, want := range []string{
		`ofn_requests_total{code="200",namespace="ns",revision="a"} 800`,
		`ofn_requests_total{code="503",namespace="ns",revision="a"} 800`,
		`ofn_requests_total{code="0",namespace="ns",revision="a"} 1`,
		`ofn_cold_start_phase_duration_seconds_count{namespace="ns",phase="first_byte",revision="a"} 800`,
		`ofn_cold_starts_total{namespace="ns",revision="a"} 1`,
		`ofn_replica_exits_total{cause="out_of_memory",namespace="ns",revision="a"} 1`,
		`ofn_builds_total{namespace="ns",result="Succeeded"} 1`,
		`ofn_build_info{version="v1"} 1`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("missing %s", want)
		}
	}
	m.Forget("ns/a")
	if out := scrape(t, m, ""); strings.Contains(out, `revision="a"`) {
		t.Error("series of a forgotten revision remain")
	}
}

func TestReplicasAreAskedForAtEachScrape(t *testing.T) {
	m := telemetry.New("v1")
	ready := 1
	m.ObserveReplicas(func() []telemetry.Replicas {
		return []telemetry.Replicas{{Namespace: "ns", Revision: "a", Desired: 2, Ready: ready, Waiting: 7}}
	})
	for want := 1; want <= 2; want++ {
		ready = want
		out := scrape(t, m, "application/openmetrics-text;version=1.0.0")
		if !strings.Contains(out, `ofn_replicas{namespace="ns",revision="a",state="ready"} `+map[int]string{1: "1", 2: "2"}[want]) {
			t.Errorf("scrape %d does not show %d ready", want, want)
		}
		if !strings.HasSuffix(strings.TrimSpace(out), "# EOF") {
			t.Error("OpenMetrics text does not end with # EOF")
		}
	}
}

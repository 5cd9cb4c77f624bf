package telemetry_test

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/openfunction/ofn/internal/telemetry"
)

// full has every instrument used once.
func full() *telemetry.Metrics {
	m := telemetry.New("v1")
	m.ObserveReplicas(func() []telemetry.Replicas {
		return []telemetry.Replicas{{Namespace: "ns", Revision: "a", Desired: 3, Ready: 2, Starting: 1, InFlight: 5, Waiting: 7}}
	})
	m.Request("ns/a", 200, time.Millisecond, time.Millisecond, true)
	m.Started("ns/a")
	m.Phase("ns/a", "sandbox", time.Millisecond)
	m.Exited("ns/a", "crashed")
	m.Built("ns", "Succeeded", time.Second)
	m.Refused("no-route", 404)
	m.Connections(1)
	return m
}

// TestPrometheusText is read by Prometheus' own parser and judged by its own linter.
func TestPrometheusText(t *testing.T) {
	text := scrape(t, full(), "text/plain")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for name, f := range families {
		if strings.HasPrefix(name, "ofn_") {
			if ours++; f.GetHelp() == "" {
				t.Errorf("%s has no help", name)
			}
		}
	}
	if ours < 12 {
		t.Errorf("only %d families of ours", ours)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "ofn_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for state, want := range map[string]int{"running": 5, "waiting": 7} {
		if line := fmt.Sprintf(`ofn_requests_in_progress{namespace="ns",revision="a",state=%q} %d`, state, want); !strings.Contains(text, line) {
			t.Errorf("missing %s", line)
		}
	}
}

// TestOpenMetricsText checks the rules of OpenMetrics 1.0 that Prometheus' older format does not have: families declared
// once and not mixed, what samples of each type may be named, the end.
func TestOpenMetricsText(t *testing.T) {
	text := scrape(t, full(), "application/openmetrics-text;version=1.0.0")
	if !strings.HasSuffix(text, "\n# EOF\n") || strings.Count(text, "# EOF") != 1 {
		t.Error("not ended by # EOF once")
	}
	suffixes := map[string][]string{
		"counter": {"_total", "_created"}, "gauge": {""}, "unknown": {""}, "info": {"_info"},
		"histogram": {"_bucket", "_count", "_sum", "_created"}, "summary": {"", "_count", "_sum", "_created"},
	}
	declared := map[string]bool{}
	family, kind := "", ""
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		word := strings.Fields(line)
		switch {
		case line == "# EOF":
		case strings.HasPrefix(line, "# TYPE "):
			if family, kind = word[2], word[3]; declared[family] {
				t.Errorf("%s is declared twice", family)
			}
			declared[family] = true
			if kind == "counter" && strings.HasSuffix(family, "_total") {
				t.Errorf("the family of a counter is named %s", family)
			}
		case strings.HasPrefix(line, "# "):
		default:
			name, _, _ := strings.Cut(word[0], "{")
			suffix, ok := strings.CutPrefix(name, family)
			if !ok || !slices.Contains(suffixes[kind], suffix) {
				t.Errorf("sample %s in the %s %s", name, kind, family)
			}
		}
	}
	if !declared["ofn_requests"] || !declared["ofn_request_duration_seconds"] {
		t.Errorf("families: %v", declared)
	}
}

package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/openfunction/ofn/internal/activator"
)

// TestTraceContext lets OpenTelemetry read what the copy gets. A trace that is not valid is begun anew, without the state
// of the old one.
func TestTraceContext(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	copyA := serveCopy(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
		fmt.Fprintf(w, "%v %d %s %v %s", s.IsValid(), len(r.Header["Traceparent"]), s.TraceID(), s.IsSampled(), r.Header.Get("Tracestate"))
	}))
	for name, tt := range map[string]struct {
		parents []string
		noTrace bool
		want    string // * stands for a trace id
	}{
		"valid":             {[]string{good}, false, "true 1 0af7651916cd43dd8448eb211c80319c true a=1"},
		"later version":     {[]string{"cc" + good[2:] + "-what-comes-then"}, false, "true 1 0af7651916cd43dd8448eb211c80319c true a=1"},
		"none":              {nil, false, "true 1 * false "},
		"none, not wanted":  {nil, true, "false 0 00000000000000000000000000000000 false a=1"},
		"two":               {[]string{good, good}, false, "true 1 * false "},
		"zero trace":        {[]string{"00-00000000000000000000000000000000-b7ad6b7169203331-01"}, false, "true 1 * false "},
		"zero parent":       {[]string{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}, false, "true 1 * false "},
		"upper case":        {[]string{strings.ToUpper(good)}, false, "true 1 * false "},
		"version ff":        {[]string{"ff" + good[2:]}, false, "true 1 * false "},
		"longer version 00": {[]string{good + "-00"}, false, "true 1 * false "},
		"wrong, not wanted": {[]string{"nonsense"}, true, "false 0 00000000000000000000000000000000 false "},
	} {
		for _, h2 := range []bool{false, true} {
			g := start(t, Options{NoTrace: tt.noTrace}, everything(t, revisionOf(t, activator.Options{}, copyA)))
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!h2)
			protocols.SetUnencryptedHTTP2(h2)
			tr := &http.Transport{Protocols: protocols}
			r, _ := http.NewRequest("GET", g.url("/"), nil)
			r.Header = http.Header{"Traceparent": tt.parents, "Tracestate": {"a=1"}}
			resp, err := (&http.Client{Transport: tr}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			tr.CloseIdleConnections()
			got := strings.Fields(string(body))
			if strings.Contains(tt.want, "*") && len(got) > 2 && got[2] != strings.Repeat("0", 32) && got[2] != good[3:35] {
				got[2] = "*"
			}
			if want := strings.Fields(tt.want); strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("%s, http2 %v: %q, want %q", name, h2, got, want)
			}
		}
	}
}

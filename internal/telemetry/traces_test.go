package telemetry

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func recorded(t *testing.T) (*Traces, *tracetest.SpanRecorder) {
	t.Helper()
	r := tracetest.NewSpanRecorder()
	traces := newTraces(r, resource.Empty())
	t.Cleanup(func() {
		if err := traces.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return traces, r
}

func TestCalled(t *testing.T) {
	traces, r := recorded(t)
	began := time.Unix(100, 0)
	call := Call{Trace: [16]byte{1}, Parent: [8]byte{2}, ID: [8]byte{3}, Method: "GET", Path: "/", Revision: "f-1", Code: 503, Started: began,
		Took: 3 * time.Second, Queued: time.Second, Cold: true}
	traces.Called(call)
	call.Parent, call.Code, call.Cold, call.Queued = [8]byte{}, 200, false, 0
	traces.Called(call)
	ended := r.Ended()
	if len(ended) != 3 {
		t.Fatalf("%d spans", len(ended))
	}
	start, request, root := ended[0], ended[1], ended[2]
	for _, s := range []sdktrace.ReadOnlySpan{request, root} {
		if s.SpanContext().SpanID() != [8]byte{3} || s.SpanContext().TraceID() != [16]byte{1} || !s.StartTime().Equal(began) || !s.EndTime().Equal(began.Add(3*time.Second)) {
			t.Errorf("span: %+v", s)
		}
	}
	if request.Parent().SpanID() != [8]byte{2} || root.Parent().IsValid() {
		t.Errorf("parents: %v, %v", request.Parent(), root.Parent())
	}
	if start.Name() != "cold start" || start.Parent().SpanID() != [8]byte{3} || start.SpanContext().SpanID() == [8]byte{3} || !start.EndTime().Equal(began.Add(time.Second)) {
		t.Errorf("cold start: %+v", start)
	}
	if request.Status().Code != codes.Error || root.Status().Code != codes.Unset {
		t.Errorf("states: %v, %v", request.Status(), root.Status())
	}
}

func TestDeliver(t *testing.T) {
	traces, r := recorded(t)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	onward, end := traces.Deliver(parent, "deliver", map[string]string{"a": "b"})
	end(errors.New("refused"))
	if onward[:36] != parent[:36] || onward == parent {
		t.Errorf("goes on as %s", onward)
	}
	if _, end := traces.Deliver("nonsense", "deliver", nil); end == nil {
		t.Error("what has no valid trace is not traced")
	} else {
		end(nil)
	}
	if onward, end := traces.Deliver(parent[:54]+"0", "deliver", nil); end != nil || onward != parent[:54]+"0" {
		t.Errorf("what is not sampled goes on as %s", onward)
	}
	ended := r.Ended()
	if len(ended) != 2 || ended[0].Parent().SpanID().String() != "b7ad6b7169203331" || ended[0].Status().Description != "refused" || ended[1].Parent().IsValid() {
		t.Errorf("spans: %+v", ended)
	}
}

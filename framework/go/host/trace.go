package host

import (
	"context"
	"log/slog"
	"net/http"
)

// Trace is where a call stands in a distributed trace: the values of the W3C headers traceparent, tracestate and baggage. The zero
// value is no trace.
type Trace struct{ Parent, State, Baggage string }

type traceKey struct{}

// WithTrace makes t the trace of what is called with the context: what a function sends carries it.
func WithTrace(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceOf is the trace that WithTrace put into the context, otherwise that of the request of the call. It is zero when neither has a
// valid traceparent.
func TraceOf(ctx context.Context) Trace {
	t, ok := ctx.Value(traceKey{}).(Trace)
	if !ok {
		r, ok := ctx.Value(requestKey{}).(*http.Request)
		if !ok {
			return Trace{}
		}
		t = TraceIn(r.Header)
	}
	if traceID(t.Parent) == "" {
		return Trace{}
	}
	return t
}

// TraceIn is the trace that a header tells.
func TraceIn(h http.Header) Trace {
	return Trace{h.Get("Traceparent"), h.Get("Tracestate"), h.Get("Baggage")}
}

// Each gives every header that the trace has, with its name in lower case.
func (t Trace) Each(give func(name, value string)) {
	for _, one := range [...][2]string{{"traceparent", t.Parent}, {"tracestate", t.State}, {"baggage", t.Baggage}} {
		if one[1] != "" {
			give(one[0], one[1])
		}
	}
}

// traced adds the id of the trace to a log.
func traced(ctx context.Context, log *slog.Logger) *slog.Logger {
	if id := traceID(TraceOf(ctx).Parent); id != "" {
		return log.With("trace_id", id)
	}
	return log
}

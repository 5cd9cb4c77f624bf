package telemetry

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope names who makes the spans.
const scope = "github.com/openfunction/ofn"

// Traces sends spans of the platform by OTLP. What the receiver does not take in time is dropped: tracing never holds anybody up.
// Its methods are safe for concurrent use.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// OpenTraces makes one that sends over gRPC to endpoint, a URL: http:// without TLS. Everything else, such as headers and
// certificates, is as the OTEL_EXPORTER_OTLP_ variables say. It does not wait for the receiver.
func OpenTraces(ctx context.Context, endpoint, version string) (*Traces, error) {
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(endpoint))
	if err != nil {
		return nil, fmt.Errorf("preparing to send traces to %s: %w", endpoint, err)
	}
	own := resource.NewSchemaless(attribute.String("service.name", "ofn"), attribute.String("service.version", version))
	if merged, err := resource.Merge(own, resource.Environment()); err == nil {
		own = merged
	}
	return newTraces(sdktrace.NewBatchSpanProcessor(exporter, sdktrace.WithBatchTimeout(time.Second)), own), nil
}

func newTraces(to sdktrace.SpanProcessor, from *resource.Resource) *Traces {
	t := &Traces{provider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(to), sdktrace.WithResource(from),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithIDGenerator(ids{}))}
	t.tracer = t.provider.Tracer(scope)
	return t
}

// Close sends what is left, until ctx ends.
func (t *Traces) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Call is a request to a function that has ended.
type Call struct {
	Trace      [16]byte
	Parent, ID [8]byte // Parent is zero at the root

	Method, Host, Path, Namespace, Revision, Function string // Function only where the copy said
	Code                                              int
	Started                                           time.Time
	Took, Queued                                      time.Duration
	Cold                                              bool // there was no copy: Queued is the start of one
}

// Called sends the span of a request, and below it that of the wait for a copy where there was one worth telling.
func (t *Traces) Called(c Call) {
	ctx := context.WithValue(context.Background(), idKey{}, given{c.Trace, c.ID})
	if c.Parent != [8]byte{} {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: c.Trace, SpanID: c.Parent, TraceFlags: trace.FlagsSampled, Remote: true}))
	}
	attributes := []attribute.KeyValue{
		attribute.String("http.request.method", c.Method), attribute.String("server.address", c.Host), attribute.String("url.path", c.Path),
		attribute.Int("http.response.status_code", c.Code), attribute.Bool("faas.coldstart", c.Cold),
		attribute.String("openfunction.namespace", c.Namespace), attribute.String("openfunction.revision", c.Revision),
	}
	if c.Function != "" {
		attributes = append(attributes, attribute.String("faas.name", c.Function))
	}
	ctx, span := t.tracer.Start(ctx, c.Method+" "+c.Revision, trace.WithTimestamp(c.Started), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
	if c.Cold || c.Queued >= time.Millisecond {
		name := "wait for a free copy"
		if c.Cold {
			name = "cold start"
		}
		_, wait := t.tracer.Start(context.WithValue(ctx, idKey{}, nil), name, trace.WithTimestamp(c.Started))
		wait.End(trace.WithTimestamp(c.Started.Add(c.Queued)))
	}
	if c.Code >= 500 {
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(c.Started.Add(c.Took)))
}

// Deliver begins the span of one attempt to deliver an event, below the event's traceparent; without one, or with one that is not valid,
// it begins a trace. onward goes to who gets the event. end, which is nil when the event's trace is not sampled, takes how it went.
func (t *Traces) Deliver(parent, name string, about map[string]string) (onward string, end func(error)) {
	format := propagation.TraceContext{}
	ctx := format.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
	if s := trace.SpanContextFromContext(ctx); s.IsValid() && !s.IsSampled() {
		return parent, nil
	}
	var attributes []attribute.KeyValue
	for key, value := range about {
		attributes = append(attributes, attribute.String(key, value))
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attributes...))
	headers := propagation.MapCarrier{}
	format.Inject(ctx, headers)
	return headers["traceparent"], func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// ids takes the ids that whoever makes a span has given away already, and otherwise draws them.
type ids struct{}

type idKey struct{}

type given struct {
	trace [16]byte
	span  [8]byte
}

// NewIDs implements sdktrace.IDGenerator.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if g, ok := ctx.Value(idKey{}).(given); ok {
		return g.trace, g.span
	}
	var id trace.TraceID
	binary.LittleEndian.PutUint64(id[:], rand.Uint64())
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64()|1)
	return id, drawn()
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if g, ok := ctx.Value(idKey{}).(given); ok {
		return g.span
	}
	return drawn()
}

func drawn() (id trace.SpanID) {
	binary.LittleEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}

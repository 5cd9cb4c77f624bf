// Package opentelemetry is the plugin that makes a span of every call of a function and sends it by OTLP. Builds link it when the
// function's tracing names it; a main of one's own registers it:
//
//	fwk.RegisterPlugins(map[string]plugin.Plugin{opentelemetry.Name: opentelemetry.New()})
//
// The function's own spans become children of the call's: otel.Tracer("…").Start(ctx.GetNativeContext(), "…").
package opentelemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/plugin"
)

// Name and Version are what the context calls the plugin.
const (
	Name    = ofctx.TracingProviderOpentelemetry
	Version = "v1"
)

// lastWords bounds the sending of what is left when the process ends.
const lastWords = 5 * time.Second

// Plugin is the span of one call.
type Plugin struct {
	name   string
	shared *shared
	span   trace.Span // nil before the call
}

var _ plugin.Plugin = (*Plugin)(nil)

// New returns the plugin to register. It connects to nothing before the first call.
func New() *Plugin { return Named(Name) }

// Named is New under the name of another provider that takes OTLP.
func Named(name string) *Plugin { return &Plugin{name: name, shared: &shared{}} }

// shared is what all calls have in common.
type shared struct {
	once     sync.Once
	provider *sdktrace.TracerProvider // nil when it could not be made
	tags     []attribute.KeyValue
	baggage  []baggage.Member
}

// propagator reads and writes the headers that go from call to call.
func propagator() propagation.TextMapPropagator {
	return propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
}

// Name is what the tracing provider is called.
func (p *Plugin) Name() string { return p.name }

// Version is the constant of that name.
func (p *Plugin) Version() string { return Version }

// Init makes the plugin of one call.
func (p *Plugin) Init() plugin.Plugin { return &Plugin{name: p.name, shared: p.shared} }

// Get knows "span", the trace.Span of the call.
func (p *Plugin) Get(field string) (interface{}, bool) {
	return p.span, field == "span" && p.span != nil
}

// Close sends what was not sent yet, for a few seconds at most.
func (p *Plugin) Close() error {
	p.shared.once.Do(func() {})
	if p.shared.provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	return p.shared.provider.Shutdown(ctx)
}

// ExecPreHook begins the span, as a child of what the caller told. What cannot be set up is told with the first call, and then
// nothing is traced.
func (p *Plugin) ExecPreHook(ctx ofctx.RuntimeContext, _ map[string]plugin.Plugin) (err error) {
	s := p.shared
	s.once.Do(func() { err = s.open(ctx) })
	if s.provider == nil {
		return err
	}
	native := ctx.GetNativeContext()
	headers := propagation.MapCarrier{}
	host.TraceOf(native).Each(headers.Set)
	parent := s.laden(propagator().Extract(native, headers))
	kind, attributes := about(ctx)
	child, span := s.provider.Tracer("github.com/OpenFunction/functions-framework-go").Start(parent, ctx.GetName(),
		trace.WithSpanKind(kind), trace.WithAttributes(attributes...), trace.WithAttributes(s.tags...))
	p.span = span
	onward := propagation.MapCarrier{}
	propagator().Inject(child, onward)
	ctx.SetNativeContext(host.WithTrace(child, host.Trace{Parent: onward["traceparent"], State: onward["tracestate"], Baggage: onward["baggage"]}))
	return err
}

// ExecPostHook ends the span with how the call went.
func (p *Plugin) ExecPostHook(ctx ofctx.RuntimeContext, _ map[string]plugin.Plugin) error {
	if p.span == nil {
		return nil
	}
	code := 0
	if out := ctx.GetOut(); out != nil {
		code = out.GetCode()
	}
	if code > 0 && ctx.GetSyncRequest().Request != nil {
		p.span.SetAttributes(attribute.Int("http.response.status_code", code))
	}
	switch err := ctx.GetError(); {
	case err != nil:
		p.span.RecordError(err)
		p.span.SetStatus(codes.Error, err.Error())
	case code >= ofctx.InternalError:
		p.span.SetStatus(codes.Error, "")
	}
	p.span.End()
	return nil
}

// laden adds the configured baggage to what came; what came wins.
func (s *shared) laden(ctx context.Context) context.Context {
	bag := baggage.FromContext(ctx)
	for _, m := range s.baggage {
		if bag.Member(m.Key()).Key() != "" {
			continue
		}
		if more, err := bag.SetMember(m); err == nil { // too much baggage stays behind
			bag = more
		}
	}
	return baggage.ContextWithBaggage(ctx, bag)
}

// about says what kind of call it is, in the words of OpenTelemetry's conventions.
func about(ctx ofctx.RuntimeContext) (trace.SpanKind, []attribute.KeyValue) {
	if r := ctx.GetSyncRequest().Request; r != nil {
		return trace.SpanKindServer, []attribute.KeyValue{
			attribute.String("faas.trigger", "http"), attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path),
		}
	}
	attributes := []attribute.KeyValue{attribute.String("faas.trigger", "pubsub")}
	name := ctx.GetContext().GetInputName()
	if in := ctx.GetInputs()[name]; in != nil {
		attributes = append(attributes, attribute.String("messaging.destination.name", in.Uri),
			attribute.String("openfunction.input", name), attribute.String("openfunction.component.type", in.ComponentType))
	}
	return trace.SpanKindConsumer, attributes
}

// open makes the provider of the function's configuration, and that of the whole program, so that what the function traces itself goes
// the same way.
func (s *shared) open(ctx ofctx.RuntimeContext) error {
	exporter, err := newExporter(ctx.GetContext().PluginsTracing)
	if err != nil {
		return err
	}
	s.read(ctx.GetPluginsTracingCfg())
	s.provider = sdktrace.NewTracerProvider(append(sampler(), sdktrace.WithResource(identity(ctx)),
		sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(time.Second)))...)
	otel.SetTracerProvider(s.provider)
	otel.SetTextMapPropagator(propagator())
	return nil
}

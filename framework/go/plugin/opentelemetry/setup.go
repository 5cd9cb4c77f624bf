package opentelemetry

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
)

// sampler traces every call, also of callers that do not trace theirs, because whoever switched tracing on for the function wants to
// see its calls. OTEL_TRACES_SAMPLER says otherwise.
func sampler() []sdktrace.TracerProviderOption {
	if os.Getenv("OTEL_TRACES_SAMPLER") != "" {
		return nil // the SDK reads it
	}
	return []sdktrace.TracerProviderOption{sdktrace.WithSampler(sdktrace.AlwaysSample())}
}

// identity is which function the spans come from. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
func identity(ctx ofctx.RuntimeContext) *resource.Resource {
	attributes := []attribute.KeyValue{attribute.String("service.name", ctx.GetName()), attribute.String("faas.name", ctx.GetName())}
	for key, value := range map[string]string{
		"service.namespace": ctx.GetPodNamespace(), "service.instance.id": ctx.GetPodName(), "service.version": ctx.GetContext().Version,
	} {
		if value != "" {
			attributes = append(attributes, attribute.String(key, value))
		}
	}
	own := resource.NewSchemaless(attributes...)
	merged, err := resource.Merge(own, resource.Environment())
	if err != nil { // schemas that do not agree
		return own
	}
	return merged
}

// read takes tags and baggage of the configuration. Baggage that W3C cannot carry is left out.
func (s *shared) read(c ofctx.TracingConfig) {
	tags := c.GetTags()
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		s.tags = append(s.tags, attribute.String(key, tags[key]))
	}
	bag := c.GetBaggage()
	for _, key := range slices.Sorted(maps.Keys(bag)) {
		if m, err := baggage.NewMemberRaw(key, bag[key]); err == nil {
			s.baggage = append(s.baggage, m)
		}
	}
}

// newExporter sends to where the configuration says. What it leaves out, the OTEL_EXPORTER_OTLP_ variables say.
func newExporter(c *ofctx.PluginsTracing) (sdktrace.SpanExporter, error) {
	e := &ofctx.TracingExporter{}
	if c != nil && c.Provider != nil {
		if c.Provider.Exporter != nil {
			e = c.Provider.Exporter
		} else if c.Provider.OapServer != "" { // SkyWalking takes OTLP on the port of its agents
			e.Endpoint = c.Provider.OapServer
		}
	}
	if e.Name != "" && e.Name != "otlp" {
		return nil, fmt.Errorf("tracing.provider.exporter.name is %q: it must be otlp", e.Name)
	}
	timeout, err := duration(e.Timeout)
	if err != nil {
		return nil, fmt.Errorf("tracing.provider.exporter.timeout: %w", err)
	}
	headers, err := fields(e.Headers)
	if err != nil {
		return nil, fmt.Errorf("tracing.provider.exporter.headers: %w", err)
	}
	if e.Compression != "" && e.Compression != "gzip" && e.Compression != "none" {
		return nil, fmt.Errorf("tracing.provider.exporter.compression is %q: it must be gzip or none", e.Compression)
	}
	protocol := e.Protocol
	if protocol == "" {
		protocol = os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	s := settings{*e, timeout, headers}
	switch protocol {
	case "", "grpc":
		return otlptracegrpc.New(context.Background(), s.grpc()...)
	case "http", "http/protobuf":
		return otlptracehttp.New(context.Background(), s.http()...)
	}
	return nil, fmt.Errorf("tracing.provider.exporter.protocol is %q: it must be grpc or http/protobuf", protocol)
}

type settings struct {
	ofctx.TracingExporter
	timeout time.Duration
	headers map[string]string
}

func (s settings) grpc() (o []otlptracegrpc.Option) {
	switch {
	case strings.Contains(s.Endpoint, "://"):
		o = append(o, otlptracegrpc.WithEndpointURL(s.Endpoint))
	case s.Endpoint != "":
		o = append(o, otlptracegrpc.WithEndpoint(s.Endpoint), otlptracegrpc.WithInsecure())
	}
	if s.timeout > 0 {
		o = append(o, otlptracegrpc.WithTimeout(s.timeout))
	}
	if len(s.headers) > 0 {
		o = append(o, otlptracegrpc.WithHeaders(s.headers))
	}
	if s.Compression == "gzip" {
		o = append(o, otlptracegrpc.WithCompressor("gzip"))
	}
	return o
}

func (s settings) http() (o []otlptracehttp.Option) {
	switch {
	case strings.Contains(s.Endpoint, "://"):
		o = append(o, otlptracehttp.WithEndpointURL(s.Endpoint))
	case s.Endpoint != "":
		o = append(o, otlptracehttp.WithEndpoint(s.Endpoint), otlptracehttp.WithInsecure())
	}
	if s.timeout > 0 {
		o = append(o, otlptracehttp.WithTimeout(s.timeout))
	}
	if len(s.headers) > 0 {
		o = append(o, otlptracehttp.WithHeaders(s.headers))
	}
	if s.Compression == "gzip" {
		o = append(o, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	return o
}

// duration reads "5s", or "5000" as OpenTelemetry has milliseconds.
func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if ms, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(ms) * time.Millisecond, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no duration such as 5s", text)
	}
	return d, nil
}

// fields reads "name=value,name=value".
func fields(text string) (map[string]string, error) {
	out := map[string]string{}
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		name, value, ok := strings.Cut(one, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("%q is not of the form name=value", one)
		}
		out[name] = strings.TrimSpace(value)
	}
	return out, nil
}

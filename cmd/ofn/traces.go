package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	daprruntime "github.com/openfunction/ofn/internal/dapr/runtime"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/gateway"
	"github.com/openfunction/ofn/internal/telemetry"
)

// lastSpans bounds the sending of what is left at the end.
const lastSpans = 3 * time.Second

// traces are the platform's own spans. Nil is none, and then nothing on the way of a request or an event knows of them.
type traces struct{ sent *telemetry.Traces }

// openTraces sends spans where OpenTelemetry's variables say; without one of the two that name a receiver there are none.
func (p *platform) openTraces(ctx context.Context) error {
	const general, own = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	endpoint := cmp.Or(os.Getenv(own), os.Getenv(general))
	if endpoint == "" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if v := os.Getenv(name); v != "" && v != "grpc" {
			return fmt.Errorf("%s is %q: spans of the platform are sent with grpc alone; give the receiver's gRPC port (4317 as a rule) and leave the protocol out", name, v)
		}
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	sent, err := telemetry.OpenTraces(ctx, endpoint, version)
	if err != nil {
		return err
	}
	p.traces = &traces{sent}
	p.onClose(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, lastSpans)
		defer cancel()
		if err := sent.Close(ctx); err != nil {
			p.log.Warn("the last spans could not be sent", "endpoint", endpoint, "err", err)
		}
		return nil
	})
	p.log.Info("requests and deliveries are traced", "endpoint", endpoint)
	return nil
}

// gateway is what the gateway is given: nil without traces.
func (t *traces) gateway() gateway.Tracer {
	if t == nil {
		return nil
	}
	return t
}

// dapr is what Dapr's runtime is given: nil without traces.
func (t *traces) dapr() daprruntime.Tracer {
	if t == nil {
		return nil
	}
	return t
}

// Request implements gateway.Tracer.
func (t *traces) Request(s *gateway.Span) {
	namespace, revision, _ := strings.Cut(s.Revision, "/")
	t.sent.Called(telemetry.Call{
		Trace: s.Trace, Parent: s.Parent, ID: s.ID, Method: s.Method, Host: s.Host, Path: s.Path, Namespace: namespace, Revision: revision,
		Function: s.Function, Code: s.Code, Started: s.Started, Took: s.Took, Queued: s.Queued, Cold: s.Cold,
	})
}

// Delivery implements runtime.Tracer of Dapr.
func (t *traces) Delivery(parent string, app event.Name, component, topic string) (string, func(error)) {
	about := map[string]string{"openfunction.namespace": app.Namespace, "faas.name": app.Name, "openfunction.component": component}
	if topic != "" {
		about["messaging.destination.name"] = topic
	}
	return t.sent.Deliver(parent, "deliver "+cmp.Or(topic, component)+" to "+app.Name, about)
}

// Package skywalking is the tracing plugin for SkyWalking: spans go by OTLP to its OAP server, whose gRPC port takes them when its
// receiver "otel" has the handler otlp-traces. Everything else is as in package opentelemetry.
package skywalking

import (
	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/plugin/opentelemetry"
)

// Name is what the context calls the plugin.
const Name = ofctx.TracingProviderSkywalking

// New returns the plugin to register.
func New() *opentelemetry.Plugin { return opentelemetry.Named(Name) }

package context

// TracingConfig is the tracing section of a context.
type TracingConfig interface {
	IsEnabled() bool
	// ProviderName is one of the TracingProvider constants, or empty.
	ProviderName() string
	ProviderOapServer() string
	GetTags() map[string]string
	GetBaggage() map[string]string
}

// PluginsTracing is the only TracingConfig.
type PluginsTracing struct {
	Enabled  bool              `json:"enabled" yaml:"enabled"`
	Provider *TracingProvider  `json:"provider" yaml:"provider"`
	Tags     map[string]string `json:"tags,omitempty" yaml:"tags,omitempty"`
	Baggage  map[string]string `json:"baggage" yaml:"baggage"`
}

// TracingProvider names the tracing system.
type TracingProvider struct {
	Name      string           `json:"name" yaml:"name"`
	OapServer string           `json:"oapServer" yaml:"oapServer"`
	Exporter  *TracingExporter `json:"exporter,omitempty" yaml:"exporter,omitempty"`
}

// TracingExporter is how OpenTelemetry sends spans. What it leaves out, the OTEL_EXPORTER_OTLP_ variables of the environment say.
type TracingExporter struct {
	// Name is otlp; another is a start-up error.
	Name string `json:"name" yaml:"name"`
	// Endpoint is host:port, or a URL: https:// for TLS.
	Endpoint string `json:"endpoint" yaml:"endpoint"`
	// Headers of each request: "name=value,name=value".
	Headers string `json:"headers,omitempty" yaml:"headers,omitempty"`
	// Compression is gzip or none.
	Compression string `json:"compression,omitempty" yaml:"compression,omitempty"`
	// Timeout of each request: a duration such as 5s, or a number of milliseconds.
	Timeout string `json:"timeout,omitempty" yaml:"timeout,omitempty"`
	// Protocol is grpc, which is also meant when it is empty, or http/protobuf.
	Protocol string `json:"protocol,omitempty" yaml:"protocol,omitempty"`
}

// IsEnabled tells whether calls are to be traced.
func (tracing *PluginsTracing) IsEnabled() bool { return tracing.Enabled }

// ProviderName is empty when no provider is set.
func (tracing *PluginsTracing) ProviderName() string {
	if tracing.Provider == nil {
		return ""
	}
	return tracing.Provider.Name
}

// ProviderOapServer is the address of the SkyWalking server.
func (tracing *PluginsTracing) ProviderOapServer() string {
	if tracing.Provider == nil {
		return ""
	}
	return tracing.Provider.OapServer
}

// GetTags are put on every span.
func (tracing *PluginsTracing) GetTags() map[string]string { return tracing.Tags }

// GetBaggage is handed from span to span.
func (tracing *PluginsTracing) GetBaggage() map[string]string { return tracing.Baggage }

// IsTracingProviderSkyWalking tells whether tracing is on and done by SkyWalking, which puts payloads into an envelope.
func IsTracingProviderSkyWalking(ctx RuntimeContext) bool {
	if !ctx.HasPluginsTracingCfg() {
		return false
	}
	tracing := ctx.GetPluginsTracingCfg()
	return tracing.IsEnabled() && tracing.ProviderName() == TracingProviderSkywalking
}

// traceable tells whether messages through components of this type keep an envelope: those that carry payloads as they are.
func traceable(componentType string) bool {
	if buildingBlock(componentType) == OpenFuncTopic {
		return true
	}
	switch componentType {
	case "bindings.kafka", "bindings.rabbitmq", "bindings.aws.sqs", "bindings.aws.kinesis", "bindings.gcp.pubsub",
		"bindings.azure.eventgrid", "bindings.azure.eventhubs", "bindings.azure.servicebusqueues", "bindings.azure.storagequeues":
		return true
	}
	return false
}

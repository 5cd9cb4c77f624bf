// Package context is what a function sees of the platform: the event or request that called it, its inputs and outputs, and the
// result it gives back. Functions usually import it as ofctx.
//
// The names are those of the v0.5 line of the OpenFunction framework, so that existing functions compile unchanged.
package context

import (
	"context"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/dapr/go-sdk/service/common"
)

// Names of the environment variables that make a context, and the values with a meaning.
const (
	TestModeEnvName               = "TEST_MODE"
	FunctionContextEnvName        = "FUNC_CONTEXT"
	FunctionContextV1Beta2EnvName = "FUNC_CONTEXT_V1BETA2"
	PodNameEnvName                = "POD_NAME"
	PodNamespaceEnvName           = "POD_NAMESPACE"
	ModeEnvName                   = "CONTEXT_MODE"

	// KubernetesMode is the mode when CONTEXT_MODE is anything but SelfHostMode.
	KubernetesMode = "kubernetes"
	SelfHostMode   = "self-host"
	// TestModeOn makes Send succeed without sending.
	TestModeOn = "on"

	TracingProviderSkywalking    = "skywalking"
	TracingProviderOpentelemetry = "opentelemetry"
)

// Runtime says how a function is called.
type Runtime string

// The runtimes. Knative means plain HTTP, whatever serves it; Async means Dapr events.
const (
	Async   Runtime = "Async"
	Knative Runtime = "Knative"
)

// ResourceType is the building block of a Dapr component: the part of its type before the first dot.
type ResourceType string

// The building blocks a function can have as input or output.
const (
	OpenFuncBinding ResourceType = "bindings"
	OpenFuncTopic   ResourceType = "pubsub"
)

// Result codes of an OpenFunction function. Any HTTP status may be used; these two have methods of their own.
const (
	Success       = 200
	InternalError = 500
)

// Option names a setting of ContextOption.
type Option string

// RawData makes Send send the data as it is, without the tracing envelope.
const RawData = Option("RawData")

// NativeContext gives access to Go's context of the call: it ends when the caller goes away or its deadline passes.
type NativeContext interface {
	GetNativeContext() context.Context
	SetNativeContext(context.Context)
}

// Context is what an OpenFunction function is given.
type Context interface {
	NativeContext

	// Send sends data to the named output and returns the answer of a binding, nil for a topic. It is bounded by the native context.
	Send(outputName string, data []byte) ([]byte, error)
	// GetState returns the value of a key in the named state of the function, nil when it has none.
	GetState(state, key string) ([]byte, error)
	// SaveState sets the value of a key in the named state.
	SaveState(state, key string, value []byte) error
	// DeleteState removes a key from the named state, where it need not be.
	DeleteState(state, key string) error
	// ReturnOnSuccess returns the result with code 200.
	ReturnOnSuccess() Out
	// ReturnOnInternalError returns the result with code 500.
	ReturnOnInternalError() Out
	// GetSyncRequest returns the HTTP request; its fields are nil when the call is an event.
	GetSyncRequest() *SyncRequest
	// GetBindingEvent is nil when the call is no binding event.
	GetBindingEvent() *common.BindingEvent
	// GetTopicEvent is nil when the call is no topic event.
	GetTopicEvent() *common.TopicEvent
	// GetCloudEvent is the CloudEvent of an HTTP call. For a plain request it is one that holds the body.
	GetCloudEvent() *event.Event
	// GetInnerEvent is the payload without the tracing envelope.
	GetInnerEvent() InnerEvent
	// ContextOptions returns the settings of this call.
	ContextOptions() ContextOption
	// GetInputName is the name of the input an event came from, empty for HTTP.
	GetInputName() string
}

// ContextOption holds the settings of one call.
type ContextOption interface {
	// SetRawData turns the tracing envelope of Send off.
	SetRawData(condition bool) ContextOption
	IsRawDataEnabled() bool
}

// RuntimeContext is what plugins are given: all of one call, and the means to change it.
type RuntimeContext interface {
	NativeContext

	GetName() string
	// GetMode is KubernetesMode or SelfHostMode.
	GetMode() string
	// GetContext returns the call itself.
	GetContext() *FunctionContext
	// GetOut is the result, nil before the function has returned.
	GetOut() Out
	HasInputs() bool
	HasOutputs() bool
	// InitDaprClientIfNil does nothing: the client connects on the first Send.
	InitDaprClientIfNil()
	// DestroyDaprClient does nothing: all calls share one connection, which ends with the process.
	DestroyDaprClient()
	// GetPrePlugins and GetPostPlugins are names of plugins in the order in which they run.
	GetPrePlugins() []string
	GetPostPlugins() []string
	GetRuntime() Runtime
	// GetPort is the TCP port as text.
	GetPort() string
	// GetError is the error the function returned.
	GetError() error
	// GetHttpPattern is the path of a function registered without one.
	GetHttpPattern() string
	SetSyncRequest(w http.ResponseWriter, r *http.Request)
	// SetEvent takes a *common.BindingEvent, *common.TopicEvent or *event.Event; anything else is ignored.
	SetEvent(inputName string, event interface{})
	GetInputs() map[string]*Input
	GetOutputs() map[string]*Output
	GetSyncRequest() *SyncRequest
	GetBindingEvent() *common.BindingEvent
	GetTopicEvent() *common.TopicEvent
	GetCloudEvent() *event.Event
	GetInnerEvent() InnerEvent
	// WithOut and WithError set the result and return the same context.
	WithOut(out *FunctionOut) RuntimeContext
	WithError(err error) RuntimeContext
	GetPodName() string
	GetPodNamespace() string
	// GetPluginsTracingCfg is never nil; see HasPluginsTracingCfg.
	GetPluginsTracingCfg() TracingConfig
	HasPluginsTracingCfg() bool
}

// SyncRequest is the HTTP call of a function.
type SyncRequest struct {
	ResponseWriter http.ResponseWriter `json:"responseWriter,omitempty"`
	Request        *http.Request       `json:"request,omitempty"`
}

// EventRequest is the event that called a function: at most one of the three is set.
type EventRequest struct {
	InputName    string               `json:"inputName,omitempty"`
	BindingEvent *common.BindingEvent `json:"bindingEvent,omitempty"`
	TopicEvent   *common.TopicEvent   `json:"topicEvent,omitempty"`
	CloudEvent   *event.Event         `json:"cloudEventnt,omitempty"`

	innerEvent InnerEvent
}

// Input is a Dapr component whose events call the function.
type Input struct {
	// Uri is the topic of a pubsub component, otherwise the component's name.
	Uri           string            `json:"uri,omitempty"`
	ComponentName string            `json:"componentName"`
	ComponentType string            `json:"componentType"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	// DeadLetterTopic of the same pubsub component gets what the function does not handle.
	DeadLetterTopic string `json:"deadLetterTopic,omitempty"`
}

// GetType returns the building block of the component.
func (i *Input) GetType() ResourceType { return buildingBlock(i.ComponentType) }

// Output is a Dapr component the function can send to.
type Output struct {
	// Uri is the topic of a pubsub component, otherwise the component's name.
	Uri           string            `json:"uri,omitempty"`
	ComponentName string            `json:"componentName"`
	ComponentType string            `json:"componentType"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	// Operation is what a binding is asked to do, such as "create".
	Operation string `json:"operation,omitempty"`
}

// GetType returns the building block of the component.
func (o *Output) GetType() ResourceType { return buildingBlock(o.ComponentType) }

package context

import (
	"context"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/dapr/go-sdk/service/common"
)

// FunctionContext is one call of a function, and before that the configuration all calls start from. Its JSON form is
// the FUNC_CONTEXT document. It is not safe for use by several goroutines at once; every call has its own.
type FunctionContext struct {
	Name           string             `json:"name"`
	Version        string             `json:"version"`
	RequestID      string             `json:"requestID,omitempty"`
	Ctx            context.Context    `json:"-"`
	Inputs         map[string]*Input  `json:"inputs,omitempty"`
	Outputs        map[string]*Output `json:"outputs,omitempty"`
	States         map[string]*State  `json:"states,omitempty"`
	Runtime        Runtime            `json:"runtime"`
	Port           string             `json:"port,omitempty"`
	State          interface{}        `json:"state,omitempty"`
	Event          *EventRequest      `json:"-"`
	SyncRequest    *SyncRequest       `json:"-"`
	PrePlugins     []string           `json:"prePlugins,omitempty"`
	PostPlugins    []string           `json:"postPlugins,omitempty"`
	PluginsTracing *PluginsTracing    `json:"pluginsTracing,omitempty"`
	Out            Out                `json:"-"`
	Error          error              `json:"-"`
	HttpPattern    string             `json:"httpPattern,omitempty"`

	mode         string
	testing      bool
	podName      string
	podNamespace string
	rawData      bool
	sender       Sender
}

// FunctionContext is both what functions and what plugins see.
var (
	_ Context        = (*FunctionContext)(nil)
	_ RuntimeContext = (*FunctionContext)(nil)
)

// CloneRuntimeContext makes the context of a new call: the configuration of ctx without its event, request and result.
func CloneRuntimeContext(ctx RuntimeContext) RuntimeContext {
	return ctx.GetContext().NewCall(context.Background())
}

// NewCall makes the context of a new call that native bounds.
func (ctx *FunctionContext) NewCall(native context.Context) *FunctionContext {
	call := *ctx
	call.Ctx = native
	call.Event = &EventRequest{}
	call.SyncRequest = &SyncRequest{}
	call.Out, call.Error = nil, nil
	return &call
}

// GetNativeContext is never nil.
func (ctx *FunctionContext) GetNativeContext() context.Context {
	if ctx.Ctx == nil {
		return context.Background()
	}
	return ctx.Ctx
}

// SetNativeContext replaces Go's context, for the function and for Send.
func (ctx *FunctionContext) SetNativeContext(c context.Context) { ctx.Ctx = c }

// GetName is the name of the function.
func (ctx *FunctionContext) GetName() string { return ctx.Name }

// GetMode is KubernetesMode or SelfHostMode.
func (ctx *FunctionContext) GetMode() string { return ctx.mode }

// GetContext returns ctx.
func (ctx *FunctionContext) GetContext() *FunctionContext { return ctx }

// GetOut is nil before the function has returned.
func (ctx *FunctionContext) GetOut() Out { return ctx.Out }

// GetError is the error the function returned.
func (ctx *FunctionContext) GetError() error { return ctx.Error }

// HasInputs tells whether events can call the function.
func (ctx *FunctionContext) HasInputs() bool { return len(ctx.Inputs) > 0 }

// HasOutputs tells whether the function can send.
func (ctx *FunctionContext) HasOutputs() bool { return len(ctx.Outputs) > 0 }

// GetInputs is keyed by input name.
func (ctx *FunctionContext) GetInputs() map[string]*Input { return ctx.Inputs }

// GetOutputs is keyed by output name.
func (ctx *FunctionContext) GetOutputs() map[string]*Output { return ctx.Outputs }

// InitDaprClientIfNil does nothing: the client connects on the first Send.
func (ctx *FunctionContext) InitDaprClientIfNil() {}

// DestroyDaprClient does nothing: all calls share one connection, which ends with the process.
func (ctx *FunctionContext) DestroyDaprClient() {}

// GetPrePlugins names the plugins that run before the function.
func (ctx *FunctionContext) GetPrePlugins() []string { return ctx.PrePlugins }

// GetPostPlugins names the plugins that run after the function.
func (ctx *FunctionContext) GetPostPlugins() []string { return ctx.PostPlugins }

// GetRuntime says how the function is called.
func (ctx *FunctionContext) GetRuntime() Runtime { return ctx.Runtime }

// GetPort is the TCP port as text.
func (ctx *FunctionContext) GetPort() string { return ctx.Port }

// GetHttpPattern is the path of a function registered without one.
func (ctx *FunctionContext) GetHttpPattern() string { return ctx.HttpPattern }

// GetPodName is the name of the pod or instance, which may be empty.
func (ctx *FunctionContext) GetPodName() string { return ctx.podName }

// GetPodNamespace is the namespace, which may be empty.
func (ctx *FunctionContext) GetPodNamespace() string { return ctx.podNamespace }

// GetSyncRequest is never nil; its fields are nil when the call is an event.
func (ctx *FunctionContext) GetSyncRequest() *SyncRequest {
	if ctx.SyncRequest == nil {
		return &SyncRequest{}
	}
	return ctx.SyncRequest
}

// SetSyncRequest makes the call an HTTP request.
func (ctx *FunctionContext) SetSyncRequest(w http.ResponseWriter, r *http.Request) {
	ctx.SyncRequest = &SyncRequest{ResponseWriter: w, Request: r}
}

// GetBindingEvent is nil when the call is no binding event.
func (ctx *FunctionContext) GetBindingEvent() *common.BindingEvent { return ctx.event().BindingEvent }

// GetTopicEvent is nil when the call is no topic event.
func (ctx *FunctionContext) GetTopicEvent() *common.TopicEvent { return ctx.event().TopicEvent }

// GetCloudEvent is nil when the call came from Dapr.
func (ctx *FunctionContext) GetCloudEvent() *event.Event { return ctx.event().CloudEvent }

// GetInnerEvent is nil when the call carries no event.
func (ctx *FunctionContext) GetInnerEvent() InnerEvent { return ctx.event().innerEvent }

// GetInputName is the name of the input an event came from.
func (ctx *FunctionContext) GetInputName() string { return ctx.event().InputName }

func (ctx *FunctionContext) event() *EventRequest {
	if ctx.Event == nil {
		return &EventRequest{}
	}
	return ctx.Event
}

// SetEvent makes the call an event: a *common.BindingEvent, *common.TopicEvent or *event.Event. Anything else is ignored.
func (ctx *FunctionContext) SetEvent(inputName string, e interface{}) {
	switch e := e.(type) {
	case *common.BindingEvent:
		ctx.Event = &EventRequest{InputName: inputName, BindingEvent: e, innerEvent: unwrap(ctx, inputName, e.Data)}
	case *common.TopicEvent:
		data := e.RawData
		if data == nil {
			data = ConvertUserDataToBytes(e.Data)
		}
		ctx.Event = &EventRequest{InputName: inputName, TopicEvent: e, innerEvent: unwrap(ctx, inputName, data)}
	case *event.Event:
		ctx.Event = &EventRequest{InputName: inputName, CloudEvent: e, innerEvent: unwrap(ctx, inputName, e.Data())}
	}
}

// ReturnOnSuccess returns the result with code 200.
func (ctx *FunctionContext) ReturnOnSuccess() Out { return NewFunctionOut().WithCode(Success) }

// ReturnOnInternalError returns the result with code 500.
func (ctx *FunctionContext) ReturnOnInternalError() Out {
	return NewFunctionOut().WithCode(InternalError)
}

// WithOut sets the result.
func (ctx *FunctionContext) WithOut(out *FunctionOut) RuntimeContext {
	ctx.Out = out
	if out == nil {
		ctx.Out = nil
	}
	return ctx
}

// WithError sets the error of the call.
func (ctx *FunctionContext) WithError(err error) RuntimeContext {
	ctx.Error = err
	return ctx
}

// ContextOptions returns the settings of this call.
func (ctx *FunctionContext) ContextOptions() ContextOption { return ctx }

// SetRawData turns the tracing envelope of Send off.
func (ctx *FunctionContext) SetRawData(enable bool) ContextOption {
	ctx.rawData = enable
	return ctx
}

// IsRawDataEnabled tells whether Send sends data as it is.
func (ctx *FunctionContext) IsRawDataEnabled() bool { return ctx.rawData }

// GetPluginsTracingCfg is never nil.
func (ctx *FunctionContext) GetPluginsTracingCfg() TracingConfig {
	if ctx.PluginsTracing == nil {
		return &PluginsTracing{}
	}
	return ctx.PluginsTracing
}

// HasPluginsTracingCfg tells whether tracing was configured.
func (ctx *FunctionContext) HasPluginsTracingCfg() bool { return ctx.PluginsTracing != nil }

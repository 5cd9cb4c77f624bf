package context

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

const (
	defaultPort    = "8080"
	defaultPattern = "/"
	defaultName    = "function"
)

// GetRuntimeContext reads the context from the environment of the process, see Parse.
func GetRuntimeContext() (RuntimeContext, error) {
	ctx, err := Parse(os.Getenv)
	if err != nil {
		return nil, err
	}
	return ctx, nil
}

// Parse makes a context of FUNC_CONTEXT_V1BETA2 and FUNC_CONTEXT. The first wins, field by field: what only the second says
// (topics of outputs in documents of older operators, plugins set by annotation) is kept. Without both the function
// is a plain HTTP function on PORT, or on 8080.
func Parse(getenv func(string) string) (*FunctionContext, error) {
	ctx := &FunctionContext{}
	if text := getenv(FunctionContextEnvName); text != "" {
		if err := json.Unmarshal([]byte(text), ctx); err != nil {
			return nil, fmt.Errorf("reading %s: %w", FunctionContextEnvName, err)
		}
	}
	if text := getenv(FunctionContextV1Beta2EnvName); text != "" {
		var v2 documentV1Beta2
		if err := json.Unmarshal([]byte(text), &v2); err != nil {
			return nil, fmt.Errorf("reading %s: %w", FunctionContextV1Beta2EnvName, err)
		}
		v2.mergeInto(ctx)
	}
	ctx.readEnv(getenv)
	if err := ctx.complete(); err != nil {
		return nil, err
	}
	return ctx.NewCall(nil), nil
}

func (ctx *FunctionContext) readEnv(getenv func(string) string) {
	ctx.podName, ctx.podNamespace = getenv(PodNameEnvName), getenv(PodNamespaceEnvName)
	ctx.testing = getenv(TestModeEnvName) == TestModeOn
	ctx.mode = KubernetesMode
	if getenv(ModeEnvName) == SelfHostMode {
		ctx.mode = SelfHostMode
	}
	setDefault(&ctx.Name, getenv("K_SERVICE"))
	if ctx.Port == "" || ctx.Port == "0" {
		ctx.Port = getenv("PORT")
	}
}

// complete fills in what is missing and checks the rest.
func (ctx *FunctionContext) complete() error {
	setDefault(&ctx.Name, defaultName)
	setDefault(&ctx.Port, defaultPort)
	setDefault(&ctx.HttpPattern, defaultPattern)
	setDefault((*string)(&ctx.Runtime), string(Knative))
	if ctx.Runtime != Knative && ctx.Runtime != Async {
		return fmt.Errorf("%s: runtime is %q; it must be %s or %s", FunctionContextEnvName, ctx.Runtime, Knative, Async)
	}
	for name, in := range ctx.Inputs {
		if in == nil {
			return fmt.Errorf("input %q is null", name)
		}
		if err := checkComponent("input", name, in.ComponentName, in.ComponentType); err != nil {
			return err
		}
		if in.GetType() == OpenFuncBinding {
			in.Uri = in.ComponentName
		}
	}
	for name, out := range ctx.Outputs {
		if out == nil {
			return fmt.Errorf("output %q is null", name)
		}
		if err := checkComponent("output", name, out.ComponentName, out.ComponentType); err != nil {
			return err
		}
	}
	if err := ctx.checkStates(); err != nil {
		return err
	}
	return ctx.checkTracing()
}

func (ctx *FunctionContext) checkTracing() error {
	t := ctx.PluginsTracing
	if t == nil || !t.Enabled {
		return nil
	}
	switch t.ProviderName() {
	case TracingProviderSkywalking, TracingProviderOpentelemetry:
		return nil
	}
	return fmt.Errorf("tracing is enabled with provider %q; it must be %s or %s", t.ProviderName(),
		TracingProviderSkywalking, TracingProviderOpentelemetry)
}

func checkComponent(what, name, component, kind string) error {
	if component == "" {
		return fmt.Errorf("%s %q has no componentName", what, name)
	}
	if b := buildingBlock(kind); b != OpenFuncBinding && b != OpenFuncTopic {
		return fmt.Errorf("%s %q has component type %q; it must begin with bindings. or pubsub.", what, name, kind)
	}
	return nil
}

// buildingBlock is the part of a component type before the first dot; empty when there is no dot.
func buildingBlock(componentType string) ResourceType {
	block, _, found := strings.Cut(componentType, ".")
	if !found {
		return ""
	}
	return ResourceType(block)
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// UnmarshalJSON reads a FUNC_CONTEXT document. The port may be text or a number.
func (ctx *FunctionContext) UnmarshalJSON(text []byte) error {
	type plain FunctionContext // without this method
	document := struct {
		*plain
		Port json.Number `json:"port"`
	}{plain: (*plain)(ctx)}
	if err := json.Unmarshal(text, &document); err != nil {
		return err
	}
	ctx.Port = document.Port.String()
	return nil
}

package run

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/run"
)

// platformEnv is what OpenFunction gives every function: APP_PROTOCOL, where Dapr's API is, the address of SkyWalking, and the
// function's context in both layouts, because each framework reads one of them.
func (c *Controller) platformEnv(ctx context.Context, s *v1beta2.Serving) ([]run.EnvVar, error) {
	general, err := c.defaults(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading configmap %s/%s: %w", configNamespace, configName, err)
	}
	v := view{s: s, t: &s.Spec.ServingTemplate, fn: s.Labels[v1beta2.LabelFunction], object: c.options.ComponentName}
	v.hooks, v.tracing = general.settle(s)
	if v.types, err = c.types(ctx, s); err != nil {
		return nil, err
	}
	env := append([]run.EnvVar{{Name: "APP_PROTOCOL", Value: or(daprapp.Annotation(s, daprapp.AnnotationAppProtocol), "grpc")}}, daprEnv(s)...)
	if t := v.tracing; t != nil && t.Provider.Name == "skywalking" && t.Provider.OapServer != "" {
		env = append(env,
			run.EnvVar{Name: "SW_AGENT_COLLECTOR_BACKEND_SERVICES", Value: t.Provider.OapServer},
			run.EnvVar{Name: "SW_AGENT_NAME", Value: v.fn},
			run.EnvVar{Name: "SW_AGENT_NAMESPACE", Value: s.Namespace},
			run.EnvVar{Name: "SW_AGENT_KEEP_TRACING", Value: "true"})
	}
	old, err := json.Marshal(v.old())
	if err != nil {
		return nil, fmt.Errorf("encoding FUNC_CONTEXT: %w", err)
	}
	current, err := json.Marshal(v.current())
	if err != nil {
		return nil, fmt.Errorf("encoding FUNC_CONTEXT_V1BETA2: %w", err)
	}
	return append(env, run.EnvVar{Name: "FUNC_CONTEXT", Value: string(old)}, run.EnvVar{Name: "FUNC_CONTEXT_V1BETA2", Value: string(current)}), nil
}

// contextV1Beta1 is the layout the Go and Node.js frameworks read.
type contextV1Beta1 struct {
	Name           string                 `json:"name"`
	Version        string                 `json:"version"`
	Inputs         map[string]ioV1Beta1   `json:"inputs,omitempty"`
	Outputs        map[string]ioV1Beta1   `json:"outputs,omitempty"`
	States         map[string]ioV1Beta1   `json:"states,omitempty"`
	Runtime        string                 `json:"runtime"`
	Port           string                 `json:"port"`
	PrePlugins     []string               `json:"prePlugins,omitempty"`
	PostPlugins    []string               `json:"postPlugins,omitempty"`
	PluginsTracing *v1beta2.TracingConfig `json:"pluginsTracing,omitempty"`
}

type ioV1Beta1 struct {
	URI           string            `json:"uri,omitempty"`
	ComponentName string            `json:"componentName"`
	ComponentType string            `json:"componentType"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	Operation     string            `json:"operation,omitempty"`
}

// contextV1Beta2 is the layout the Java and Python frameworks read.
type contextV1Beta2 struct {
	Name      string                 `json:"name"`
	Version   string                 `json:"version"`
	Triggers  *v1beta2.Triggers      `json:"triggers,omitempty"`
	Inputs    map[string]ioV1Beta2   `json:"inputs,omitempty"`
	Outputs   map[string]ioV1Beta2   `json:"outputs,omitempty"`
	States    map[string]ioV1Beta2   `json:"states,omitempty"`
	PreHooks  []string               `json:"preHooks,omitempty"`
	PostHooks []string               `json:"postHooks,omitempty"`
	Tracing   *v1beta2.TracingConfig `json:"tracing,omitempty"`
}

type ioV1Beta2 struct {
	ComponentName string            `json:"componentName"`
	ComponentType string            `json:"componentType"`
	Topic         string            `json:"topic,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	Operation     string            `json:"operation,omitempty"`
}

// view is a revision with what its contexts need from elsewhere.
type view struct {
	s       *v1beta2.Serving
	t       *v1beta2.ServingTemplate
	fn      string
	hooks   *v1beta2.Hooks
	tracing *v1beta2.TracingConfig // nil: nothing is traced
	types   map[string]string      // of components that the function does not define
	object  func(fn, component string) string
}

// component is what the component of a reference is called where the function runs.
func (v *view) component(ref *v1beta2.DaprComponentRef) string {
	name := daprapp.Name(v.t, ref)
	if v.object != nil && (v.t.Bindings[ref.Name] != nil || v.t.Pubsub[ref.Name] != nil || v.t.States[ref.Name] != nil && v.t.States[ref.Name].Spec != nil) {
		return v.object(v.fn, name)
	}
	return name
}

// store is what a state store is called where the function runs.
func (v *view) store(name string) string {
	if s := v.t.States[name]; v.object != nil && s != nil && s.Spec != nil {
		return v.object(v.fn, daprapp.StateName(v.t, name))
	}
	return daprapp.StateName(v.t, name)
}

// kind is the type of the component that a reference means.
func (v *view) kind(ref *v1beta2.DaprComponentRef) string {
	return or(v.t.ComponentType(ref), v.types[ref.Name])
}

// asynchronous says that events call the function. With an http trigger beside them it is still asynchronous: a framework of
// OpenFunction then takes events only, as it always did, and ours take requests on the same port as well.
func (v *view) asynchronous() bool {
	return v.t.Triggers != nil && len(v.t.Triggers.Dapr) > 0
}

func (v *view) old() contextV1Beta1 {
	c := contextV1Beta1{Name: v.fn, Version: version(v.s), Runtime: "Knative", Port: strconv.Itoa(daprapp.Port(v.s)),
		Inputs: map[string]ioV1Beta1{}, Outputs: map[string]ioV1Beta1{}, States: map[string]ioV1Beta1{},
		PrePlugins: v.hooks.Pre, PostPlugins: v.hooks.Post, PluginsTracing: v.tracing}
	if v.asynchronous() {
		c.Runtime = "Async"
		for _, d := range v.t.Triggers.Dapr {
			if d == nil {
				continue
			}
			name, kind := v.component(&d.DaprComponentRef), v.kind(&d.DaprComponentRef)
			c.Inputs[or(d.InputName, d.Name)] = ioV1Beta1{URI: uri(kind, name, d.Topic), ComponentName: name, ComponentType: kind}
		}
	}
	for _, o := range v.t.Outputs {
		if o == nil || o.Dapr == nil {
			continue
		}
		name, kind := v.component(&o.Dapr.DaprComponentRef), v.kind(&o.Dapr.DaprComponentRef)
		c.Outputs[or(o.Dapr.OutputName, o.Dapr.Name)] = ioV1Beta1{URI: uri(kind, name, o.Dapr.Topic), ComponentName: name,
			ComponentType: kind, Metadata: o.Dapr.Metadata, Operation: o.Dapr.Operation}
	}
	for name, st := range v.t.States {
		c.States[name] = ioV1Beta1{ComponentName: v.store(name), ComponentType: v.stateType(name, st)}
	}
	if t := v.tracing; t != nil { // its plugin sees what all others did
		c.PrePlugins = append(slices.Clone(c.PrePlugins), t.Provider.Name)
		c.PostPlugins = append([]string{t.Provider.Name}, c.PostPlugins...)
	}
	return c
}

func (v *view) current() contextV1Beta2 {
	c := contextV1Beta2{Name: v.fn, Version: version(v.s), Triggers: v.triggers(),
		Inputs: map[string]ioV1Beta2{}, Outputs: map[string]ioV1Beta2{}, States: map[string]ioV1Beta2{},
		PreHooks: v.hooks.Pre, PostHooks: v.hooks.Post, Tracing: v.tracing}
	if t := v.t.Triggers; t != nil {
		for _, i := range t.Inputs {
			if i != nil && i.Dapr != nil {
				c.Inputs[i.Dapr.Name] = ioV1Beta2{ComponentName: v.component(i.Dapr), ComponentType: v.kind(i.Dapr), Topic: i.Dapr.Topic}
			}
		}
	}
	for _, o := range v.t.Outputs {
		if o != nil && o.Dapr != nil {
			c.Outputs[or(o.Dapr.OutputName, o.Dapr.Name)] = ioV1Beta2{ComponentName: v.component(&o.Dapr.DaprComponentRef),
				ComponentType: v.kind(&o.Dapr.DaprComponentRef), Topic: o.Dapr.Topic, Metadata: o.Dapr.Metadata, Operation: o.Dapr.Operation}
		}
	}
	for name, st := range v.t.States {
		c.States[name] = ioV1Beta2{ComponentName: v.store(name), ComponentType: v.stateType(name, st)}
	}
	return c
}

// triggers are those of the function, with the names and types of their components. The name that a trigger had is its input's.
func (v *view) triggers() *v1beta2.Triggers {
	t := v.t.Triggers.DeepCopy()
	if t == nil {
		return nil
	}
	for _, d := range t.Dapr {
		if d == nil {
			continue
		}
		name := v.component(&d.DaprComponentRef)
		d.Type = v.kind(&d.DaprComponentRef)
		if name != d.Name {
			d.InputName, d.Name = or(d.InputName, d.Name), name
		}
	}
	for _, i := range t.Inputs {
		if i != nil && i.Dapr != nil {
			i.Dapr.Type = v.kind(i.Dapr)
		}
	}
	return t
}

func (v *view) stateType(name string, st *v1beta2.StateStore) string {
	if st == nil || st.Spec == nil {
		return v.types[name]
	}
	return st.Spec.Type
}

func version(s *v1beta2.Serving) string {
	if s.Spec.Version == nil {
		return v1beta2.DefaultVersion
	}
	return *s.Spec.Version
}

// uri is the topic of a pub/sub component and the name of every other.
func uri(kind, name, topic string) string {
	if strings.HasPrefix(kind, "pubsub.") && topic != "" {
		return topic
	}
	return name
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

package run

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
)

// platformEnv is what OpenFunction gives every function: APP_PROTOCOL, the address of SkyWalking, and the function's
// context in both layouts, because each framework reads one of them.
func platformEnv(s *v1beta2.Serving) ([]run.EnvVar, error) {
	protocol := s.Spec.Annotations["dapr.io/app-protocol"]
	if protocol == "" {
		protocol = "grpc"
	}
	env := []run.EnvVar{{Name: "APP_PROTOCOL", Value: protocol}}
	fn := s.Labels[v1beta2.LabelFunction]
	if t := s.Spec.Tracing; t != nil && t.Enabled && t.Provider != nil && t.Provider.Name == "skywalking" && t.Provider.OapServer != "" {
		env = append(env,
			run.EnvVar{Name: "SW_AGENT_COLLECTOR_BACKEND_SERVICES", Value: t.Provider.OapServer},
			run.EnvVar{Name: "SW_AGENT_NAME", Value: fn},
			run.EnvVar{Name: "SW_AGENT_NAMESPACE", Value: s.Namespace},
			run.EnvVar{Name: "SW_AGENT_KEEP_TRACING", Value: "true"})
	}
	old, err := json.Marshal(oldContext(s, fn))
	if err != nil {
		return nil, fmt.Errorf("encoding FUNC_CONTEXT: %w", err)
	}
	current, err := json.Marshal(newContext(s, fn))
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

// asynchronous says that only events call the function. OpenFunction said so even when there was an http trigger as well,
// and the function then never listened for requests.
func asynchronous(s *v1beta2.Serving) bool {
	t := s.Spec.Triggers
	return t != nil && len(t.Dapr) > 0 && t.HTTP == nil
}

func oldContext(s *v1beta2.Serving, fn string) contextV1Beta1 {
	c := contextV1Beta1{Name: fn, Version: version(s), Runtime: "Knative", Port: strconv.Itoa(port(&s.Spec)),
		Inputs: map[string]ioV1Beta1{}, Outputs: map[string]ioV1Beta1{}, States: map[string]ioV1Beta1{}}
	if asynchronous(s) {
		c.Runtime = "Async"
	}
	if t := s.Spec.Triggers; t != nil {
		for _, d := range t.Dapr {
			if d == nil {
				continue
			}
			kind := s.Spec.ComponentType(&d.DaprComponentRef)
			c.Inputs[or(d.InputName, d.Name)] = ioV1Beta1{URI: uri(kind, d.DaprComponentRef), ComponentName: d.Name, ComponentType: kind}
		}
	}
	for _, o := range s.Spec.Outputs {
		if o == nil || o.Dapr == nil {
			continue
		}
		kind := s.Spec.ComponentType(&o.Dapr.DaprComponentRef)
		c.Outputs[or(o.Dapr.OutputName, o.Dapr.Name)] = ioV1Beta1{URI: uri(kind, o.Dapr.DaprComponentRef), ComponentName: o.Dapr.Name,
			ComponentType: kind, Metadata: o.Dapr.Metadata, Operation: o.Dapr.Operation}
	}
	for name, st := range s.Spec.States {
		c.States[name] = ioV1Beta1{ComponentName: name, ComponentType: stateType(st)}
	}
	if h := s.Spec.Hooks; h != nil {
		c.PrePlugins, c.PostPlugins = h.Pre, h.Post
	}
	if t := s.Spec.Tracing; t != nil && t.Enabled {
		c.PluginsTracing = t
		if t.Provider != nil && t.Provider.Name != "" { // its plugin sees what all others did
			c.PrePlugins = append(slices.Clone(c.PrePlugins), t.Provider.Name)
			c.PostPlugins = append([]string{t.Provider.Name}, c.PostPlugins...)
		}
	}
	return c
}

func newContext(s *v1beta2.Serving, fn string) contextV1Beta2 {
	c := contextV1Beta2{Name: fn, Version: version(s), Triggers: typed(s),
		Inputs: map[string]ioV1Beta2{}, Outputs: map[string]ioV1Beta2{}, States: map[string]ioV1Beta2{}}
	if t := s.Spec.Triggers; t != nil {
		for _, i := range t.Inputs {
			if i != nil && i.Dapr != nil {
				c.Inputs[i.Dapr.Name] = ioV1Beta2{ComponentName: i.Dapr.Name, ComponentType: s.Spec.ComponentType(i.Dapr), Topic: i.Dapr.Topic}
			}
		}
	}
	for _, o := range s.Spec.Outputs {
		if o != nil && o.Dapr != nil {
			c.Outputs[or(o.Dapr.OutputName, o.Dapr.Name)] = ioV1Beta2{ComponentName: o.Dapr.Name, ComponentType: s.Spec.ComponentType(&o.Dapr.DaprComponentRef),
				Topic: o.Dapr.Topic, Metadata: o.Dapr.Metadata, Operation: o.Dapr.Operation}
		}
	}
	for name, st := range s.Spec.States {
		c.States[name] = ioV1Beta2{ComponentName: name, ComponentType: stateType(st)}
	}
	if h := s.Spec.Hooks; h != nil {
		c.PreHooks, c.PostHooks = h.Pre, h.Post
	}
	if t := s.Spec.Tracing; t != nil && t.Enabled {
		c.Tracing = t
	}
	return c
}

// typed are the triggers with the types of their components filled in.
func typed(s *v1beta2.Serving) *v1beta2.Triggers {
	t := s.Spec.Triggers.DeepCopy()
	if t == nil {
		return nil
	}
	for _, d := range t.Dapr {
		if d != nil {
			d.Type = s.Spec.ComponentType(&d.DaprComponentRef)
		}
	}
	for _, i := range t.Inputs {
		if i != nil && i.Dapr != nil {
			i.Dapr.Type = s.Spec.ComponentType(i.Dapr)
		}
	}
	return t
}

func version(s *v1beta2.Serving) string {
	if s.Spec.Version == nil {
		return v1beta2.DefaultVersion
	}
	return *s.Spec.Version
}

func stateType(st *v1beta2.StateStore) string {
	if st == nil || st.Spec == nil {
		return ""
	}
	return st.Spec.Type
}

// uri is the topic of a pub/sub component and the name of every other.
func uri(kind string, ref v1beta2.DaprComponentRef) string {
	if strings.HasPrefix(kind, "pubsub.") && ref.Topic != "" {
		return ref.Topic
	}
	return ref.Name
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

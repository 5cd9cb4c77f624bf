package context

import (
	"encoding/json"
	"maps"
)

// documentV1Beta2 is FUNC_CONTEXT_V1BETA2: what core.openfunction.io/v1beta2 says of a function, in its own shape.
type documentV1Beta2 struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Triggers struct {
		HTTP *struct {
			Port json.Number `json:"port"`
		} `json:"http"`
		Dapr []struct {
			Name            string `json:"name"`
			Type            string `json:"type"`
			Topic           string `json:"topic"`
			InputName       string `json:"inputName"`
			DeadLetterTopic string `json:"deadLetterTopic"`
		} `json:"dapr"`
	} `json:"triggers"`
	Inputs  map[string]componentV1Beta2 `json:"inputs"`
	Outputs map[string]componentV1Beta2 `json:"outputs"`
	States  map[string]*State           `json:"states"`
	Pre     []string                    `json:"preHooks"`
	Post    []string                    `json:"postHooks"`
	Tracing *PluginsTracing             `json:"tracing"`
}

type componentV1Beta2 struct {
	Name      string            `json:"componentName"`
	Type      string            `json:"componentType"`
	Topic     string            `json:"topic"`
	Metadata  map[string]string `json:"metadata"`
	Operation string            `json:"operation"`
}

// uri is the topic of a pubsub component; old says what FUNC_CONTEXT knows of it.
func (c componentV1Beta2) uri(old string) string {
	switch {
	case buildingBlock(c.Type) != OpenFuncTopic:
		return c.Name
	case c.Topic != "":
		return c.Topic
	}
	return old
}

// mergeInto overwrites in ctx what d says.
func (d *documentV1Beta2) mergeInto(ctx *FunctionContext) {
	override(&ctx.Name, d.Name)
	override(&ctx.Version, d.Version)
	if d.Triggers.HTTP != nil && d.Triggers.HTTP.Port != "0" {
		override(&ctx.Port, d.Triggers.HTTP.Port.String())
	}
	if len(d.Triggers.Dapr) > 0 {
		ctx.Runtime = Async
	} else if d.Triggers.HTTP != nil {
		ctx.Runtime = Knative
	}
	d.mergeInputs(ctx)
	d.mergeOutputs(ctx)
	if len(d.States) > 0 {
		ctx.States = d.States
	}
	if len(d.Pre) > 0 {
		ctx.PrePlugins = d.Pre
	}
	if len(d.Post) > 0 {
		ctx.PostPlugins = d.Post
	}
	if d.Tracing != nil {
		ctx.PluginsTracing = d.Tracing
	}
}

// mergeInputs takes what calls the function: the Dapr triggers. The document's inputs say more of each; those that are not
// also triggers are only readable and call nobody.
func (d *documentV1Beta2) mergeInputs(ctx *FunctionContext) {
	if len(d.Triggers.Dapr) == 0 {
		return
	}
	old := ctx.Inputs
	ctx.Inputs = map[string]*Input{}
	for _, t := range d.Triggers.Dapr {
		key, c := t.Name, componentV1Beta2{Name: t.Name, Type: t.Type, Topic: t.Topic}
		override(&key, t.InputName)
		c.fill(d.Inputs[key])
		name, known := find(old, c)
		c.fill(componentV1Beta2{Type: known.ComponentType, Topic: known.Uri, Metadata: known.Metadata})
		override(&key, name)
		if _, taken := ctx.Inputs[key]; taken {
			key += "/" + c.Topic // several topics of one component
		}
		ctx.Inputs[key] = &Input{Uri: c.uri(""), ComponentName: c.Name, ComponentType: c.Type, Metadata: c.Metadata, DeadLetterTopic: t.DeadLetterTopic}
	}
}

// fill takes from other what c does not say.
func (c *componentV1Beta2) fill(other componentV1Beta2) {
	setDefault(&c.Name, other.Name)
	setDefault(&c.Type, other.Type)
	setDefault(&c.Topic, other.Topic)
	if c.Metadata == nil {
		c.Metadata = other.Metadata
	}
}

// find returns the input of FUNC_CONTEXT for the same component and topic, and its name.
func find(inputs map[string]*Input, c componentV1Beta2) (string, Input) {
	for name, in := range inputs {
		if in != nil && in.ComponentName == c.Name && (c.Topic == "" || c.Topic == in.Uri) {
			return name, *in
		}
	}
	return "", Input{}
}

func (d *documentV1Beta2) mergeOutputs(ctx *FunctionContext) {
	merged := maps.Clone(ctx.Outputs)
	if merged == nil {
		merged = map[string]*Output{}
	}
	for name, c := range d.Outputs {
		out := &Output{ComponentName: c.Name, ComponentType: c.Type, Metadata: c.Metadata, Operation: c.Operation}
		var topic string
		if old := merged[name]; old != nil {
			topic = old.Uri
		}
		out.Uri = c.uri(topic)
		merged[name] = out
	}
	if len(merged) > 0 {
		ctx.Outputs = merged
	}
}

func override(field *string, value string) {
	if value != "" {
		*field = value
	}
}

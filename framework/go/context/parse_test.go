package context

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func parse(v1, v2 string, more ...string) (*FunctionContext, error) {
	env := map[string]string{FunctionContextEnvName: v1, FunctionContextV1Beta2EnvName: v2}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return Parse(func(k string) string { return env[k] })
}

func TestParseNothing(t *testing.T) {
	ctx, err := parse("", "", "PORT", "9000", PodNameEnvName, "pod", PodNamespaceEnvName, "ns")
	if err != nil {
		t.Fatal(err)
	}
	if ctx.GetRuntime() != Knative || ctx.GetPort() != "9000" || ctx.GetHttpPattern() != "/" || ctx.GetMode() != KubernetesMode ||
		ctx.GetPodName() != "pod" || ctx.GetPodNamespace() != "ns" {
		t.Errorf("%+v", ctx)
	}
}

const bothV1 = `{"name":"f","version":"v2","runtime":"Async","port":"8080",
	"inputs":{"in":{"uri":"topic-in","componentName":"ps-real","componentType":"pubsub.kafka"}},
	"outputs":{"out":{"uri":"topic-out","componentName":"ps-real","componentType":"pubsub.kafka"},
		"bind":{"uri":"b","componentName":"b-real","componentType":"bindings.kafka","operation":"create"}},
	"prePlugins":["a"],"postPlugins":["b"],"pluginsTracing":{"enabled":true,"provider":{"name":"skywalking","oapServer":"o"}}}`

func TestParseLayouts(t *testing.T) {
	v1Only := map[string]*Output{
		"out":  {Uri: "topic-out", ComponentName: "ps-real", ComponentType: "pubsub.kafka"},
		"bind": {Uri: "b", ComponentName: "b-real", ComponentType: "bindings.kafka", Operation: "create"},
	}
	in := map[string]*Input{"in": {Uri: "topic-in", ComponentName: "ps-real", ComponentType: "pubsub.kafka"}}
	for name, tt := range map[string]struct {
		v1, v2  string
		inputs  map[string]*Input
		outputs map[string]*Output
		runtime Runtime
		port    string
		pre     []string
	}{
		"v1 only":         {v1: bothV1, inputs: in, outputs: v1Only, runtime: Async, port: "8080", pre: []string{"a"}},
		"v1 numeric port": {v1: `{"name":"f","runtime":"Knative","port":81}`, runtime: Knative, port: "81"},
		"v2 only": {
			v2: `{"name":"f","triggers":{"http":{"port":90},"dapr":[{"name":"ps-real","type":"pubsub.kafka","topic":"t","inputName":"i"}]},
				"outputs":{"o":{"componentName":"c","componentType":"pubsub.nats","topic":"u","metadata":{"k":"v"}}},"preHooks":["h"]}`,
			inputs:  map[string]*Input{"i": {Uri: "t", ComponentName: "ps-real", ComponentType: "pubsub.kafka"}},
			outputs: map[string]*Output{"o": {Uri: "u", ComponentName: "c", ComponentType: "pubsub.nats", Metadata: map[string]string{"k": "v"}}},
			runtime: Async, port: "90", pre: []string{"h"},
		},
		"v2 lacks what v1 has": {
			v1: bothV1,
			v2: `{"name":"f","triggers":{"dapr":[{"name":"ps-real"}]},
				"outputs":{"out":{"componentName":"ps-real","componentType":"pubsub.kafka"}}}`,
			inputs: in, outputs: v1Only, runtime: Async, port: "8080", pre: []string{"a"},
		},
		"v2 wins": {
			v1:      bothV1,
			v2:      `{"triggers":{"http":{"port":90}},"outputs":{"bind":{"componentName":"new","componentType":"bindings.http","operation":"post"}},"preHooks":["h"]}`,
			inputs:  in,
			outputs: map[string]*Output{"out": v1Only["out"], "bind": {Uri: "new", ComponentName: "new", ComponentType: "bindings.http", Operation: "post"}},
			runtime: Knative, port: "90", pre: []string{"h"},
		},
		"several topics of one component": {
			v2: `{"triggers":{"dapr":[{"name":"c","type":"pubsub.x","topic":"a"},{"name":"c","type":"pubsub.x","topic":"b"}]}}`,
			inputs: map[string]*Input{"c": {Uri: "a", ComponentName: "c", ComponentType: "pubsub.x"},
				"c/b": {Uri: "b", ComponentName: "c", ComponentType: "pubsub.x"}},
			runtime: Async, port: "8080",
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, err := parse(tt.v1, tt.v2)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(ctx.Inputs, tt.inputs) || !reflect.DeepEqual(ctx.Outputs, tt.outputs) {
				t.Errorf("inputs %s, outputs %s", text(ctx.Inputs), text(ctx.Outputs))
			}
			if ctx.Runtime != tt.runtime || ctx.Port != tt.port || !reflect.DeepEqual(ctx.PrePlugins, tt.pre) {
				t.Errorf("runtime %s, port %s, pre %v", ctx.Runtime, ctx.Port, ctx.PrePlugins)
			}
		})
	}
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestParseErrors(t *testing.T) {
	for name, tt := range map[string]struct{ v1, v2, want string }{
		"syntax":            {v1: `{"name":`, want: "reading FUNC_CONTEXT:"},
		"syntax v1beta2":    {v2: `[]`, want: "reading FUNC_CONTEXT_V1BETA2:"},
		"runtime":           {v1: `{"runtime":"Lambda"}`, want: `"Lambda"`},
		"component type":    {v1: `{"inputs":{"i":{"componentName":"c","componentType":"state.redis"}}}`, want: `"state.redis"`},
		"no component name": {v1: `{"outputs":{"o":{"componentType":"bindings.http"}}}`, want: "no componentName"},
		"null output":       {v1: `{"outputs":{"o":null}}`, want: "null"},
		"tracing provider":  {v1: `{"pluginsTracing":{"enabled":true,"provider":{"name":"x"}}}`, want: `provider "x"`},
	} {
		if _, err := parse(tt.v1, tt.v2); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %s", name, err, tt.want)
		}
	}
}

// Whatever the environment holds, parsing ends with an error or with a context whose parts are usable.
func FuzzParse(f *testing.F) {
	f.Add(bothV1, "")
	f.Add(bothV1, `{"triggers":{"http":{"port":90},"dapr":[{"name":"ps-real"}]},"outputs":{"out":{"componentName":"c","componentType":"pubsub.x"}}}`)
	f.Add(`{"port":8080,"inputs":{"a":null}}`, `{"tracing":{"enabled":false}}`)
	f.Fuzz(func(t *testing.T, v1, v2 string) {
		ctx, err := parse(v1, v2)
		if err != nil {
			return
		}
		if ctx.Port == "" || (ctx.Runtime != Knative && ctx.Runtime != Async) {
			t.Errorf("port %q, runtime %q", ctx.Port, ctx.Runtime)
		}
		for name, in := range ctx.Inputs {
			if in.ComponentName == "" || in.GetType() == "" {
				t.Errorf("input %q: %+v", name, in)
			}
		}
		for name := range ctx.Outputs {
			_, _ = ctx.Send(name, nil)
		}
		_ = NewInnerEvent(ctx).GetCloudEventJSON()
		_ = IsTracingProviderSkyWalking(ctx)
	})
}

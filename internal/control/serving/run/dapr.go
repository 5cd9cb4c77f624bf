package run

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta1"
	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/run"
)

// The ConfigMap of the platform, with OpenFunction's keys of old and new.
const (
	configNamespace = "openfunction"
	configName      = "openfunction-config"
)

// daprEnv is where the function finds Dapr's API, by the names that SDKs and OpenFunction's frameworks read.
func daprEnv(s *v1beta2.Serving) []run.EnvVar {
	if !daprapp.Enabled(s) {
		return nil
	}
	return []run.EnvVar{
		{Name: "DAPR_HOST", Value: "127.0.0.1"},
		{Name: "DAPR_SIDECAR_IP", Value: "127.0.0.1"},
		{Name: "DAPR_HTTP_PORT", Value: strconv.Itoa(run.DaprHTTPPort)},
		{Name: "DAPR_GRPC_PORT", Value: strconv.Itoa(run.DaprGRPCPort)},
	}
}

// defaults are what the platform gives every function; see settle.
type defaults struct {
	hooks   *v1beta2.Hooks
	tracing *v1beta2.TracingConfig
}

// defaults reads the platform's ConfigMap. What cannot be read in it is told in the log, and counts as not there: one wrong
// line must not keep every function from starting.
func (c *Controller) defaults(ctx context.Context) (defaults, error) {
	var out defaults
	config := &corev1.ConfigMap{}
	if err := c.client.Get(ctx, types.NamespacedName{Namespace: configNamespace, Name: configName}, config); err != nil {
		return out, client.IgnoreNotFound(err)
	}
	data := config.Data
	for _, key := range hookKeys() {
		if text, ok := data[key]; ok && out.hooks == nil {
			out.hooks = &v1beta2.Hooks{}
			c.read(key, text, out.hooks)
		}
	}
	for _, key := range tracingKeys() {
		if text, ok := data[key]; ok && out.tracing == nil {
			out.tracing = &v1beta2.TracingConfig{}
			c.read(key, text, out.tracing)
		}
	}
	return out, nil
}

func (c *Controller) read(key, text string, into any) {
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		c.options.Log.Warn("a default for all functions cannot be read", "configmap", configNamespace+"/"+configName, "key", key, "err", err)
	}
}

// settle combines what the function says with what the platform gives it. Hooks: the platform's pre come before and its post
// after the function's, unless the policy is Override. Tracing: the function's own fields win; one that switches it off has none.
func (d defaults) settle(s *v1beta2.Serving) (*v1beta2.Hooks, *v1beta2.TracingConfig) {
	own, tracing := s.Spec.Hooks, s.Spec.Tracing
	if own == nil {
		own = v1beta1.Hooks(s.Annotations)
	}
	if tracing == nil {
		tracing = v1beta1.Tracing(s.Annotations)
	}
	hooks := &v1beta2.Hooks{}
	if d.hooks != nil && (own == nil || own.Policy != v1beta2.HookPolicyOverride) {
		hooks.Pre, hooks.Post = d.hooks.Pre, d.hooks.Post
	}
	if own != nil {
		hooks.Pre, hooks.Post = slices.Concat(hooks.Pre, own.Pre), slices.Concat(own.Post, hooks.Post)
	}
	return hooks, merge(tracing, d.tracing)
}

// merge fills in what own leaves out; nil means that nothing is traced.
func merge(own, general *v1beta2.TracingConfig) *v1beta2.TracingConfig {
	switch {
	case own == nil && general == nil:
		return nil
	case own == nil:
		own = general
	case general == nil:
		general = own
	}
	if !own.Enabled {
		return nil
	}
	out := &v1beta2.TracingConfig{Enabled: true, Provider: provider(own.Provider, general.Provider), Tags: union(own.Tags, general.Tags), Baggage: union(own.Baggage, general.Baggage)}
	if out.Provider == nil || out.Provider.Name == "" {
		return nil
	}
	return out
}

func provider(own, general *v1beta2.TracingProvider) *v1beta2.TracingProvider {
	if own == nil || own.Name == "" {
		return general
	}
	out := *own
	if general == nil || general.Name != own.Name {
		return &out
	}
	out.OapServer = or(out.OapServer, general.OapServer)
	if out.Exporter == nil {
		out.Exporter = general.Exporter
	}
	return &out
}

func union(own, general map[string]string) map[string]string {
	if len(own)+len(general) == 0 {
		return nil
	}
	out := maps.Clone(general)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, own)
	return out
}

// types are the types of the components that the function uses and does not define, where it does not say them itself. A
// framework cannot do without.
func (c *Controller) types(ctx context.Context, s *v1beta2.Serving) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range s.Spec.ForeignComponents() {
		d := &daprv1.Component{}
		err := c.client.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: name}, d)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading component %s: %w", name, err)
		}
		if err == nil {
			out[name] = d.Spec.Type
		} else if apierrors.IsNotFound(err) && !selfTyped(&s.Spec, name) {
			return nil, &invalid{"MissingReference", fmt.Errorf("component %q is nowhere defined: give the function one in bindings, pubsub or states, or make a Component of that name in namespace %q", name, s.Namespace)}
		}
	}
	return out, nil
}

// selfTyped says whether the function itself says of which type a component is, wherever it uses it.
func selfTyped(s *v1beta2.ServingSpec, name string) bool {
	if st, ok := s.States[name]; ok && (st == nil || st.Spec == nil) {
		return false
	}
	for _, ref := range references(s) {
		if ref.Name == name && ref.Type == "" {
			return false
		}
	}
	return true
}

func references(s *v1beta2.ServingSpec) []v1beta2.DaprComponentRef {
	var out []v1beta2.DaprComponentRef
	if t := s.Triggers; t != nil {
		for _, d := range t.Dapr {
			if d != nil {
				out = append(out, d.DaprComponentRef)
			}
		}
		for _, in := range t.Inputs {
			if in != nil && in.Dapr != nil {
				out = append(out, *in.Dapr)
			}
		}
	}
	for _, o := range s.Outputs {
		if o != nil && o.Dapr != nil {
			out = append(out, o.Dapr.DaprComponentRef)
		}
	}
	return out
}

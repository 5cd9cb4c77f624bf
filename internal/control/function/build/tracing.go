package build

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta1"
	"github.com/openfunction/ofn/api/core/v1beta2"
)

// platformConfig holds what the platform gives every function.
var platformConfig = types.NamespacedName{Namespace: "openfunction", Name: "openfunction-config"}

// trace has the build link what the provider of the function's tracing needs, so that a function that is not traced does not pay
// for it. What the build says itself wins.
func (p *Phase) trace(ctx context.Context, fn *v1beta2.Function, b *v1beta2.BuilderSpec) error {
	if _, said := b.Env[v1beta2.EnvTracing]; said || fn.Spec.Serving == nil {
		return nil
	}
	own := fn.Spec.Serving.Tracing
	if own == nil {
		own = v1beta1.Tracing(fn.Annotations)
	}
	if own == nil || own.Provider == nil || own.Provider.Name == "" {
		general, err := p.platformTracing(ctx)
		if err != nil {
			return err
		}
		if own == nil {
			own = general
		} else if general != nil {
			own = &v1beta2.TracingConfig{Enabled: own.Enabled, Provider: general.Provider}
		}
	}
	if own == nil || !own.Enabled || own.Provider == nil || (own.Provider.Name != "opentelemetry" && own.Provider.Name != "skywalking") {
		return nil
	}
	if b.Env == nil {
		b.Env = map[string]string{}
	}
	b.Env[v1beta2.EnvTracing] = own.Provider.Name
	return nil
}

// platformTracing is that of the platform's ConfigMap. What cannot be read there counts as not there; what runs functions tells.
func (p *Phase) platformTracing(ctx context.Context) (*v1beta2.TracingConfig, error) {
	var config corev1.ConfigMap
	if err := p.client.Get(ctx, platformConfig, &config); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("reading configmap %s: %w", platformConfig, err)
	}
	for _, key := range []string{"tracing", "plugins.tracing"} {
		if text, ok := config.Data[key]; ok {
			out := &v1beta2.TracingConfig{}
			if yaml.Unmarshal([]byte(text), out) == nil {
				return out, nil
			}
		}
	}
	return nil, nil
}

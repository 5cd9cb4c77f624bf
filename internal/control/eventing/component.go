package eventing

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/api/opaque"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/event"
)

// Setting is one setting of a component; its value may be in a secret.
type Setting struct {
	Name   string
	Value  opaque.Value
	Secret string // empty: Value holds
	Key    string
}

// Settings reads those of a component's metadata. store is a secret store; empty and "kubernetes" are the secrets of the namespace.
func (r *Resolver) Settings(ctx context.Context, namespace, store string, settings []Setting) (map[string]string, error) {
	out := make(map[string]string, len(settings))
	for _, s := range settings {
		if s.Secret == "" {
			out[s.Name] = s.Value.String()
			continue
		}
		value, err := r.secret(ctx, namespace, store, s)
		if err != nil {
			return nil, fmt.Errorf("metadata %q: %w", s.Name, err)
		}
		out[s.Name] = value
	}
	return out, nil
}

func (r *Resolver) secret(ctx context.Context, namespace, store string, s Setting) (string, error) {
	if store == "" || store == daprv1.KubernetesSecretStore {
		value, err := secret.Value(ctx, r.Client, namespace, "secret", s.Secret, s.Key)
		return string(value), err
	}
	if r.Stores == nil {
		return "", missing("secret store %q cannot be read here: use the store %q", store, daprv1.KubernetesSecretStore)
	}
	values, err := r.Stores.Secret(ctx, namespace, store, s.Secret)
	if err != nil {
		return "", missing("secret store %q: %v", store, err)
	}
	value, ok := values[s.Key]
	if !ok {
		return "", missing("secret %q of store %q has no key %q", s.Secret, store, s.Key)
	}
	return value, nil
}

// Component resolves a Component object.
func (r *Resolver) Component(ctx context.Context, c *daprv1.Component) (event.Component, error) {
	settings := make([]Setting, 0, len(c.Spec.Metadata))
	for _, m := range c.Spec.Metadata {
		s := Setting{Name: m.Name, Value: m.Value}
		if ref := m.SecretKeyRef; ref != nil && ref.Name != "" {
			s.Secret, s.Key = ref.Name, or(ref.Key, ref.Name)
		}
		settings = append(settings, s)
	}
	store := ""
	if c.Auth != nil {
		store = c.Auth.SecretStore
	}
	metadata, err := r.Settings(ctx, c.Namespace, store, settings)
	if err != nil {
		return event.Component{}, fmt.Errorf("component %q: %w", c.Name, err)
	}
	return event.Component{Name: event.Name{Namespace: c.Namespace, Name: c.Name}, Type: c.Spec.Type, Version: c.Spec.Version, Metadata: metadata,
		Scopes: c.Scopes, IgnoreErrors: c.Spec.IgnoreErrors, InitTimeout: duration(c.Spec.InitTimeout)}, nil
}

// Own resolves a component that a Function defines for itself.
func (r *Resolver) Own(ctx context.Context, name event.Name, c *v1beta2.Component) (event.Component, error) {
	settings := make([]Setting, 0, len(c.Metadata))
	for _, m := range c.Metadata {
		s := Setting{Name: m.Name, Value: m.Value}
		if ref := m.SecretKeyRef; ref != nil && ref.Name != "" {
			s.Secret, s.Key = ref.Name, or(ref.Key, m.Name)
		}
		settings = append(settings, s)
	}
	metadata, err := r.Settings(ctx, name.Namespace, "", settings)
	if err != nil {
		return event.Component{}, fmt.Errorf("component %q: %w", name.Name, err)
	}
	return event.Component{Name: name, Type: c.Type, Version: c.Version, Metadata: metadata, IgnoreErrors: c.IgnoreErrors, InitTimeout: duration(c.InitTimeout)}, nil
}

// Described resolves a component that a source or bus names, in the namespace, or describes itself; then it gets name.
func (r *Resolver) Described(ctx context.Context, name event.Name, component, kind, version string, metadata []events.ComponentMetadata) (event.Component, error) {
	if component != "" {
		object := &daprv1.Component{}
		err := r.Client.Get(ctx, types.NamespacedName{Namespace: name.Namespace, Name: component}, object)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return event.Component{}, missing("Component %q is not in namespace %q", component, name.Namespace)
		}
		if err != nil {
			return event.Component{}, fmt.Errorf("reading component %s: %w", component, err)
		}
		return r.Component(ctx, object)
	}
	settings := make([]Setting, 0, len(metadata))
	for _, m := range metadata {
		s := Setting{Name: m.Name, Value: m.Value}
		if m.SecretKeyRef != nil {
			s.Secret, s.Key = m.SecretKeyRef.Name, m.SecretKeyRef.Key
		}
		settings = append(settings, s)
	}
	values, err := r.Settings(ctx, name.Namespace, "", settings)
	if err != nil {
		return event.Component{}, err
	}
	return event.Component{Name: name, Type: kind, Version: version, Metadata: values}, nil
}

// duration reads what admission has checked.
func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0
	}
	return d
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

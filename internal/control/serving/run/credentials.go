package run

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	kedav1 "github.com/openfunction/ofn/api/keda/v1alpha1"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/run"
)

// What authenticationRef names: KEDA's object, or a Secret each of whose keys is a parameter. Without a kind it is the object when there is
// one of that name, else the Secret.
const (
	kindTriggerAuthentication = "TriggerAuthentication"
	kindSecret                = "Secret"
)

// credentials are the authentication parameters of a trigger.
func (c *Controller) credentials(ctx context.Context, namespace string, ref *v1beta2.KedaAuthRef, env []run.EnvVar) (map[string]string, error) {
	switch ref.Kind {
	case "", kindTriggerAuthentication, kindSecret:
	default:
		return nil, unsupported("authenticationRef of kind %s: one machine has no such objects; name a TriggerAuthentication of the namespace, or a Secret (kind: Secret) whose keys are the parameters", ref.Kind)
	}
	if ref.Kind != kindSecret {
		auth := &kedav1.TriggerAuthentication{}
		err := c.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, auth)
		switch {
		case err == nil:
			out, err := c.parameters(ctx, auth, env)
			if err != nil {
				return nil, at("TriggerAuthentication "+ref.Name, err)
			}
			return out, nil
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("reading TriggerAuthentication %s/%s: %w", namespace, ref.Name, err)
		case ref.Kind != "":
			return nil, &invalid{"MissingReference", fmt.Errorf("authenticationRef: TriggerAuthentication %q is not in namespace %q", ref.Name, namespace)}
		}
	}
	data, err := secret.Data(ctx, c.client, namespace, "secret", ref.Name)
	if err != nil {
		return nil, at("authenticationRef", asInvalid(err))
	}
	out := make(map[string]string, len(data))
	for k, v := range data {
		out[k] = string(v)
	}
	return out, nil
}

// parameters are those of a TriggerAuthentication; those of secrets win.
func (c *Controller) parameters(ctx context.Context, auth *kedav1.TriggerAuthentication, env []run.EnvVar) (map[string]string, error) {
	if _, errs := auth.Validate(); len(errs) > 0 { // it came by another way than admission
		return nil, &invalid{"InvalidScaleOptions", errs.ToAggregate()}
	}
	out := map[string]string{}
	for _, e := range auth.Spec.Env {
		value, ok := variable(env, e.Name)
		if !ok {
			return nil, &invalid{"InvalidScaleOptions", fmt.Errorf("parameter %s names the environment variable %q, which the function does not have: add it to params, or to env of its container", e.Parameter, e.Name)}
		}
		out[e.Parameter] = value
	}
	for _, s := range auth.Spec.SecretTargetRef {
		value, err := secret.Value(ctx, c.client, auth.Namespace, "secret", s.Name, s.Key)
		if err != nil {
			return nil, at("parameter "+s.Parameter, asInvalid(err))
		}
		out[s.Parameter] = string(value)
	}
	return out, nil
}

// variable is the last of that name.
func variable(env []run.EnvVar, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if env[i].Name == name {
			return env[i].Value, true
		}
	}
	return "", false
}

// usesLogin says whether a change of a Secret or a TriggerAuthentication may be one of what a trigger of the revision logs in with.
func usesLogin(s *v1beta2.Serving, changed client.Object) bool {
	if s.Namespace != changed.GetNamespace() || s.Spec.ScaleOptions == nil || s.Spec.ScaleOptions.Keda == nil {
		return false
	}
	for _, t := range s.Spec.ScaleOptions.Keda.Triggers {
		ref := t.AuthenticationRef
		if ref == nil {
			continue
		}
		if _, of := changed.(*kedav1.TriggerAuthentication); !of && ref.Kind != kindSecret || ref.Name == changed.GetName() {
			return true // which secrets an object of KEDA's names is not looked up: they are few
		}
	}
	return false
}

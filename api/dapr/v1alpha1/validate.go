package v1alpha1

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// categories are what types of components begin with.
var categories = []string{"bindings.", "configuration.", "pubsub.", "secretstores.", "state."}

// elsewhere are categories that only a real sidecar has.
var elsewhere = []string{"conversation.", "crypto.", "lock.", "middleware.", "nameresolution.", "workflow.", "workflowbackend."}

// Validate says why a component cannot be accepted, and warns of what has no effect. Whether its type is known is
// somebody else's to say.
func (c *Component) Validate() (warnings []string, errs field.ErrorList) {
	spec := field.NewPath("spec")
	begins := func(prefix string) bool { return strings.HasPrefix(c.Spec.Type, prefix) }
	switch {
	case slices.ContainsFunc(categories, begins):
	case slices.ContainsFunc(elsewhere, begins):
		warnings = append(warnings, fmt.Sprintf("spec.type: %q is offered by a real daprd only: annotate the functions that use it with openfunction.io/dapr-service-mode: sidecar", c.Spec.Type))
	default:
		errs = append(errs, field.Invalid(spec.Child("type"), c.Spec.Type, "must begin with one of "+strings.Join(categories, " ")))
	}
	if t := c.Spec.InitTimeout; t != "" {
		if d, err := time.ParseDuration(t); err != nil || d <= 0 {
			errs = append(errs, field.Invalid(spec.Child("initTimeout"), t, "must be a duration such as 5s"))
		}
	}
	if c.Auth != nil && c.Auth.SecretStore == "" {
		errs = append(errs, field.Required(field.NewPath("auth", "secretStore"), "name the secret store; "+KubernetesSecretStore+" is always there"))
	}
	seen := map[string]bool{}
	for i, m := range c.Spec.Metadata {
		p := spec.Child("metadata").Index(i)
		if seen[m.Name] {
			warnings = append(warnings, fmt.Sprintf("%s: %q is given more than once; the last one holds", p.Child("name"), m.Name))
		}
		seen[m.Name] = true
		if m.EnvRef != "" {
			errs = append(errs, field.Forbidden(p.Child("envRef"), "there is no sidecar whose environment it could read: give the value, or take it from a secret with secretKeyRef"))
		}
		if m.SecretKeyRef != nil && m.SecretKeyRef.Name == "" {
			errs = append(errs, field.Required(p.Child("secretKeyRef", "name"), "name the secret"))
		}
	}
	return warnings, errs
}

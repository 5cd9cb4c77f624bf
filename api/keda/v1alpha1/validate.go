package v1alpha1

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/openfunction/ofn/api/opaque"
)

// Validate says why an object cannot be accepted, and warns of what has no effect.
func (a *TriggerAuthentication) Validate() (warnings []string, errs field.ErrorList) {
	spec := field.NewPath("spec")
	given := map[string]bool{}
	parameter := func(p *field.Path, name string) {
		switch {
		case name == "":
			errs = append(errs, field.Required(p, "name the parameter of the trigger"))
		case given[name]:
			errs = append(errs, field.Duplicate(p, name))
		}
		given[name] = true
	}
	for i, s := range a.Spec.SecretTargetRef {
		p := spec.Child("secretTargetRef").Index(i)
		parameter(p.Child("parameter"), s.Parameter)
		if s.Name == "" {
			errs = append(errs, field.Required(p.Child("name"), "name the secret"))
		}
		if s.Key == "" {
			errs = append(errs, field.Required(p.Child("key"), "name the key of the secret"))
		}
	}
	clear(given)
	for i, e := range a.Spec.Env {
		p := spec.Child("env").Index(i)
		parameter(p.Child("parameter"), e.Parameter)
		if e.Name == "" {
			errs = append(errs, field.Required(p.Child("name"), "name the variable"))
		}
		if e.ContainerName != "" {
			warnings = append(warnings, p.Child("containerName").String()+": has no effect: a function has one container")
		}
	}
	for _, other := range []struct {
		name string
		is   *opaque.Object
	}{
		{"podIdentity", a.Spec.PodIdentity}, {"hashiCorpVault", a.Spec.HashiCorpVault}, {"azureKeyVault", a.Spec.AzureKeyVault},
		{"gcpSecretManager", a.Spec.GCPSecretManager}, {"awsSecretManager", a.Spec.AwsSecretManager},
	} {
		if other.is != nil {
			errs = append(errs, field.Forbidden(spec.Child(other.name), "only secretTargetRef and env are read here: put the parameter into a Secret"))
		}
	}
	return warnings, errs
}

package v1alpha1_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/keda/v1alpha1"
)

// Each case is a spec and what Validate says of it: "field" is an error, "field?" a warning, none is acceptance.
func TestValidate(t *testing.T) {
	for spec, want := range map[string]string{
		`{}`: ``,
		`{secretTargetRef: [{parameter: a, name: s, key: k}, {parameter: b, name: s, key: k}], env: [{parameter: a, name: V}]}`: ``,
		`{secretTargetRef: [{}]}`: `spec.secretTargetRef[0].parameter spec.secretTargetRef[0].name spec.secretTargetRef[0].key`,
		`{secretTargetRef: [{parameter: a, name: s, key: k}, {parameter: a, name: s, key: l}]}`: `spec.secretTargetRef[1].parameter`,
		`{env: [{parameter: a}]}`:                                   `spec.env[0].name`,
		`{env: [{parameter: a, name: V, containerName: function}]}`: `spec.env[0].containerName?`,
		`{podIdentity: {provider: aws}}`:                            `spec.podIdentity`,
		`{hashiCorpVault: {address: x}, azureKeyVault: {}, gcpSecretManager: {}, awsSecretManager: {}}`: `spec.hashiCorpVault spec.azureKeyVault spec.gcpSecretManager spec.awsSecretManager`,
	} {
		var a v1alpha1.TriggerAuthentication
		if err := yaml.UnmarshalStrict([]byte("spec: "+spec), &a); err != nil {
			t.Fatal(err)
		}
		warnings, errs := a.Validate()
		var got []string
		for _, e := range errs {
			got = append(got, e.Field)
		}
		for _, w := range warnings {
			field, _, _ := strings.Cut(w, ": ")
			got = append(got, field+"?")
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: got %s, want %s", spec, s, want)
		}
	}
}

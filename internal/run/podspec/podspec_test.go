package podspec_test

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/internal/run/podspec"
)

func TestComplete(t *testing.T) {
	const (
		quiet      = `automountServiceAccountToken: false`
		seccomp    = `seccompProfile: {type: RuntimeDefault}`
		restricted = `{allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, runAsNonRoot: true, ` + seccomp + `}`
	)
	for name, test := range map[string]struct {
		template string
		options  podspec.Options
		want     string
	}{
		"an image of somebody's": {`containers: [{name: function}]`, podspec.Options{},
			quiet + "\n" + `containers: [{name: function, securityContext: {` + seccomp + `}}]`},
		"an image of ours": {`containers: [{name: function}, {name: side}]`, podspec.Options{Nonroot: true},
			quiet + "\n" + `containers: [{name: function, securityContext: ` + restricted + `}, {name: side, securityContext: {` + seccomp + `}}]`},
		"restricted by wish": {"initContainers: [{name: first}]\ncontainers: [{name: function}]", podspec.Options{Security: "restricted"},
			quiet + "\ninitContainers: [{name: first, securityContext: " + restricted + "}]\ncontainers: [{name: function, securityContext: " + restricted + "}]"},
		"none": {`containers: [{name: function}]`, podspec.Options{Security: "none", Nonroot: true}, quiet + "\n" + `containers: [{name: function}]`},
		"what is said stays": {`{serviceAccountName: robot, securityContext: {runAsUser: 0, seccompProfile: {type: Unconfined}}, containers: [{name: function, securityContext: {capabilities: {add: [NET_ADMIN]}}}]}`,
			podspec.Options{Security: "restricted"},
			`{serviceAccountName: robot, securityContext: {runAsUser: 0, seccompProfile: {type: Unconfined}}, containers: [{name: function, securityContext: {capabilities: {add: [NET_ADMIN]}}}]}`},
		"root by the container": {`containers: [{name: function, securityContext: {runAsUser: 0, allowPrivilegeEscalation: true}}]`, podspec.Options{Nonroot: true},
			quiet + "\n" + `containers: [{name: function, securityContext: {runAsUser: 0, allowPrivilegeEscalation: true, capabilities: {drop: [ALL]}, ` + seccomp + `}}]`},
		"privileged": {`containers: [{name: function, securityContext: {privileged: true}}]`, podspec.Options{Security: "restricted"},
			quiet + "\n" + `containers: [{name: function, securityContext: {privileged: true}}]`},
		"a token by wish":        {`{automountServiceAccountToken: true, containers: []}`, podspec.Options{}, `{automountServiceAccountToken: true, containers: []}`},
		"a token for a sidecar":  {`containers: []`, podspec.Options{Token: true}, `containers: []`},
		"windows has no seccomp": {`{os: {name: windows}, containers: [{name: function}]}`, podspec.Options{Nonroot: true}, `{automountServiceAccountToken: false, os: {name: windows}, containers: [{name: function}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			var got, want corev1.PodSpec
			for _, p := range []struct {
				text string
				into *corev1.PodSpec
			}{{test.template, &got}, {test.want, &want}} {
				if err := yaml.UnmarshalStrict([]byte(p.text), p.into); err != nil {
					t.Fatal(err)
				}
			}
			podspec.Complete(&got, test.options)
			g, _ := json.Marshal(got)
			w, _ := json.Marshal(want)
			if string(g) != string(w) {
				t.Errorf("got  %s\nwant %s", g, w)
			}
			again := got.DeepCopy()
			podspec.Complete(again, test.options)
			if a, _ := json.Marshal(again); string(a) != string(g) {
				t.Errorf("completed once more it is %s", a)
			}
		})
	}
}

func TestValid(t *testing.T) {
	for word, ok := range map[string]bool{"": true, "auto": true, "restricted": true, "none": true, "Restricted": false} {
		if err := podspec.Valid(word); (err == nil) != ok {
			t.Errorf("%q: %v", word, err)
		}
	}
}

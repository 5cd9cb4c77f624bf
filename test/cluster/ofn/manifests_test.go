package ofncluster_test

import (
	"strings"
	"testing"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

// Manifests as OpenFunction's users have them, in both versions, with nothing of ofn's in them.
const (
	second = `
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata:
  name: function-sample
spec:
  version: "v2.0.0"
  image: "openfunctiondev/sample-go-func:v2"
  imageCredentials:
    name: push-secret
  serving:
    template:
      containers:
        - name: function
          imagePullPolicy: IfNotPresent
    scaleOptions:
      minReplicas: 0
      maxReplicas: 10
    triggers:
      http:
        port: 8080
    params:
      MOOD: second
`
	first = `
apiVersion: core.openfunction.io/v1beta1
kind: Function
metadata:
  name: function-before
spec:
  version: "v1.0.0"
  image: "openfunctiondev/sample-go-func:v1"
  imageCredentials:
    name: push-secret
  port: 8080
  serving:
    runtime: knative
    template:
      containers:
        - name: function
          imagePullPolicy: IfNotPresent
    scaleOptions:
      minReplicas: 0
      maxReplicas: 10
    params:
      MOOD: first
`
	built = `
apiVersion: core.openfunction.io/v1beta1
kind: Function
metadata:
  name: function-built
spec:
  version: "v1.0.0"
  image: "openfunctiondev/sample-go-func:v1.0.0"
  imageCredentials:
    name: push-secret
  port: 8080
  build:
    builder: openfunction/builder-go:latest
    env:
      FUNC_NAME: "HelloWorld"
      FUNC_CLEAR_SOURCE: "true"
    srcRepo:
      url: "https://github.com/OpenFunction/samples.git"
      sourceSubPath: "functions/knative/hello-world-go"
      revision: "main"
  serving:
    runtime: knative
    template:
      containers:
        - name: function
          imagePullPolicy: IfNotPresent
`
)

// TestManifests: both versions are taken as they are, run, and can be read in either version.
func TestManifests(t *testing.T) {
	n := ofncluster.New(t, "manifests")
	ofncluster.Load(t, "./testdata/greeter", "openfunctiondev/sample-go-func:v1", "openfunctiondev/sample-go-func:v2")
	n.Kubectl("create", "secret", "docker-registry", "push-secret", "--docker-username=u", "--docker-password=p")
	n.Apply(second)
	n.Apply(first)
	n.Ready("function/function-sample")
	n.Ready("function/function-before")
	says(n, "function-sample", "second")
	says(n, "function-before", "first")

	old := n.Kubectl("get", "functions.v1beta1.core.openfunction.io", "function-before", "-o", "jsonpath={.apiVersion} {.spec.serving.runtime} {.spec.port}")
	if want := "core.openfunction.io/v1beta1 knative 8080"; old != want {
		t.Errorf("read in the old version it is %q, want %q", old, want)
	}
	n.Kubectl("get", "functions.v1beta1.core.openfunction.io", "function-sample")

	// Applied again as it is, it is no change.
	before := n.Object("function/function-before").GetGeneration()
	n.Apply(first)
	if after := n.Object("function/function-before").GetGeneration(); after != before {
		t.Errorf("the same manifest again made generation %d of %d", after, before)
	}
	n.Apply(built)
	if n.Kubectl("get", "crd", "builds.shipwright.io", "--ignore-not-found") == "" {
		n.Condition("function/function-built", "Built", "Unknown", "EngineMissing")
	}
}

// TestRefused: what is wrong is refused by the API server, with words that help.
func TestRefused(t *testing.T) {
	n := ofncluster.New(t, "refused")
	for name, c := range map[string]struct{ manifest, want string }{
		"neither image nor build": {`
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: bad}
spec: {serving: {triggers: {http: {}}}}`, "image"},
		"a type": {`
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: bad}
spec: {image: x, serving: {scaleOptions: {maxReplicas: many}}}`, "maxReplicas"},
		"a runtime class": {`
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: bad}
spec: {image: x, serving: {triggers: {http: {}}, template: {runtimeClassName: kata, containers: [{name: function}]}}}`, "kata"},
		"bounds": {`
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: bad}
spec: {image: x, serving: {triggers: {http: {}}, scaleOptions: {minReplicas: 3, maxReplicas: 1}}}`, "minReplicas"},
		"the old version": {`
apiVersion: core.openfunction.io/v1beta1
kind: Function
metadata: {name: bad}
spec: {image: x, serving: {runtime: vapour}}`, "runtime"},
	} {
		err := n.TryApply(c.manifest)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want a refusal that names %q, got %v", name, c.want, err)
		}
	}
	if n.Object("function/bad") != nil {
		t.Error("one of them is there")
	}
}

// Package keda_test runs functions of ofn with the real KEDA and its HTTP add-on, on the test cluster:
//
//	make test-cluster ENGINES="keda http-add-on"
package keda_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

const (
	image                           = "dev.local/keda-function:1"
	definitionHTTP, definitionRoute = "httpscaledobjects.http.keda.sh", "interceptorroutes.http.keda.sh"
	// cooldown is that of the functions of these tests, in seconds.
	cooldown = 5
)

func TestMain(m *testing.M) {
	os.Exit(ofncluster.Main(m, ofncluster.Setup{Needs: []string{"scaledobjects.keda.sh", "scaledjobs.keda.sh"}}))
}

// world is one test's namespace.
type world struct{ *ofncluster.Namespace }

func start(t *testing.T, namespace string, needs ...string) world {
	t.Helper()
	w := world{ofncluster.New(t, namespace)}
	for _, need := range needs {
		if w.cluster("get", "crd", need, "--ignore-not-found", "-o", "name") == "" {
			t.Skip("the cluster has no " + need + ": cluster addons http-add-on")
		}
	}
	ofncluster.Load(t, "./testdata/function", image)
	return w
}

// cluster is kubectl without a namespace's objects.
func (w world) cluster(args ...string) string {
	w.T.Helper()
	return w.Kubectl(args...)
}

// later is kubectl after the test's own context has ended.
func (w world) later(args ...string) (string, error) {
	out, err := exec.Command(ofncluster.Cluster(), append([]string{"kubectl"}, args...)...).CombinedOutput()
	return string(out), err
}

// requested is a function that requests call, in one version of its code.
func requested(name, version, serving string) string {
	return fmt.Sprintf(`
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: %s}
spec:
  image: %s
  serving:
    params: {VERSION: %s}
    triggers: {http: {engine: keda}}
    template: {containers: [{name: function, imagePullPolicy: IfNotPresent}], terminationGracePeriodSeconds: 1}
    scaleOptions:
      minReplicas: 0
      maxReplicas: 3
      keda: {httpScaledObject: {cooldownPeriod: %d, targetPendingRequests: 1}}
%s`, name, image, version, cooldown, serving)
}

func pods(function string) string { return "openfunction.io/function=" + function }

// answers waits until a function gives this answer.
func (w world) answers(function, want string) {
	w.T.Helper()
	w.Eventually(fmt.Sprintf("%s answers %q", function, want), func() error {
		got, err := w.TryGet(function, "/")
		if err == nil && got != want {
			err = fmt.Errorf("it answered %q", got)
		}
		return err
	})
}

// field waits until a field of an object has a value, by kubectl's JSONPath.
func (w world) field(which, path, want string) {
	w.T.Helper()
	w.Eventually(which+" has "+path+" "+want, func() error {
		if got := w.Kubectl("get", which, "--ignore-not-found", "-o", "jsonpath={"+path+"}"); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// none waits until nothing of these kinds is in the namespace but what the cluster itself puts there.
func (w world) none(kinds ...string) {
	w.T.Helper()
	w.Eventually("nothing is left", func() error {
		if left := w.Kubectl("get", strings.Join(kinds, ","), "--ignore-not-found", "-o", "name"); left != "" {
			return fmt.Errorf("there is %s", left)
		}
		return nil
	})
}

// withdraw deletes a definition with all its objects. What it returns brings it back, once.
func (w world) withdraw(definition string) (restore func()) {
	w.T.Helper()
	var is struct {
		APIVersion string          `json:"apiVersion"`
		Kind       string          `json:"kind"`
		Spec       json.RawMessage `json:"spec"`
		Metadata   struct {
			Name        string            `json:"name"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal([]byte(w.Kubectl("get", "crd", definition, "-o", "json")), &is); err != nil {
		w.T.Fatal(err)
	}
	again, err := json.Marshal(is)
	if err != nil {
		w.T.Fatal(err)
	}
	w.Kubectl("delete", "crd", definition)
	return sync.OnceFunc(func() {
		if err := w.TryApply(string(again)); err != nil {
			w.T.Errorf("restoring %s: %v", definition, err)
		}
	})
}

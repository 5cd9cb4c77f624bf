package ofncluster_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

func TestMain(m *testing.M) { os.Exit(ofncluster.Main(m, ofncluster.Setup{})) }

// installLimit is what installing may take on a quiet machine; a busy one is given ten times as much.
func TestInstall(t *testing.T) {
	n := ofncluster.New(t, "install")
	t.Logf("ofn install: %s until the operator and the gateway were available", ofncluster.Installed())
	for _, crd := range strings.Fields(n.Kubectl("get", "crd", "-l", "app.kubernetes.io/part-of=openfunction", "-o", "name")) {
		n.Kubectl("wait", crd, "--for=condition=Established", "--timeout=60s")
	}
	out := ofncluster.Ofn(t, "doctor", "--cluster")
	t.Log("\n" + out)
}

// engine is one, and the kind without which the cluster does not have it.
type engine struct{ name, needs string }

// engines are those that need no more than Kubernetes, and Knative Serving where it is.
var engines = []engine{{name: "pods"}, {name: "knative", needs: "services.serving.knative.dev"}}

// onEach runs a test for each engine that is there, in a namespace of its own.
func onEach(t *testing.T, prefix string, test func(n *ofncluster.Namespace, engine string)) {
	on(t, engines, prefix, test)
}

func on(t *testing.T, engines []engine, prefix string, test func(n *ofncluster.Namespace, engine string)) {
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			n := ofncluster.New(t, prefix+"-"+engine.name)
			if engine.needs != "" && n.Kubectl("get", "crd", engine.needs, "--ignore-not-found") == "" {
				t.Skipf("the cluster has no %s: cluster addons", engine.needs)
			}
			ofncluster.Load(t, "./testdata/greeter", "dev.local/greeter:1")
			test(n, engine.name)
		})
	}
}

// greeter is a function that needs no build and stands still after a few seconds without requests.
func greeter(engine, mood string) string {
	return strings.NewReplacer("ENGINE", engine, "SAYS", mood).Replace(`
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: hello}
spec:
  image: dev.local/greeter:1
  serving:
    annotations: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 0s}
    params: {MOOD: "SAYS"}
    triggers: {http: {engine: ENGINE, port: 8080}}
    scaleOptions: {minReplicas: 0, maxReplicas: 3}
    template: {containers: [{name: function, imagePullPolicy: IfNotPresent}]}
`)
}

// says wants a word of the function, in whatever time it takes a revision to come up and its routes to lead there.
func says(n *ofncluster.Namespace, function, word string) {
	n.T.Helper()
	n.Eventually(fmt.Sprintf("%s says %q", function, word), func() error {
		got, err := n.TryGet(function, "/World")
		if err != nil {
			return err
		}
		if want := "Hello, World! " + word + "\n"; got != want {
			return fmt.Errorf("it says %q", got)
		}
		return nil
	})
}

// TestLife is the life of a function: it serves, stands still, starts by a request, gets another revision, goes back, and is deleted.
func TestLife(t *testing.T) {
	onEach(t, "life", func(n *ofncluster.Namespace, engine string) {
		n.Apply(greeter(engine, "calm"))
		n.Ready("function/hello")
		says(n, "hello", "calm")
		n.Zero("openfunction.io/function=hello")
		says(n, "hello", "calm")

		n.Apply(greeter(engine, "brisk"))
		says(n, "hello", "brisk")
		o := n.Ready("function/hello")
		if latest, _, _ := unstructured.NestedString(o.Object, "status", "latestReadyRevision"); latest != "hello-00002" {
			n.T.Errorf("its newest revision is %q", latest)
		}
		ofncluster.Ofn(n.T, "rollback", "hello", "-n", n.Name)
		says(n, "hello", "calm")

		n.Kubectl("delete", "function", "hello", "--wait")
		n.Zero("openfunction.io/function=hello")
		for _, kind := range []string{"servings", "podtemplates", "services"} {
			n.Eventually("no "+kind, func() error {
				if left := n.Objects(kind, "openfunction.io/function=hello"); len(left) > 0 {
					return fmt.Errorf("there is %s", left[0].GetName())
				}
				return nil
			})
		}
	})
}

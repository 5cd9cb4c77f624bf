// Package install_test installs and removes ofn on the test cluster, and hands a cluster of OpenFunction's over to it.
package install_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

func TestMain(m *testing.M) { os.Exit(ofncluster.Main(m, ofncluster.Setup{NotInstalled: true})) }

const greeterImage = "dev.local/greeter:1"

func greeter(engine string) string {
	return strings.ReplaceAll(`
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: hello}
spec:
  image: dev.local/greeter:1
  serving:
    annotations: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 0s}
    params: {MOOD: calm}
    triggers: {http: {engine: ENGINE, port: 8080}}
    scaleOptions: {minReplicas: 0, maxReplicas: 3}
    template: {containers: [{name: function, imagePullPolicy: IfNotPresent}]}
`, "ENGINE", engine)
}

// fresh is a namespace on a cluster without ofn, with the function's image; the engine is skipped over where it is missing.
func fresh(t *testing.T, name, engine string) *ofncluster.Namespace {
	n := ofncluster.New(t, name)
	if engine == "knative" && n.Kubectl("get", "crd", "services.serving.knative.dev", "--ignore-not-found") == "" {
		t.Skip("the cluster has no Knative: cluster addons knative")
	}
	ofncluster.Load(t, "../ofn/testdata/greeter", greeterImage)
	return n
}

// TestUninstall: without the operator functions go on answering, from zero too, and the next one takes them up without starting anything again.
func TestUninstall(t *testing.T) {
	for _, engine := range []string{"pods", "knative"} {
		t.Run(engine, func(t *testing.T) {
			n := fresh(t, "uninstall-"+engine, engine)
			ofncluster.Ofn(t, "install", "--image", ofncluster.Image())
			t.Cleanup(func() { ofncluster.Purge(t) })
			n.Apply(greeter(engine))
			n.Ready("function/hello")
			n.Get("hello", "/")

			ofncluster.Ofn(t, "uninstall")
			n.Gone("clusterrole/ofn-operator")
			n.Get("hello", "/")
			n.Zero("openfunction.io/function=hello")
			n.Get("hello", "/")

			was := revision(n)
			ofncluster.Ofn(t, "install", "--image", ofncluster.Image())
			n.Kubectl("annotate", "function", "hello", "touched=yes")
			n.Ready("function/hello")
			if now := revision(n); now != was {
				t.Errorf("it has become revision %s of %s", now, was)
			}
			n.Get("hello", "/")
		})
	}
}

func revision(n *ofncluster.Namespace) string {
	return n.Kubectl("get", "servings.core.openfunction.io", "-o", "jsonpath={.items[*].metadata.name} {.items[*].metadata.uid}")
}

// TestNamespaced: an operator of one namespace looks after that alone.
func TestNamespaced(t *testing.T) {
	n := fresh(t, "scoped", "knative")
	other := fresh(t, "unscoped", "knative")
	ofncluster.Ofn(t, "install", "--image", ofncluster.Image(), "--namespace-scope", n.Name)
	t.Cleanup(func() { ofncluster.Purge(t) })
	other.Apply(greeter("knative"))
	n.Apply(greeter("knative"))
	n.Ready("function/hello")
	n.Get("hello", "/")
	if err := n.TryApply(strings.ReplaceAll(greeter("knative"), "maxReplicas: 3", "maxReplicas: -1")); err == nil {
		t.Error("its webhooks take -1 copies")
	}
	if status, found := other.Object("function/hello").Object["status"].(map[string]any); found && len(status) > 0 {
		t.Errorf("a function of another namespace has a status: %v", status)
	}
	if out := ofncluster.OfnFails(t, "install", "--image", ofncluster.Image()); !strings.Contains(out, "uninstall") {
		t.Errorf("the scope cannot be changed in place, but it says %q", out)
	}
}

// former is what OpenFunction's operator leaves of a function that it serves on Knative.
const former = `
apiVersion: core.openfunction.io/v1beta2
kind: Serving
metadata:
  name: serving-x7k2p
  labels: {openfunction.io/function: hello}
  ownerReferences: [{apiVersion: core.openfunction.io/v1beta2, kind: Function, name: hello, uid: FUNCTION, controller: true, blockOwnerDeletion: true}]
spec:
  image: dev.local/greeter:1
  params: {MOOD: former}
  triggers: {http: {port: 8080, engine: knative}}
`

const formerKnative = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: serving-x7k2p-ksvc-zb9rl
  labels: {openfunction.io/serving: serving-x7k2p, networking.knative.dev/visibility: cluster-local}
  ownerReferences: [{apiVersion: core.openfunction.io/v1beta2, kind: Serving, name: serving-x7k2p, uid: SERVING, controller: true, blockOwnerDeletion: true}]
spec:
  template:
    metadata:
      name: serving-x7k2p-ksvc-zb9rl-latest
      labels: {openfunction.io/serving: serving-x7k2p}
      annotations: {autoscaling.knative.dev/min-scale: "1", autoscaling.knative.dev/target-burst-capacity: "0"}
    spec:
      containers: [{name: function, image: "dev.local/greeter:1", imagePullPolicy: IfNotPresent, ports: [{containerPort: 8080}], env: [{name: MOOD, value: former}]}]
---
apiVersion: v1
kind: Service
metadata:
  name: hello
  ownerReferences: [{apiVersion: core.openfunction.io/v1beta2, kind: Function, name: hello, uid: FUNCTION, controller: true, blockOwnerDeletion: true}]
spec: {type: ExternalName, externalName: serving-x7k2p-ksvc-zb9rl-latest.NAMESPACE.svc.cluster.local}
`

// TestAdopt: functions of OpenFunction's go on while ofn is installed, and while they are taken over; what was kept is as it was when ofn goes.
func TestAdopt(t *testing.T) {
	n := fresh(t, "adopt", "knative")
	n.Kubectl("apply", "--server-side", "--force-conflicts", "-k", "../../../config/crd")
	t.Cleanup(func() { ofncluster.Purge(t) })
	n.Apply(greeter("knative"))
	n.Kubectl("annotate", "function", "hello", "openfunction.io/adoption=keep")
	uids := strings.NewReplacer("NAMESPACE", n.Name, "FUNCTION", string(n.Object("function/hello").GetUID()))
	n.Apply(uids.Replace(former))
	uids = strings.NewReplacer("NAMESPACE", n.Name, "FUNCTION", string(n.Object("function/hello").GetUID()), "SERVING", string(n.Object("serving/serving-x7k2p").GetUID()))
	n.Apply(uids.Replace(formerKnative))
	n.Kubectl("patch", "function", "hello", "--subresource=status", "--type=merge", "-p",
		`{"status":{"build":{"state":"Skipped"},"serving":{"state":"Running","resourceRef":"serving-x7k2p","lastSuccessfulResourceRef":"serving-x7k2p","resourceHash":"9939283712312312","service":"serving-x7k2p-ksvc-zb9rl-latest"}}}`)
	n.Kubectl("patch", "servings.core.openfunction.io", "serving-x7k2p", "--subresource=status", "--type=merge", "-p",
		`{"status":{"phase":"Serving","state":"Running","service":"serving-x7k2p-ksvc-zb9rl-latest","resourceRef":{"Knative/Service":"serving-x7k2p-ksvc-zb9rl"}}}`)
	n.Condition("services.serving.knative.dev/serving-x7k2p-ksvc-zb9rl", "Ready", "True", "")
	url := "http://hello." + n.Name + ".svc.cluster.local/World"
	call := func() error {
		got, err := ofncluster.Fetch(t.Context(), url, "")
		if err == nil && !strings.HasPrefix(got, "Hello, World!") {
			err = fmt.Errorf("it says %q", got)
		}
		return err
	}
	n.Eventually("OpenFunction's function answers", call)
	pods := running(n)

	ofncluster.Ofn(t, "install", "--image", ofncluster.Image())
	n.Condition("function/hello", "Adopted", "False", "Kept")
	if now := running(n); now != pods {
		t.Errorf("its pods were %s, and are %s", pods, now)
	}

	// And back: ofn goes, and nothing of the function has changed.
	ofncluster.Ofn(t, "uninstall")
	if now := running(n); now != pods || n.Object("serving/serving-x7k2p") == nil || n.Object("serving/hello-00001") != nil {
		t.Errorf("without ofn it is not as it was: pods %s", now)
	}
	if err := call(); err != nil {
		t.Errorf("without ofn: %v", err)
	}

	ofncluster.Ofn(t, "install", "--image", ofncluster.Image())
	stop := steady(t, call)
	n.Kubectl("annotate", "function", "hello", "openfunction.io/adoption-")
	n.Gone("serving/serving-x7k2p")
	n.Gone("services.serving.knative.dev/serving-x7k2p-ksvc-zb9rl")
	stop()
	n.Ready("function/hello")
	if got := n.Get("hello", "/World"); got != "Hello, World! calm\n" {
		t.Errorf("taken over it says %q", got)
	}
}

func running(n *ofncluster.Namespace) string {
	return n.Kubectl("get", "pods", "-l", "openfunction.io/serving=serving-x7k2p", "-o", "jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].restartCount}")
}

// steady calls ten times a second until it is stopped; no call may fail.
func steady(t *testing.T, call func() error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var w sync.WaitGroup
	var calls int
	w.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ; ; calls++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if err := call(); err != nil {
				t.Errorf("call %d: %v", calls, err)
				return
			}
		}
	})
	return func() {
		cancel()
		w.Wait()
		t.Logf("%d calls", calls)
	}
}

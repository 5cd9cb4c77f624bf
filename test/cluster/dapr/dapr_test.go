// Package dapr_test runs functions of ofn beside Dapr's own control plane and sidecars.
package dapr_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

func TestMain(m *testing.M) {
	os.Exit(ofncluster.Main(m, ofncluster.Setup{Needs: []string{"components.dapr.io"}}))
}

const image = "dev.local/handler:1"

// counter is a function as OpenFunction 0.7 had it: a timer calls it, it counts in a store of states, and tells a topic.
const counter = `
apiVersion: v1
kind: Secret
metadata: {name: redis}
stringData: {password: PASSWORD}
---
apiVersion: core.openfunction.io/v1beta1
kind: Function
metadata: {name: counter}
spec:
  version: v2.0.0
  image: IMAGE
  serving:
    runtime: async
    template:
      containers:
      - {name: function, imagePullPolicy: IfNotPresent, env: [{name: STATE, value: counter.counts}, {name: SEND, value: told}]}
    inputs:
    - {name: cron, component: cron}
    outputs:
    - {name: told, component: msg, topic: TOPIC}
    bindings:
      cron: {type: bindings.cron, version: v1, metadata: [{name: schedule, value: "@every 2s"}]}
    pubsub:
      msg: {type: pubsub.redis, version: v1, metadata: [{name: redisHost, value: "HOST"}, {name: redisPassword, secretKeyRef: {name: redis, key: password}}]}
    states:
      counts: {type: state.redis, version: v1, metadata: [{name: redisHost, value: "HOST"}, {name: redisPassword, secretKeyRef: {name: redis, key: password}}]}
`

// listener is one as it is now: a topic calls it, and it writes into a binding. What it cannot handle goes to another topic.
const listener = `
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: NAME}
spec:
  version: v1.0.0
  image: IMAGE
  serving:
    annotations: {dapr.io/app-protocol: PROTOCOL, dapr.io/log-level: debug}
    workloadType: KIND
    template:
      containers:
      - {name: function, imagePullPolicy: IfNotPresent, env: [{name: SEND, value: written}, {name: FAIL_ON, value: FAILON}]}
    triggers:
      dapr:
      - {name: msg, type: pubsub.redis, topic: TOPIC EXTRA}
    outputs:
    - dapr: {name: written, type: bindings.redis, operation: create, metadata: {key: NAME}}
    bindings:
      written: {type: bindings.redis, version: v1, metadata: [{name: redisHost, value: "HOST"}, {name: redisPassword, value: PASSWORD}]}
    pubsub:
      msg: {type: pubsub.redis, version: v1, metadata: [{name: redisHost, value: "HOST"}, {name: redisPassword, value: PASSWORD}]}
`

func manifest(text string, s server, words ...string) string {
	return strings.NewReplacer(append(words, "IMAGE", image, "HOST", s.address, "PASSWORD", password, "KIND", "Deployment", "PROTOCOL", "http", "FAILON", `""`, "EXTRA", "")...).Replace(text)
}

func start(t *testing.T, name string) (*ofncluster.Namespace, server) {
	n := ofncluster.New(t, name)
	ofncluster.Load(t, "./testdata/handler", image)
	return n, redis(t)
}

// holds waits until a key of Redis has a text.
func holds(n *ofncluster.Namespace, s server, key, text string) {
	n.T.Helper()
	n.Eventually(fmt.Sprintf("%s holds %q", key, text), func() error {
		got, err := s.do("GET", key)
		if err == nil && (got != text && text == "" || !strings.Contains(got, text)) {
			err = fmt.Errorf("it holds %q", got)
		}
		return err
	})
}

// TestEvents: a timer calls a function of v1beta1, whose image speaks gRPC as OpenFunction's do; it counts, and tells another one.
func TestEvents(t *testing.T) {
	n, s := start(t, "events")
	n.Apply(manifest(counter, s, "TOPIC", "ticks"))
	n.Apply(manifest(listener, s, "TOPIC", "ticks", "NAME", "hears"))
	n.Apply(manifest(listener, s, "TOPIC", "ticks", "NAME", "set", "KIND", "StatefulSet"))
	for _, name := range []string{"counter", "hears", "set"} {
		n.Ready("function/" + name)
	}
	holds(n, s, "hears", "counted ")
	holds(n, s, "set", "counted ")
	for _, pod := range n.Objects("pods", "openfunction.io/function") {
		if all, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers"); len(all) != 2 {
			t.Errorf("pod %s has %d containers, want the function and Dapr's sidecar", pod.GetName(), len(all))
		}
	}

	n.Kubectl("patch", "components.dapr.io/counter.cron", "--type=merge", "-p", `{"spec":{"type":"bindings.nothing"}}`)
	n.Eventually("a component that was edited is as it was", func() error {
		if kind, _, _ := unstructured.NestedString(n.Object("components.dapr.io/counter.cron").Object, "spec", "type"); kind != "bindings.cron" {
			return errors.New("its type is " + kind)
		}
		return nil
	})

	// Another schedule is another revision, with the same count and no copy of the one before.
	was := n.Object("function/counter")
	revision, _, _ := unstructured.NestedString(was.Object, "status", "latestReadyRevision")
	n.Kubectl("patch", "function/counter", "--type=merge", "-p", `{"spec":{"serving":{"bindings":{"cron":{"metadata":[{"name":"schedule","value":"@every 1s"}]}}}}}`)
	n.Eventually("the new revision has taken over", func() error {
		now, _, err := unstructured.NestedString(n.Object("function/counter").Object, "status", "latestReadyRevision")
		if err == nil && now == revision {
			err = errors.New("the one before is ready still")
		}
		return err
	})
	n.Gone("deployments.apps/" + revision)
	n.Ready("function/counter")

	n.Kubectl("delete", "function", "--all")
	n.Zero("openfunction.io/function")
	for _, kind := range []string{"components.dapr.io", "resiliencies.dapr.io", "deployments.apps", "statefulsets.apps", "services"} {
		n.Eventually("no "+kind+" are left", func() error {
			if left := n.Objects(kind, "openfunction.io/function"); len(left) > 0 {
				return fmt.Errorf("%d are left, such as %s", len(left), left[0].GetName())
			}
			return nil
		})
	}
}

// TestDeadLetters: what a function fails on is tried as often as its trigger says, and then goes to another topic.
func TestDeadLetters(t *testing.T) {
	n, s := start(t, "dead-letters")
	n.Apply(manifest(listener, s, "TOPIC", "dead", "NAME", "grave"))
	n.Apply(manifest(listener, s, "TOPIC", "orders", "NAME", "fails", "FAILON", "poison",
		"EXTRA", ", retry: {attempts: 3, initialInterval: 1s, maxInterval: 1s}, deadLetterTopic: dead"))
	n.Ready("function/grave")
	n.Ready("function/fails")
	if r := n.Object("resiliencies.dapr.io/fails"); r == nil {
		t.Error("there is no Resiliency")
	}
	s.publish("orders", "a poison")
	holds(n, s, "grave", "a poison")
	log := n.Kubectl("logs", "-l", "openfunction.io/function=fails", "-c", "function", "--tail=-1")
	if tried := strings.Count(log, `got "a poison"`); tried != 3 {
		t.Errorf("it was tried %d times, want 3:\n%s", tried, log)
	}
	s.publish("orders", "a good one")
	holds(n, s, "fails", "a good one")
}

// TestRequestsAndEvents: a function that requests call as well has a Service.
func TestRequestsAndEvents(t *testing.T) {
	n, s := start(t, "both")
	n.Apply(strings.Replace(manifest(listener, s, "TOPIC", "notes", "NAME", "both"), "    triggers:\n", "    triggers:\n      http: {port: 8080}\n", 1))
	n.Ready("function/both")
	s.publish("notes", "by a topic")
	holds(n, s, "both", "by a topic")
	n.Get("both", "/")
	holds(n, s, "both", "")
}

// TestJob: one is made, and is ready when its function takes events.
func TestJob(t *testing.T) {
	n, s := start(t, "jobs")
	n.Apply(manifest(listener, s, "TOPIC", "work", "NAME", "works", "KIND", "Job"))
	n.Ready("function/works")
	if jobs := n.Objects("jobs.batch", "openfunction.io/function=works"); len(jobs) != 1 {
		t.Errorf("there are %d Jobs, want one", len(jobs))
	}
	s.publish("work", "done in a job")
	holds(n, s, "works", "done in a job")
	n.Kubectl("delete", "function", "works")
	n.Zero("openfunction.io/function=works")
}

// caller is one that requests call, on Knative: it counts and writes, beside the sidecar.
const caller = `
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: caller}
spec:
  version: v1.0.0
  image: IMAGE
  serving:
    template:
      containers:
      - {name: function, imagePullPolicy: IfNotPresent, env: [{name: STATE, value: caller.counts}, {name: SEND, value: written}]}
    triggers: {http: {port: 8080, engine: knative}}
    outputs:
    - dapr: {name: written, type: bindings.redis, operation: create, metadata: {key: caller}}
    bindings:
      written: {type: bindings.redis, version: v1, metadata: [{name: redisHost, value: "HOST"}, {name: redisPassword, value: PASSWORD}]}
    states:
      counts: {spec: {type: state.redis, version: v1, metadata: [{name: redisHost, value: "HOST"}, {name: redisPassword, value: PASSWORD}]}}
`

func TestKnative(t *testing.T) {
	n, s := start(t, "dapr-knative")
	if n.Kubectl("get", "customresourcedefinition", "--ignore-not-found", "-o", "name", "services.serving.knative.dev") == "" {
		t.Skip("Knative Serving is not installed: cluster addons knative")
	}
	n.Apply(manifest(caller, s))
	n.Ready("function/caller")
	n.Eventually("it answers", func() error {
		_, err := ofncluster.Fetch(t.Context(), "http://"+node+"/", "caller.dapr-knative.fn.test")
		return err
	})
	holds(n, s, "caller", "counted ")
}

// TestDaprGoesAndComes: functions say that it is missing, and go on when it is back.
func TestDaprGoesAndComes(t *testing.T) {
	n, s := start(t, "dapr-goes")
	n.Apply(manifest(listener, s, "TOPIC", "news", "NAME", "stays"))
	n.Ready("function/stays")
	crd := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(n.Kubectl("get", "customresourcedefinition", "components.dapr.io", "-o", "json")), &crd.Object); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"resourceVersion", "uid", "creationTimestamp", "managedFields", "generation"} {
		unstructured.RemoveNestedField(crd.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(crd.Object, "status")
	text, err := json.Marshal(crd.Object)
	if err != nil {
		t.Fatal(err)
	}
	n.Kubectl("delete", "customresourcedefinition", "components.dapr.io")
	n.Condition("function/stays", "Ready", "False", "EngineMissing")
	s.publish("news", "while it is away")
	holds(n, s, "stays", "while it is away") // the sidecars go on
	n.Apply(string(text))
	n.Ready("function/stays")
	n.Eventually("its component is back", func() error {
		if n.Object("components.dapr.io/stays.msg") == nil {
			return errors.New("it is not")
		}
		return nil
	})
}

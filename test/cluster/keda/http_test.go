package keda_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

func TestHTTPFromZeroAndBack(t *testing.T) {
	w := start(t, "keda-zero", definitionHTTP)
	w.Apply(requested("hello", "one", ""))
	w.Ready("function/hello")
	w.answers("hello", "one")
	w.Zero(pods("hello"))
	w.Condition("function/hello", "Ready", "True", "")
	begin := time.Now()
	if got, err := w.TryGet("hello", "/"); err != nil || got != "one" { // one try: the interceptor holds it until there is a copy
		t.Fatalf("from zero it answered %q, %v", got, err)
	}
	t.Logf("from zero: %s", time.Since(begin).Round(time.Millisecond))

	stop := w.load("hello", 6)
	w.field("deployment/hello-00001", ".status.readyReplicas", "3")
	stop()
	w.Zero(pods("hello"))
}

// load keeps a number of requests in a function until it is told to stop. None of them may fail.
func (w world) load(function string, requests int) (stop func()) {
	ctx, cancel := context.WithCancel(w.T.Context())
	address := w.Address(function)
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := ofncluster.Fetch(w.T.Context(), address+"/hold/500ms", ""); err != nil {
					w.T.Errorf("a request failed: %v", err)
					return
				}
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

func TestHTTPRevisions(t *testing.T) {
	w := start(t, "keda-revisions", definitionRoute)
	w.Apply(requested("hello", "one", ""))
	w.Ready("function/hello")
	stop := w.load("hello", 1) // no request fails while revisions change
	w.Apply(requested("hello", "two", ""))
	w.answers("hello", "two")
	w.Ready("function/hello")
	w.Apply(requested("hello", "two", traffic("{revisionName: hello-00001, percent: 100}, {revisionName: hello-00002, percent: 0, tag: next}")))
	w.answers("hello", "one")
	stop()
	address := strings.Replace(w.Address("hello"), "//hello.", "//next-hello.", 1)
	w.Eventually("the tag has a name of its own", func() error {
		got, err := ofncluster.Fetch(t.Context(), address, "")
		if err == nil && got != "two" {
			err = fmt.Errorf("it answered %q", got)
		}
		return err
	})

	w.Apply(requested("hello", "two", traffic("{revisionName: hello-00001, percent: 40}, {revisionName: hello-00002, percent: 60}")))
	w.Condition("function/hello", "Routed", "Unknown", "DividedByGatewayOnly")
	w.answers("hello", "two")
	for revision, want := range map[string]string{"hello-00001": "one", "hello-00002": "two"} { // what a Gateway rewrites the host to
		if got, err := ofncluster.Fetch(t.Context(), w.Address("hello"), revision+"."+w.Name+".svc.cluster.local"); err != nil || got != want {
			t.Errorf("the host of %s leads to %q, %v", revision, got, err)
		}
	}
	w.Zero(pods("hello"))
}

func traffic(shares string) string { return "    traffic: [" + shares + "]\n" }

func TestHTTPNamespaces(t *testing.T) {
	a, b := start(t, "keda-a", definitionHTTP), start(t, "keda-b", definitionHTTP)
	a.Apply(requested("hello", "a", ""))
	b.Apply(requested("hello", "b", ""))
	a.Ready("function/hello")
	b.Ready("function/hello")
	a.answers("hello", "a")
	b.answers("hello", "b")
}

func TestHTTPRepair(t *testing.T) {
	w := start(t, "keda-repair", definitionRoute)
	w.Apply(requested("hello", "one", ""))
	w.Ready("function/hello")
	const scaler, route = "scaledobject/hello-00001", "interceptorroute/hello-00001"
	w.field(scaler, ".status.conditions[?(@.type=='Ready')].status", "True")
	w.Kubectl("patch", scaler, "--type=merge", "-p", `{"spec":{"maxReplicaCount":9,"cooldownPeriod":77}}`)
	w.field(scaler, ".spec['maxReplicaCount','cooldownPeriod']", fmt.Sprintf("3 %d", cooldown))
	for _, which := range []string{scaler, route, "service/hello", "service/hello-00001", "deployment/hello-00001"} {
		uid := w.Kubectl("get", which, "-o", "jsonpath={.metadata.uid}")
		w.Kubectl("delete", which, "--wait=false")
		w.Eventually(which+" is made again", func() error {
			if now := w.Kubectl("get", which, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"); now == "" || now == uid {
				return fmt.Errorf("its uid is %q", now)
			}
			return nil
		})
	}
	w.answers("hello", "one")
	w.Ready("function/hello")
	w.Zero(pods("hello"))
	w.answers("hello", "one")
}

func TestHTTPDeletion(t *testing.T) {
	w := start(t, "keda-deletion", definitionRoute)
	w.Apply(requested("hello", "one", ""))
	w.Ready("function/hello")
	w.answers("hello", "one")
	w.Kubectl("delete", "function/hello")
	w.none("deployments", "replicasets", "pods", "services", "horizontalpodautoscalers", "scaledobjects", "interceptorroutes", "httpscaledobjects", "servings")
}

// Without the kind that the add-on has since version 0.14, functions have the one before; with it again, they have that again.
func TestHTTPOfAnOlderAddOn(t *testing.T) {
	w := start(t, "keda-older", definitionRoute)
	restore := w.withdraw(definitionRoute)
	defer restore()
	w.Apply(requested("hello", "one", ""))
	w.Ready("function/hello")
	w.field("httpscaledobject/hello-00001", ".status.conditions[?(@.type=='Ready')].status", "True")
	w.answers("hello", "one")
	w.Zero(pods("hello"))
	w.answers("hello", "one")

	restore()
	w.field("interceptorroute/hello-00001", ".spec.target.service", "hello-00001")
	w.Gone("httpscaledobject/hello-00001")
	w.field("scaledobject/hello-00001", ".spec.triggers[0].metadata.interceptorRoute", "hello-00001")
	w.Ready("function/hello")
	w.answers("hello", "one")
	w.Zero(pods("hello"))
	w.answers("hello", "one")
}

func TestHTTPWithoutKEDA(t *testing.T) {
	w := start(t, "keda-without", definitionHTTP)
	w.Apply(requested("hello", "one", ""))
	w.Ready("function/hello")
	restore := w.withdraw("scaledobjects.keda.sh")
	defer restore()
	w.Condition("function/hello", "Ready", "False", "EngineMissing")
	restore()
	w.Ready("function/hello")
	w.answers("hello", "one")
	w.Zero(pods("hello"))
	w.answers("hello", "one")
}

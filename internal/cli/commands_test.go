package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

func parse(text string) object {
	var o object
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	return o
}

const hello = `apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: hello, uid: u1, generation: 2, creationTimestamp: "2020-01-01T00:00:00Z"}
spec:
  image: me/hello:v1
  build: {builder: b, srcRepo: {url: u}}
  serving: {triggers: {http: {port: 8080}}}
status:
  observedGeneration: 2
  build: {state: Succeeded, resourceRef: hello-build-00002}
  serving: {state: Running, resourceRef: hello-00003}
  latestReadyRevision: hello-00003
  revision: {imageDigest: "sha256:abc"}
  addresses: [{type: External, value: "http://hello.default.localhost:8080/"}, {type: Internal, value: "http://hello.default.svc.cluster.local/"}]
  traffic: [{revisionName: hello-00003, percent: 100, latestRevision: true}]
  conditions:
  - {type: Ready, status: "True", reason: Ready, lastTransitionTime: "2020-01-01T00:00:00Z"}
`

func serving(name, state string) string {
	return fmt.Sprintf(`apiVersion: core.openfunction.io/v1beta2
kind: Serving
metadata:
  name: %s
  creationTimestamp: "2020-01-01T00:00:00Z"
  labels: {openfunction.io/function: hello}
  ownerReferences: [{apiVersion: core.openfunction.io/v1beta2, kind: Function, name: hello, uid: u1, controller: true}]
spec: {image: me/hello@sha256:abc}
status: {state: %s, message: "it crashed"}
`, name, state)
}

// withHello has a function with three revisions, the second of which is broken.
func withHello(t *testing.T) *fakeAPI {
	f := newFakeAPI(t)
	for _, o := range []string{hello, serving("hello-00001", "Running"), serving("hello-00002", "Failed"), serving("hello-00003", "Running")} {
		f.put(t, o)
	}
	return f
}

func TestOutputs(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"get", "NAME    BUILDSTATE   URL\nhello   Succeeded    http://hello.default.localhost:8080/\n"},
		{"get fn hello --no-headers", "hello   Succeeded   http://hello.default.localhost:8080/\n"},
		{"get hello -o wide", "NAME    BUILDSTATE   SECRET   URL\nhello   Succeeded    wide     http://hello.default.localhost:8080/\n"},
		{"get -A", "NAMESPACE   NAME    BUILDSTATE   URL\ndefault     hello   Succeeded    http://hello.default.localhost:8080/\n"},
		{"get -o name", "function.core.openfunction.io/hello\n"},
		{"get servings -o name", "serving.core.openfunction.io/hello-00001\nserving.core.openfunction.io/hello-00002\nserving.core.openfunction.io/hello-00003\n"},
		{"get builders", ""},
		{"revisions hello -o name", "hello-00003\nhello-00002\nhello-00001\n"},
		{"traffic hello", "REVISION               TRAFFIC   TAG   URL\nhello-00003 (latest)   100%      -     http://hello.default.localhost:8080/\n"},
		{"traffic hello -o yaml", "- latestRevision: true\n  percent: 100\n  revisionName: hello-00003\n"},
		{"delete hello", "function.core.openfunction.io/hello deleted\n"},
		{"delete fn hello --dry-run", "function.core.openfunction.io/hello would be deleted\n"},
		{"delete none --ignore-not-found", ""},
		{"delete servings -l openfunction.io/function=hello -o name", "serving.core.openfunction.io/hello-00001\nserving.core.openfunction.io/hello-00002\nserving.core.openfunction.io/hello-00003\n"},
		{"create new --image x", "function.core.openfunction.io/new created\n"},
		{"version --short", "test\n"},
	} {
		t.Run(c.args, func(t *testing.T) {
			out, errs, err := withHello(t).run(t, strings.Fields(c.args)...)
			if err != nil || out != c.want {
				t.Errorf("%v\n%s\ngot:\n%s\nwant:\n%s", err, errs, out, c.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"get none", "none not found"},
		{"get pods/x", "there are functions, builders, servings, gateways, eventsources, eventbuses"},
		{"get -o xml", "-o xml"},
		{"describe none", `there is no function "none" in namespace default; there are hello`},
		{"invoke", "the name of a function"},
		{"delete", "say what to delete"},
		{"delete a --all", "either names"},
		{"delete none", "none not found"},
		{"apply", "-f"},
		{"create hello --image x", "already exists"},
		{"create x", "--image"},
		{"create x --image y --builder b", "--git-repo-url"},
		{"rollback hello --to hello-00002", "hello-00002 is not ready (Failed)"},
		{"rollback hello --to hello-00009", "there is no revision"},
		{"traffic hello hello-00001=50 hello-00003=60", "add up to 110"},
		{"traffic hello hello-00001=x", "REVISION=PERCENT"},
		{"traffic hello nope=10", `no revision "nope"; there are latest, hello-00003`},
		{"traffic hello --tag x", "TAG=REVISION"},
		{"invoke hello --type x", "--type belongs to --cloudevent"},
		{"init", "a directory"},
		{"get functoins", "did you mean the kind functions?"},
		{"get functoin hello", "did you mean the kind function?"},
		{"get pods none", "the kinds known here are functions, builders"},
		{"delete functoin hello", "did you mean the kind function?"},
		{"get functions.v1.core.openfunction.io", "functions are of core.openfunction.io, in v1beta2 and v1beta1"},
		{"get gateways.v1.gateway.networking.k8s.io", "gateways are of networking.openfunction.io, in v1alpha1"},
		{"deploy --nam x", "unknown flag: --nam; did you mean --name?"},
		{"deploy --zzzzzz x", "unknown flag: --zzzzzz; see `ofn deploy --help`"},
		{"deploy --port x", "see `ofn deploy --help`"},
		{"depoly", "Did you mean this?\n\tdeploy"},
		{"apply -k x -f y", "leave -f and -R out"},
		{"apply -k none", "building the kustomization in none"},
	} {
		_, _, err := withHello(t).run(t, strings.Fields(c.args)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestTraffic(t *testing.T) {
	for _, c := range []struct{ before, args, want string }{
		{"", "hello-00001=10 hello-00003=90", `[{revisionName: hello-00001, percent: 10}, {revisionName: hello-00003, percent: 90}]`},
		{"", "hello-00001=10", `[{revisionName: hello-00001, percent: 10}, {latestRevision: true, percent: 90}]`},
		{"", "hello-00001=100%", `[{revisionName: hello-00001, percent: 100}]`},
		{"", "--tag old=hello-00001", `[{latestRevision: true, percent: 100}, {revisionName: hello-00001, tag: old}]`},
		{`[{revisionName: hello-00001, percent: 100, tag: a}]`, "--tag b=latest", `[{revisionName: hello-00001, percent: 100}, {latestRevision: true, tag: b}, {revisionName: hello-00001, tag: a}]`},
		{`[{revisionName: hello-00001, percent: 100}, {revisionName: hello-00003, tag: a}]`, "--latest", `[{latestRevision: true, percent: 100}, {revisionName: hello-00003, tag: a}]`},
		{`[{revisionName: hello-00001, percent: 100}, {revisionName: hello-00003, tag: a}]`, "--latest --untag a", ``},
		{`[{revisionName: hello-00001, percent: 100}]`, "--latest", ``},
	} {
		f := withHello(t)
		if c.before != "" {
			o := f.get(functionPath + "hello")
			o["spec"].(object)["serving"].(object)["traffic"] = parse("x: " + c.before)["x"]
			f.store(functionPath+"hello", o)
		}
		_, errs, err := f.run(t, append([]string{"traffic", "hello"}, strings.Fields(c.args)...)...)
		if err != nil {
			t.Errorf("%s: %v\n%s", c.args, err, errs)
			continue
		}
		want := any(nil)
		if c.want != "" {
			want = parse("x: " + c.want)["x"]
		}
		if got := f.spec(t, "hello", "serving", "traffic"); fmt.Sprint(normal(got)) != fmt.Sprint(normal(want)) {
			t.Errorf("%s:\ngot  %v\nwant %v", c.args, got, want)
		}
	}
}

func TestRollbackSkipsBrokenRevisions(t *testing.T) {
	f := withHello(t)
	_, errs, err := f.run(t, "rollback", "hello")
	if err != nil || !strings.Contains(errs, "goes to hello-00001 now; return with `ofn traffic hello --latest`") {
		t.Fatalf("%v\n%s", err, errs)
	}
	if got := fmt.Sprint(f.spec(t, "hello", "serving", "traffic")); got != "[map[percent:100 revisionName:hello-00001]]" {
		t.Error(got)
	}
}

func TestDescribe(t *testing.T) {
	f := withHello(t)
	f.put(t, `{apiVersion: core.openfunction.io/v1beta2, kind: Builder, metadata: {name: hello-build-00002}, spec: {image: x}, status: {state: Succeeded, buildDuration: 1.5s,
		output: {functions: [{name: list, signature: http, path: /items, methods: [GET, HEAD]}, {name: any, signature: typed}]}}}`)
	f.put(t, `{apiVersion: v1, kind: Event, metadata: {name: e1}, type: Normal, reason: Started, message: it started, lastTimestamp: "2020-01-01T00:00:00Z", involvedObject: {kind: Serving, name: hello-00003}}`)
	f.put(t, `{apiVersion: v1, kind: Event, metadata: {name: e2}, type: Normal, reason: Other, message: not ours, involvedObject: {kind: Serving, name: other-00003}}`)
	out, _, err := f.run(t, "describe", "hello")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Image:      me/hello:v1", "http://hello.default.localhost:8080/ (external)", "Build hello-build-00002:", "1.5s",
		"  list  http   /items      GET, HEAD\n  any   typed  every path  all methods\n", "hello-00003   Running   100%", "hello-00002: it crashed", "Started", "call it with `ofn invoke hello`"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	if strings.Contains(out, "not ours") {
		t.Error("the event of another function is shown")
	}
}

func TestInitList(t *testing.T) {
	f := newFakeAPI(t)
	for _, c := range []struct{ args, want string }{
		{"init --list", "go-http"},
		{"init --list", "TEMPLATE"},
		{"init --list -o name", "go-http\n"},
		{"init --list -o json", `"language": "Go"`},
		{"init --list -o yaml", "signature: cloudevent"},
		{"init --list x", "unknown command"},
		{"init x -o json", "-o belongs to --list"},
		{"init --list -o wide", "is one of json, yaml, name"},
		{"init x --template go-htp", "did you mean go-http"},
	} {
		out, _, err := f.run(t, strings.Fields(c.args)...)
		if got := fmt.Sprint(out, err); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %q in it", c.args, got, c.want)
		}
	}
}

func TestLogs(t *testing.T) {
	f := withHello(t)
	f.extra = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s?%s\n", r.URL.Path, r.URL.RawQuery) })
	for _, c := range []struct{ args, want string }{
		{"logs hello", "/ofn/v1/namespaces/default/functions/hello/logs?\n"},
		{"logs hello -f --tail 5 --revision r", "/ofn/v1/namespaces/default/functions/hello/logs?follow=true&revision=r&tail=5\n"},
		{"logs hello --build", "/ofn/v1/namespaces/default/builders/hello-build-00002/logs?\n"},
	} {
		if out, _, err := f.run(t, strings.Fields(c.args)...); err != nil || out != c.want {
			t.Errorf("%s: %v %q, want %q", c.args, err, out, c.want)
		}
	}
	f.extra = http.NotFoundHandler()
	if _, _, err := f.run(t, "logs", "hello"); err == nil || !strings.Contains(err.Error(), "written nothing yet") {
		t.Error(err)
	}
	for _, args := range []string{"logs hello side", "logs hello --previous"} {
		if _, _, err := f.run(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), "one machine") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestApply(t *testing.T) {
	f := newFakeAPI(t)
	out, errs, err := f.runWith(t, `apiVersion: v1
kind: ConfigMap
metadata: {name: c}
---
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: fn}
spec: {image: x, odd: 1}
`, "apply", "-f", "-")
	if err != nil || out != "configmap/c applied\nfunction.core.openfunction.io/fn applied\n" || errs != "Warning: standard input:5 (document 2): spec.odd: unknown field, pruned\n" {
		t.Errorf("%v\n%s\n%s", err, out, errs)
	}
	out, _, err = f.runWith(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d, uid: 54152eff, resourceVersion: \"1403299\"}\n", "apply", "--dry-run", "-f", "-")
	if err != nil || out != "configmap/d applied (dry run)\n" {
		t.Errorf("%v\n%s", err, out)
	}
	_, _, err = f.runWith(t, "\n---\napiVersion: core.openfunction.io/v1beta2\nkind: Function\nmetadata: {name: fn}\nspec: {image: refused}\n", "apply", "-f", "-")
	if err == nil || !strings.Contains(err.Error(), "standard input:3 (document 1): ") || !strings.Contains(err.Error(), "spec.image: Invalid value") {
		t.Error(err)
	}
	_, _, err = f.runWith(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: other}\n", "apply", "-f", "-", "-n", "mine")
	if err == nil || !strings.Contains(err.Error(), "is in namespace other, but -n says mine") {
		t.Error(err)
	}
}

func TestApplyWait(t *testing.T) {
	f := newFakeAPI(t)
	f.answersWith(strings.ReplaceAll(ready, "Succeeded", "Skipped"))
	out, errs, err := f.runWith(t, hello, "apply", "-f", "-", "--wait")
	if err != nil || !strings.Contains(out, "http://my-function.default.localhost:8080/") {
		t.Errorf("%v\n%s\n%s", err, out, errs)
	}
}

func TestNotRunning(t *testing.T) {
	f := newFakeAPI(t)
	f.Close()
	env, _, _ := f.environment(t, "")
	root := New(env)
	root.SetArgs([]string{"get"})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "ofn up") {
		t.Error(err)
	}
	// The same kubeconfig, found in the data directory of `ofn up`.
	dir := t.TempDir()
	content, err := os.ReadFile(env.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "control"), 0o700), os.WriteFile(filepath.Join(dir, "control", "kubeconfig"), content, 0o600)); err != nil {
		t.Fatal(err)
	}
	env.Kubeconfig, env.DataDir = "", dir
	root = New(env)
	root.SetArgs([]string{"get"})
	want := "ofn is not running (no API at " + f.URL
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Hello World")
	f := newFakeAPI(t)
	out, _, err := f.run(t, "init", dir)
	if err != nil || !strings.Contains(out, "ofn deploy '"+dir+"'"+" && ofn invoke hello-world") {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, _, err := f.run(t, "init", dir); err == nil || !strings.Contains(err.Error(), "exists already; nothing was written") {
		t.Error(err)
	}
	if _, errs, err := f.run(t, "deploy", dir, "--no-wait"); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	if got := f.spec(t, "hello-world", "build", "env", "FUNC_NAME"); got != "HelloWorld" {
		t.Error(got)
	}
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"invoke h", "hello\n"},
		{"logs hello --revision hello-00001", "hello-00001\n"},
		{"traffic hello hello-00001", "hello-00001=\n"},
		{"get serv", "servings\n"},
	} {
		out, _, err := withHello(t).run(t, append([]string{"__complete"}, strings.Fields(c.args)...)...)
		if err != nil || !strings.HasPrefix(out, c.want) {
			t.Errorf("%s: %v %q", c.args, err, out)
		}
	}
}

func TestConnectionFlagsOnlyWhereTheyMeanSomething(t *testing.T) {
	f := newFakeAPI(t)
	env, out, _ := f.environment(t, "")
	up := &cobra.Command{Use: "up", RunE: func(*cobra.Command, []string) error { return nil }}
	root := New(env)
	root.AddCommand(up)
	root.SetArgs([]string{"up", "--kubeconfig", "x"})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "--kubeconfig has no meaning for ofn up") {
		t.Error(err)
	}
	for command, want := range map[string]bool{"up": false, "get": true} {
		out.Reset()
		root.SetArgs([]string{command, "--help"})
		if err := root.ExecuteContext(t.Context()); err != nil || strings.Contains(out.String(), "--kubeconfig") != want {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
}

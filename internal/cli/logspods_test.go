package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// clusterPod is a pod whose one container has ended, and which has written its own name.
func clusterPod(name, labels string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {%s}}, spec: {containers: [{name: c}]}, status: {containerStatuses: [{name: c, state: {terminated: {exitCode: 0}}}]}}`, name, labels)
}

func TestLogsOfPods(t *testing.T) {
	f := withHello(t)
	f.version = "v1.33.0"
	f.podLog = func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "2026-01-02T03:04:05Z %s\n", r.URL.Path)
	}
	f.put(t, `{apiVersion: core.openfunction.io/v1beta2, kind: Builder, metadata: {name: hello-build-00002}, status: {state: Succeeded, resourceRef: {openfunction.io/build-engine: job}}}`)
	for _, c := range []struct{ args, want string }{
		{"logs hello", "no pod of function hello runs"},
		{"logs hello --build", "has no pods"},
		{"logs hello --build -f", "has no pods"}, // it is over: nothing to wait for
		{"logs hello --revision _", "--revision"},
		{"logs hello -f -p", "none of the others"},
	} {
		if _, _, err := f.run(t, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
	f.put(t, clusterPod("copy", "openfunction.io/function: hello, openfunction.io/serving: hello-00002"))
	f.put(t, clusterPod("former", "openfunction.io/function: hello, openfunction.io/serving: hello-00001"))
	f.put(t, clusterPod("building", "openfunction.io/function: hello, openfunction.io/builder: hello-build-00002"))
	f.put(t, clusterPod("other", "openfunction.io/function: other, openfunction.io/serving: other-00001"))
	line := func(pod, before string) string {
		return before + "/api/v1/namespaces/default/pods/" + pod + "/log\n"
	}
	stamp := func(pod string) string { return line(pod, "2026-01-02T03:04:05.000000000Z "+pod+" ") }
	for _, c := range []struct{ args, want string }{
		{"logs hello", stamp("copy") + stamp("former")},
		{"logs hello --revision hello-00001", stamp("former")},
		{"logs hello --build", line("building", "")},
	} {
		if out, errs, err := f.run(t, strings.Fields(c.args)...); err != nil || out != c.want {
			t.Errorf("%s: %v %s %q, want %q", c.args, err, errs, out, c.want)
		}
	}
	f.put(t, `{apiVersion: core.openfunction.io/v1beta2, kind: Builder, metadata: {name: hello-build-00002}, status: {state: Failed, resourceRef: {openfunction.io/build-engine: shipwright}}}`)
	f.put(t, clusterPod("shipwright", "buildrun.shipwright.io/name: hello-build-00002"))
	if out, _, err := f.run(t, "logs", "hello", "--build"); err != nil || out != line("shipwright", "") {
		t.Errorf("by Shipwright: %v %q", err, out)
	}
	f.podLog = func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusForbidden, failure(403, "no")) }
	if _, _, err := f.run(t, "logs", "hello"); err == nil || !strings.Contains(err.Error(), "pods/log") {
		t.Errorf("without the right: %v", err)
	}
}

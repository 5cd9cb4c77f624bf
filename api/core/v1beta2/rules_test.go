package v1beta2_test

import (
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

func TestParseRules(t *testing.T) {
	route := &v1beta2.Route{}
	err := yaml.Unmarshal([]byte(`
rules:
- {}
- matches: [{}, {path: {value: /a}, headers: [{name: h, value: v}], queryParams: [{name: q, value: v}]}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: h}}]
  timeouts: {request: 10s}
  unheardOf: 1
`), route)
	if err != nil {
		t.Fatal(err)
	}
	got, err := route.ParseRules()
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"matches":[{"path":{"type":"PathPrefix","value":"/"}}]},` +
		`{"matches":[{"path":{"type":"PathPrefix","value":"/"}},` +
		`{"path":{"type":"PathPrefix","value":"/a"},"headers":[{"type":"Exact","name":"h","value":"v"}],"queryParams":[{"type":"Exact","name":"q","value":"v"}]}],` +
		`"filters":[{"type":"RequestRedirect","requestRedirect":{"hostname":"h","statusCode":302}}],"timeouts":{"request":"10s"}}]`
	if a := text(t, got); a != want {
		t.Errorf("got\n%s\nwant\n%s", a, want)
	}
	request, backend, err := got[1].Timeouts.Durations()
	if request != 10*time.Second || backend != 0 || err != nil {
		t.Errorf("timeouts %v, %v, %v", request, backend, err)
	}
	if rules, err := (*v1beta2.Route)(nil).ParseRules(); rules != nil || err != nil {
		t.Errorf("no route: %v, %v", rules, err)
	}
}

func TestPodSpec(t *testing.T) {
	f := read(t, `{spec: {image: i, serving: {template: {runtimeClassName: wasm, unheardOf: 1, containers: [{name: sidecar}, {name: function, args: [a]}]}}}}`)
	pod, err := f.Spec.Serving.PodSpec()
	if err != nil {
		t.Fatal(err)
	}
	if pod.RuntimeClassName == nil || *pod.RuntimeClassName != "wasm" {
		t.Errorf("runtime class %v", pod.RuntimeClassName)
	}
	if c := v1beta2.Container(pod); c.Name != v1beta2.FunctionContainer || len(c.Args) != 1 {
		t.Errorf("container %+v", c)
	}
	if err := f.Spec.Serving.SetPodSpec(pod); err != nil {
		t.Fatal(err)
	}
	if again, err := f.Spec.Serving.PodSpec(); err != nil || text(t, again) != text(t, pod) {
		t.Errorf("written and read: %+v, %v", again, err)
	}
	none, err := (&v1beta2.ServingTemplate{}).PodSpec()
	if err != nil || none == nil || v1beta2.Container(none).Name != v1beta2.FunctionContainer {
		t.Errorf("no template: %v, %v", none, err)
	}
	if _, err := read(t, `{spec: {image: i, serving: {template: {containers: 1}}}}`).Spec.Serving.PodSpec(); err == nil {
		t.Error("a template that is no PodSpec was read")
	}
}

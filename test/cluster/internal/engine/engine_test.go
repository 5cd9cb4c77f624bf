package engine

import (
	"slices"
	"strings"
	"testing"
)

func TestOrderPutsNeedsFirst(t *testing.T) {
	got, err := order([]string{"http-add-on", "shipwright", "keda"})
	if want := []string{"keda", "http-add-on", "tekton", "shipwright"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if _, err := order([]string{"kneda"}); err == nil || !strings.Contains(err.Error(), "keda") {
		t.Errorf("a name that does not exist: %v, want an error that lists those that do", err)
	}
}

func TestCatalogueIsWhole(t *testing.T) {
	for name, e := range catalogue() {
		if !strings.HasPrefix(e.Version, "v") || len(e.Sources) == 0 {
			t.Errorf("%s: version %q and %d sources", name, e.Version, len(e.Sources))
		}
		tags := map[string]bool{}
		for _, p := range e.Programs {
			if tag := p.tag(name, e.Version); tags[tag] || !strings.HasPrefix(tag, registry+"/") {
				t.Errorf("%s: the tag %s of %s is not its own", name, tag, p.Package)
			} else {
				tags[tag] = true
			}
		}
		for deployment, args := range e.Args {
			for _, a := range args {
				if _, image, ok := strings.Cut(a, "="); !ok || !tags[image] {
					t.Errorf("%s: %s is given %s, which is no image that it builds: %v", name, deployment, a, tags)
				}
			}
		}
		for _, values := range e.Config {
			if queue := values["queue-sidecar-image"]; queue != "" && !tags[queue] {
				t.Errorf("%s: configured with the image %s, which it does not build: %v", name, queue, tags)
			}
		}
	}
}

func TestManifestsAreAdapted(t *testing.T) {
	objects, err := decode([]byte(`
# nothing but a comment
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  template:
    spec:
      containers:
      - name: a
        image: ko://example.org/a/cmd/controller
        args: [-other, "ko://example.org/a/cmd/other"]
        imagePullPolicy: Always
        resources: {requests: {cpu: "4"}}
        readinessProbe: {initialDelaySeconds: 20, periodSeconds: 10}
---
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b"}}
`))
	if err != nil || len(objects) != 2 {
		t.Fatalf("decoded %d objects: %v", len(objects), err)
	}
	replaceStrings(objects[0].Object, map[string]string{"ko://example.org/a/cmd/controller": "one", "ko://example.org/a/cmd/other": "two"})
	e := Engine{Args: map[string][]string{"a": {"-more"}, "b": {"-no"}}, Config: map[string]map[string]string{"a": {"k": "v"}}}
	for _, o := range objects {
		if err := e.configure(o); err != nil {
			t.Fatal(err)
		}
	}
	relaxPods(objects[0].Object)
	text, err := objects[0].MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"image":"one"`, `["-other","two","-more"]`, `"imagePullPolicy":"IfNotPresent"`, `"readinessProbe":{"periodSeconds":1}`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(string(text), "resources") {
		t.Errorf("resources are still reserved: %s", text)
	}
}

package tekton_test

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/enginetest"
	"github.com/openfunction/ofn/internal/build/pod"
	"github.com/openfunction/ofn/internal/build/tekton"
)

func taskRun() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("tekton.dev/v1")
	u.SetKind("TaskRun")
	return u
}

func newEngine(c client.Client) enginetest.Engine {
	return tekton.New(c, c, tekton.Options{Pod: pod.Options{Image: "builder.example.com/all:1", Images: map[string]string{"python": "builder.example.com/python:1"},
		Insecure: []string{"registry.lan:5000"}}, Dockerfile: "buildah.example.com/x"})
}

func TestEngine(t *testing.T) {
	enginetest.Run(t, enginetest.Harness{
		New:   newEngine,
		Child: taskRun,
		Play:  play,
		Spoil: func(u *unstructured.Unstructured) {
			u.SetLabels(map[string]string{v1beta2.LabelBuilder: "another", v1beta2.LabelFunction: "fn"})
		},
		Spoilt: func(u *unstructured.Unstructured) bool { return u.GetLabels()[v1beta2.LabelBuilder] == "another" },
		Sees:   sees,
	})
}

func read(t *testing.T, c client.Client, b *v1beta2.Builder) *unstructured.Unstructured {
	t.Helper()
	u := taskRun()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(b), u); err != nil {
		t.Fatal(err)
	}
	return u
}

// play is Tekton's controller.
func play(t *testing.T, c client.Client, b *v1beta2.Builder, e enginetest.Event) {
	t.Helper()
	u := read(t, c, b)
	condition := map[string]any{"type": "Succeeded", "status": "Unknown", "reason": "Running"}
	status := map[string]any{}
	ended := func(status, reason string) { condition["status"], condition["reason"] = status, reason }
	switch e {
	case enginetest.Succeeds:
		ended("True", "Succeeded")
		status["results"] = []any{map[string]any{"name": "outcome", "type": "string",
			"value": encoded(t, pod.Outcome{Result: build.Result{Digest: enginetest.Digest, Sources: []build.SourceResult{{Name: "default", CommitSHA: enginetest.Commit}}}})}}
	case enginetest.Fails:
		ended("False", "Failed")
		condition["message"] = `"step-build" exited with code 1`
		left, err := json.Marshal([]map[string]any{{"key": "outcome", "value": encoded(t, pod.Outcome{Reason: enginetest.Reason, Message: enginetest.Complaint}), "type": 1}})
		if err != nil {
			t.Fatal(err)
		}
		status["steps"] = []any{map[string]any{"name": "build", "terminated": map[string]any{"reason": "Error", "exitCode": int64(1), "message": string(left)}}}
	case enginetest.TimesOut:
		ended("False", "TaskRunTimeout")
	case enginetest.Stops:
		if asked, _, _ := unstructured.NestedString(u.Object, "spec", "status"); asked != "TaskRunCancelled" {
			t.Error("nobody asked for the end")
		}
		ended("False", "TaskRunCancelled")
	}
	status["conditions"] = []any{condition}
	u.Object["status"] = status
	if err := c.Update(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func encoded(t *testing.T, o pod.Outcome) string {
	t.Helper()
	data, err := o.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}

type step struct {
	Name, Image, Script string
	Args                []string
	Env                 []struct{ Name, Value string }
	SecurityContext     map[string]any
}

func steps(t *testing.T, u *unstructured.Unstructured) []step {
	t.Helper()
	list, _, _ := unstructured.NestedSlice(u.Object, "spec", "taskSpec", "steps")
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var out []step
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func sees(t *testing.T, c client.Client, b *v1beta2.Builder) enginetest.Seen {
	t.Helper()
	u := read(t, c, b)
	r, err := pod.Decode(steps(t, u)[0].Env[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	out := enginetest.Seen{Env: r.Env, URL: r.URL, Revision: r.Revision, Bundle: r.Bundle, SubPath: r.SubPath, Image: r.Image}
	volumes, _, _ := unstructured.NestedSlice(u.Object, "spec", "taskSpec", "volumes")
	for _, v := range volumes {
		name, _, _ := unstructured.NestedString(v.(map[string]any), "secret", "secretName")
		switch v.(map[string]any)["name"] {
		case "secret-source":
			out.SourceSecret = name
		case "secret-push":
			out.PushSecret = name
		}
	}
	return out
}

func ofDockerfile() *v1beta2.Builder {
	b := &v1beta2.Builder{}
	b.Namespace, b.Name, b.UID = "ns", "one", "u"
	b.Spec.Image = "registry.lan:5000/x:1"
	b.Spec.Dockerfile = new("docker/../Dockerfile.prod")
	b.Spec.SrcRepo = &v1beta2.SourceRepo{URL: "https://example.com/x.git", SourceSubPath: new("../../sub")}
	b.Spec.Env = map[string]string{"A": "1 $2", "OFN_IMAGE": "mine"}
	return b
}

func TestDockerfile(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	b := ofDockerfile()
	engine := newEngine(c)
	if _, err := engine.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	got := steps(t, read(t, c, b))
	if len(got) != 2 || got[0].Name != "fetch" || got[1].Image != "buildah.example.com/x" {
		t.Fatalf("the steps are %+v", got)
	}
	if args := strings.Join(got[0].Args, " "); !strings.Contains(args, "--fetch-into /ofn/work/source") {
		t.Error("the source is fetched by", args)
	}
	env := map[string]string{}
	for _, e := range got[1].Env {
		env[e.Name] = e.Value
	}
	for name, want := range map[string]string{"A": "1 $$2", "OFN_IMAGE": b.Spec.Image, "OFN_CONTEXT": "/ofn/work/source/sub", "OFN_DOCKERFILE": "/ofn/work/source/sub/Dockerfile.prod", "OFN_TLS": "false"} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	for _, user := range []string{"1 ", "registry.lan", "Dockerfile.prod"} {
		if strings.Contains(got[1].Script, user) {
			t.Errorf("the script holds %q, which is the user's", user)
		}
	}
	u := read(t, c, b)
	u.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Succeeded", "status": "True"}}, "results": []any{
		map[string]any{"name": "outcome", "value": encoded(t, pod.Outcome{Result: build.Result{Sources: []build.SourceResult{{CommitSHA: enginetest.Commit}}}})},
		map[string]any{"name": "digest", "value": enginetest.Digest}}}
	if err := c.Update(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	p, err := engine.Apply(t.Context(), b)
	if err != nil || p.Stage != build.Succeeded || p.Result.Digest != enginetest.Digest || p.Result.Sources[0].CommitSHA != enginetest.Commit {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestDockerfileEnvThatTektonReads(t *testing.T) {
	b := ofDockerfile()
	b.Spec.Env = map[string]string{"A": "$(params.x)"}
	if _, err := newEngine(fake.NewClientBuilder().Build()).Apply(t.Context(), b); err == nil || !strings.Contains(err.Error(), "build.env.A") {
		t.Errorf("got %v", err)
	}
}

func TestImageOfALanguage(t *testing.T) {
	for runtime, want := range map[string]string{"": "builder.example.com/all:1", "python3.11": "builder.example.com/python:1", "go": "builder.example.com/all:1"} {
		c := fake.NewClientBuilder().Build()
		b := ofDockerfile()
		b.Spec.Dockerfile, b.Spec.Env = nil, map[string]string{"FUNC_RUNTIME": runtime}
		if _, err := newEngine(c).Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if got := steps(t, read(t, c, b))[0]; got.Image != want || got.SecurityContext["allowPrivilegeEscalation"] != false {
			t.Errorf("%q is built in %s, %v", runtime, got.Image, got.SecurityContext)
		}
	}
}

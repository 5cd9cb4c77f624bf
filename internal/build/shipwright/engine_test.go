package shipwright_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/enginetest"
	"github.com/openfunction/ofn/internal/build/shipwright"
)

func of(kind string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("shipwright.io/v1beta1")
	u.SetKind(kind)
	return u
}

func newEngine(c client.Client) enginetest.Engine { return shipwright.New(c, c, nil) }

func TestEngine(t *testing.T) {
	strategy := of("ClusterBuildStrategy")
	strategy.SetName(v1beta2.DefaultBuildStrategy)
	strategy.Object["spec"] = map[string]any{"parameters": []any{map[string]any{"name": "ENV", "type": "array"}}}
	enginetest.Run(t, enginetest.Harness{
		New:     newEngine,
		Objects: []client.Object{strategy},
		Child:   func() *unstructured.Unstructured { return of("BuildRun") },
		Prepare: func(t *testing.T, c client.Client, b *v1beta2.Builder) {
			u := read(t, c, "Build", b)
			u.Object["status"] = map[string]any{"registered": "True"}
			if err := c.Update(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		},
		Play: play,
		Spoil: func(u *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(u.Object, "another", "spec", "build", "name")
		},
		Spoilt: func(u *unstructured.Unstructured) bool {
			name, _, _ := unstructured.NestedString(u.Object, "spec", "build", "name")
			return name == "another"
		},
		Sees: sees,
	})
}

func read(t *testing.T, c client.Client, kind string, b *v1beta2.Builder) *unstructured.Unstructured {
	t.Helper()
	u := of(kind)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(b), u); err != nil {
		t.Fatal(err)
	}
	return u
}

// play is Shipwright's controller.
func play(t *testing.T, c client.Client, b *v1beta2.Builder, e enginetest.Event) {
	t.Helper()
	u := read(t, c, "BuildRun", b)
	condition := map[string]any{"type": "Succeeded", "status": "Unknown", "reason": "Running"}
	status := map[string]any{}
	ended := func(status, reason string) { condition["status"], condition["reason"] = status, reason }
	switch e {
	case enginetest.Succeeds:
		ended("True", "Succeeded")
		status["output"] = map[string]any{"digest": enginetest.Digest}
		status["source"] = map[string]any{"git": map[string]any{"commitSha": enginetest.Commit}}
	case enginetest.Fails:
		ended("False", "Failed")
		status["failureDetails"] = map[string]any{"reason": enginetest.Reason, "message": enginetest.Complaint}
	case enginetest.TimesOut:
		ended("False", "BuildRunTimeout")
	case enginetest.Stops:
		if asked, _, _ := unstructured.NestedString(u.Object, "spec", "state"); asked != "BuildRunCanceled" {
			t.Error("nobody asked for the end")
		}
		ended("False", "BuildRunCanceled")
	}
	status["conditions"] = []any{condition}
	u.Object["status"] = status
	if err := c.Update(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func sees(t *testing.T, c client.Client, b *v1beta2.Builder) enginetest.Seen {
	t.Helper()
	spec := read(t, c, "Build", b).Object["spec"].(map[string]any)
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(spec, path...)
		return s
	}
	out := enginetest.Seen{URL: text("source", "git", "url"), Revision: text("source", "git", "revision"), Bundle: text("source", "ociArtifact", "image"),
		SubPath: text("source", "contextDir"), Image: text("output", "image"), PushSecret: text("output", "pushSecret"),
		SourceSecret: text("source", "git", "cloneSecret") + text("source", "ociArtifact", "pullSecret")}
	params, _, _ := unstructured.NestedSlice(spec, "paramValues")
	for _, p := range params {
		values, _, _ := unstructured.NestedSlice(p.(map[string]any), "values")
		for _, v := range values {
			name, value, _ := strings.Cut(v.(map[string]any)["value"].(string), "=")
			if out.Env == nil {
				out.Env = map[string]string{}
			}
			out.Env[name] = value
		}
	}
	return out
}

func TestMissingStrategyIsWaitedFor(t *testing.T) {
	b := &v1beta2.Builder{}
	b.Namespace, b.Name, b.UID = "ns", "one", "u"
	b.Spec.SrcRepo = &v1beta2.SourceRepo{URL: "https://example.com/x.git"}
	p, err := newEngine(fake.NewClientBuilder().Build()).Apply(t.Context(), b)
	if err != nil || p.Stage != build.Waiting || p.Reason != "ClusterBuildStrategyNotFound" || !strings.Contains(p.Message, v1beta2.DefaultBuildStrategy) {
		t.Errorf("got %+v, %v", p, err)
	}
}

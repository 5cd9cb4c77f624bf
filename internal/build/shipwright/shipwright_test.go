package shipwright

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
)

func TestParams(t *testing.T) {
	old, list := map[string]string{"ENV_VARS": "string"}, map[string]string{"ENV": "array", "ENV_VARS": "string"}
	for name, test := range map[string]struct {
		spec     v1beta2.BuildTemplate
		declared map[string]string
		want     string // JSON, or the reason of a failure
	}{
		"nothing":                 {v1beta2.BuildTemplate{}, old, `null`},
		"environment, in order":   {v1beta2.BuildTemplate{Env: map[string]string{"B": "2", "A": "1"}}, old, `[{"name":"ENV_VARS","value":"A=1#B=2"}]`},
		"a value that # divides":  {v1beta2.BuildTemplate{Env: map[string]string{"A": "1#2"}}, old, "EnvUnsupported"},
		"the same in a list":      {v1beta2.BuildTemplate{Env: map[string]string{"A": "1#2"}}, list, `[{"name":"ENV","values":[{"value":"A=1#2"}]}]`},
		"environment of steps":    {v1beta2.BuildTemplate{Env: map[string]string{"A": "1"}}, nil, `null`},
		"dockerfile, undeclared":  {v1beta2.BuildTemplate{Dockerfile: new("x")}, nil, "UndefinedParameter"},
		"dockerfile":              {v1beta2.BuildTemplate{Dockerfile: new("x")}, map[string]string{"dockerfile": "string"}, `[{"name":"dockerfile","value":"x"}]`},
		"a parameter of a secret": {withParam(), map[string]string{"p": "string"}, `[{"name":"p","secretValue":{"name":"s","key":"k"}}]`},
		"a parameter, undeclared": {withParam(), old, "UndefinedParameter"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := params(&v1beta2.Builder{Spec: v1beta2.BuilderSpec{BuildTemplate: test.spec}}, test.declared, "mine")
			if bad := (*build.Failure)(nil); errors.As(err, &bad) {
				if bad.Reason != test.want || !strings.Contains(bad.Message, "mine") {
					t.Errorf("got %s: %s; want %s and the strategy's name", bad.Reason, bad.Message, test.want)
				}
				return
			}
			data, _ := json.Marshal(got)
			if err != nil || string(data) != test.want {
				t.Errorf("got %s, %v; want %s", data, err, test.want)
			}
		})
	}
}

func withParam() v1beta2.BuildTemplate {
	return v1beta2.BuildTemplate{Shipwright: &v1beta2.ShipwrightEngine{Params: []*v1beta2.ParamValue{nil,
		{Name: "p", SingleValue: v1beta2.SingleValue{Value: new("unused"), SecretValue: &v1beta2.ObjectKeyRef{Name: "s", Key: "k"}}}}}}
}

func TestSource(t *testing.T) {
	both := &v1beta2.SourceRepo{URL: "https://example.com/x.git", Revision: new("v1"), BundleContainer: &v1beta2.BundleContainer{Image: "r.example.com/src"}}
	got, err := sourceOf(both)
	if err != nil || got.Type != "OCI" || got.OCI.Image != "r.example.com/src" || got.Git != nil {
		t.Errorf("got %+v, %v; want the bundle, which wins", got, err)
	}
	both.BundleContainer = nil
	if got, err = sourceOf(both); err != nil || got.Type != "Git" || got.Git.Revision != "v1" || got.OCI != nil {
		t.Errorf("got %+v, %v; want git", got, err)
	}
	if _, err := sourceOf(nil); err == nil {
		t.Error("a build without source is accepted")
	}
}

func TestRegistriesWithoutTLS(t *testing.T) {
	e := New(nil, nil, []string{"registry.lan:5000"})
	for image, want := range map[string]bool{"registry.lan:5000/a/b:1": true, "registry.lan/a/b:1": false, "b:1": false} {
		b := &v1beta2.Builder{Spec: v1beta2.BuilderSpec{Image: image}}
		b.Spec.SrcRepo = &v1beta2.SourceRepo{URL: "https://example.com/x.git"}
		if got, err := e.buildOf(b, nil); err != nil || got.Spec.Output.Insecure != want {
			t.Errorf("%s: insecure is %t, %v; want %t", image, got.Spec.Output.Insecure, err, want)
		}
	}
}

func TestProgress(t *testing.T) {
	for name, test := range map[string]struct {
		condition map[string]any
		stage     build.Stage
		reason    string
	}{
		"no condition yet": {nil, build.Running, ""},
		"running":          {map[string]any{"type": "Succeeded", "status": "Unknown", "reason": "Pending"}, build.Running, "Pending"},
		"timed out":        {map[string]any{"type": "Succeeded", "status": "False", "reason": "BuildRunTimeout"}, build.TimedOut, "BuildTimeout"},
		"cancelled":        {map[string]any{"type": "Succeeded", "status": "False", "reason": "BuildRunCanceled"}, build.Cancelled, "Cancelled"},
		"failed":           {map[string]any{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "step failed"}, build.Failed, "CompileError"},
		"succeeded":        {map[string]any{"type": "Succeeded", "status": "True", "reason": "Succeeded"}, build.Succeeded, "Succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			status := map[string]any{"failureDetails": map[string]any{"reason": "CompileError", "message": "main.go:3"},
				"output": map[string]any{"digest": "sha256:1", "size": int64(2)}, "source": map[string]any{"ociArtifact": map[string]any{"digest": "sha256:3"}}}
			if test.condition != nil {
				status["conditions"] = []any{map[string]any{"type": "Other", "status": "False"}, test.condition}
			}
			got, err := progress(&v1beta2.Builder{}, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "shipwright.io/v1beta1", "kind": "BuildRun", "status": status}})
			if err != nil || got.Stage != test.stage || got.Reason != test.reason {
				t.Fatalf("got %+v, %v", got, err)
			}
			if got.Stage == build.Failed && got.Message != "step failed: main.go:3" {
				t.Errorf("the message is %q", got.Message)
			}
			if r := got.Result; got.Stage == build.Succeeded && (r.Digest != "sha256:1" || r.Size != 2 || r.Sources[0].BundleDigest != "sha256:3") {
				t.Errorf("the result is %+v", r)
			}
		})
	}
}

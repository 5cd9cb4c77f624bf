package main

import (
	"context"
	"io"
	"maps"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/controltest"
)

// The rules that collector's comment states.
func TestCollectorKeeps(t *testing.T) {
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "ns", Name: name} }
	c := &collector{client: controltest.New(t,
		&v1beta2.Serving{ObjectMeta: named("given"), Spec: v1beta2.ServingSpec{Image: "ghcr.io/o/fn@sha256:given"}},
		&v1beta2.Serving{ObjectMeta: named("resolved"), Spec: v1beta2.ServingSpec{Image: "ghcr.io/o/fn:v1"}, Status: v1beta2.ServingStatus{ImageDigest: "sha256:resolved"}},
		&v1beta2.Function{ObjectMeta: named("built"), Status: v1beta2.FunctionStatus{
			Revision: &v1beta2.ImageRevision{ImageDigest: "sha256:built"},
			Sources:  []v1beta2.SourceResult{{Bundle: &v1beta2.BundleSourceResult{Digest: "sha256:fetched"}}, {Git: &v1beta2.GitSourceResult{CommitSha: "c"}}},
		}},
		&v1beta2.Function{ObjectMeta: named("new"), Spec: v1beta2.FunctionSpec{Image: "fn", Build: &v1beta2.BuildTemplate{
			SrcRepo: &v1beta2.SourceRepo{BundleContainer: &v1beta2.BundleContainer{Image: "ofn.local/src@sha256:bundle"}},
		}}},
	)}
	digests, err := c.inUse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	delete(digests, "") // of those that have none yet
	want := []string{"sha256:built", "sha256:bundle", "sha256:fetched", "sha256:given", "sha256:resolved"}
	if got := slices.Sorted(maps.Keys(digests)); !slices.Equal(got, want) {
		t.Errorf("in use are %q, want %q", got, want)
	}
	keep := keeping(digests)
	for ref, want := range map[string]bool{
		"fn:v1": true, "docker.io/o/fn:latest": true, "other@sha256:built": true, "fn@sha256:gone": false, "fn@": false,
	} {
		if keep(ref) != want {
			t.Errorf("%s is kept: %v", ref, !want)
		}
	}
}

// builder builds nothing.
type builder struct{}

func (builder) Build(context.Context, build.Request, io.Writer) (build.Result, error) {
	return build.Result{}, nil
}

// The logs of builds go with their Builders, also with those that went while nobody looked.
func TestCollectorForgetsBuilds(t *testing.T) {
	logs, err := build.NewLogs(t.TempDir(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"ns/there", "ns/gone", "other/there"} {
		if _, err := logs.Record(builder{}).Build(t.Context(), build.Request{ID: id}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	c := &collector{builds: logs, client: controltest.New(t, &v1beta2.Builder{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "there"}})}
	if err := c.forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept, err := logs.Kept(); err != nil || !slices.Equal(kept, []string{"ns/there"}) {
		t.Errorf("kept are %q (%v)", kept, err)
	}
}

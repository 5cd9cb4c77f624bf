// Package tekton builds with Tekton Pipelines, without Shipwright: one TaskRun for each Builder, in its namespace and under its
// name, whose steps are ofn's own build, or the fetching of the source and a build of its Dockerfile. It speaks tekton.dev/v1 with
// structs of its own.
package tekton

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/pod"
	"github.com/openfunction/ofn/internal/drift"
)

// The group and version of Tekton's API.
const (
	Group   = "tekton.dev"
	Version = "v1"
)

// Options say what TaskRuns are made of.
type Options struct {
	Pod pod.Options
	// Dockerfile is an image with buildah and a shell, which builds Dockerfiles.
	Dockerfile string
}

// Engine makes TaskRuns.
type Engine struct {
	client  client.Client
	live    client.Reader
	options Options
}

// New is an engine over a client that reads TaskRuns with the label v1beta2.LabelBuilder from a cache, and a reader that does not.
func New(c client.Client, live client.Reader, o Options) *Engine {
	return &Engine{client: c, live: live, options: o}
}

// Apply makes the TaskRun of a Builder that has not ended, or asks for its end when the Builder is cancelled, and says how it
// stands. It is idempotent, and quiet when nothing is to be changed. What the user must mend is a *build.Failure.
func (e *Engine) Apply(ctx context.Context, b *v1beta2.Builder) (build.Progress, error) {
	cancelled := b.Spec.State == v1beta2.BuilderStateCancelled
	run, err := e.runOf(b)
	if err != nil {
		return build.Progress{}, err
	}
	wanted, err := drift.Object(run)
	if err != nil {
		return build.Progress{}, err
	}
	if cancelled {
		if ran, err := pod.Ran(ctx, e.live, wanted); err != nil || !ran {
			return pod.NeverRan(), err
		}
	}
	there, err := pod.Keep(ctx, e.client, e.live, wanted, mutable(b, cancelled))
	if err != nil {
		return build.Progress{}, err
	}
	p, err := progress(there)
	p.Objects = map[string]string{v1beta2.RefTektonTaskRun: b.Name}
	return p, err
}

// mutable is what of a TaskRun may change once it is there: Tekton refuses the rest.
func mutable(b *v1beta2.Builder, cancelled bool) map[string]any {
	labels := map[string]any{}
	for k, v := range pod.Labels(b) {
		labels[k] = v
	}
	out := map[string]any{"metadata": map[string]any{"labels": labels}}
	if cancelled {
		out["spec"] = map[string]any{"status": "TaskRunCancelled"}
	}
	return out
}

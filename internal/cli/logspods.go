package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/podlog"
)

// labelBuildRun is how Shipwright labels the pods of a BuildRun.
const labelBuildRun = "buildrun.shipwright.io/name"

// podReader reads logs of pods as the user.
func (s *session) podReader(out io.Writer) *podlog.Reader {
	return &podlog.Reader{Client: s.Client, Open: s.Stream, Out: out,
		Note: func(format string, args ...any) { fmt.Fprintf(s.app.env.Err, "note: "+format+"\n", args...) }}
}

// podQuery is what the flags ask of pods.
func (q *logQuery) podQuery(namespace string) podlog.Query {
	out := podlog.Query{Namespace: namespace, Container: q.container, Prefer: v1beta2.FunctionContainer, Tail: q.tail, Previous: q.previous}
	if q.since > 0 {
		out.Since = time.Now().Add(-q.since)
	}
	return out
}

// podLogs is for clusters: the logs of the function's pods, whichever engine made them.
func (s *session) podLogs(ctx context.Context, fn *v1beta2.Function, q logQuery) error {
	// Pods of builds have the label of the function too, and none of a revision.
	revision, err := labels.NewRequirement(v1beta2.LabelServing, selection.Exists, nil)
	if q.revision != "" {
		revision, err = labels.NewRequirement(v1beta2.LabelServing, selection.Equals, []string{q.revision})
	}
	if err != nil {
		return fmt.Errorf("--revision: %w", err)
	}
	pq := q.podQuery(fn.Namespace)
	pq.Selector = labels.SelectorFromSet(labels.Set{v1beta2.LabelFunction: fn.Name}).Add(*revision)
	r := s.podReader(s.app.env.Out)
	if q.follow {
		return s.mayNot(r.Follow(ctx, pq, nil))
	}
	err = r.Print(ctx, pq)
	if errors.Is(err, podlog.ErrNoPods) {
		return fmt.Errorf("no pod of function %s runs, so there is no log: it is scaled to zero, or does not start (`ofn describe %s`); -f waits for the next one", fn.Name, targetOf(fn))
	}
	return s.mayNot(err)
}

// buildPodsLog is the log of a build on a cluster.
func (s *session) buildPodsLog(ctx context.Context, fn *v1beta2.Function, name string, q logQuery) error {
	pq, builder, err := s.buildPods(ctx, types.NamespacedName{Namespace: fn.Namespace, Name: name}, q)
	if err != nil {
		return err
	}
	r := s.podReader(s.app.env.Out)
	if q.follow && !builder.Status.State.Finished() {
		return s.mayNot(r.Follow(ctx, pq, func(ctx context.Context) bool { return s.built(ctx, builder) }))
	}
	err = r.Print(ctx, pq)
	if errors.Is(err, podlog.ErrNoPods) {
		return fmt.Errorf("build %s (%s) has no pods, so there is no log: it has not begun, or they are gone; `ofn describe %s` says more", name, fn.Status.Build.State, targetOf(fn))
	}
	return s.mayNot(err)
}

// buildPods selects the pods of a build.
func (s *session) buildPods(ctx context.Context, key types.NamespacedName, q logQuery) (podlog.Query, *v1beta2.Builder, error) {
	b := &v1beta2.Builder{}
	if err := s.Client.Get(ctx, key, b); err != nil {
		return podlog.Query{}, nil, err
	}
	pq := q.podQuery(key.Namespace)
	pq.Every, pq.Bare = true, true
	pq.Selector = labels.SelectorFromSet(labels.Set{v1beta2.LabelBuilder: key.Name})
	if b.Status.ResourceRef[v1beta2.RefBuildEngine] == v1beta2.BuildEngineShipwright { // it does not hand labels on
		pq.Selector = labels.SelectorFromSet(labels.Set{labelBuildRun: key.Name})
	}
	return pq, b, nil
}

// built is whether a build has come to its end, or is gone.
func (s *session) built(ctx context.Context, b *v1beta2.Builder) bool {
	now := &v1beta2.Builder{}
	err := s.Client.Get(ctx, keyOf(b), now)
	return apierrors.IsNotFound(err) || err == nil && now.Status.State.Finished()
}

// mayNot says what to ask for when pods may not be listed or watched.
func (s *session) mayNot(err error) error {
	if apierrors.IsForbidden(err) && about(err) == "pods" {
		return fmt.Errorf("logs are those of pods, which you may not see: ask for the verbs list and watch on pods, and get on pods/log, in this namespace: %w", err)
	}
	return err
}

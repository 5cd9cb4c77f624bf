package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/condition"
)

// finish translates the end of a build into the Builder's status.
func (c *Controller) finish(ctx context.Context, b *v1beta2.Builder, j *job) error {
	var bad *build.Failure
	switch {
	case j.err == nil:
		return c.succeed(ctx, b, j)
	case errors.Is(j.err, errCancelled):
		return c.conclude(ctx, b, v1beta2.StateCanceled, "Cancelled", "the build was cancelled")
	case errors.As(j.err, &bad) && bad.Reason == build.ReasonTimeout:
		return c.conclude(ctx, b, v1beta2.StateTimeout, "BuildTimeout", bad.Message)
	case errors.As(j.err, &bad):
		return c.conclude(ctx, b, v1beta2.StateFailed, bad.Reason, bad.Message)
	default:
		c.options.Log.Error("build failed for a reason that is not the user's", "builder", b.Namespace+"/"+b.Name, "err", j.err)
		return c.conclude(ctx, b, v1beta2.StateFailed, "InternalError", "the platform could not run the build: "+j.err.Error())
	}
}

func (c *Controller) succeed(ctx context.Context, b *v1beta2.Builder, j *job) error {
	return c.end(ctx, b, func(s *v1beta2.BuilderStatus) {
		s.State, s.Reason, s.Message, s.Sources = v1beta2.StateSucceeded, "", "", nil
		s.Output = &v1beta2.BuilderOutput{Digest: j.result.Digest, Size: j.result.Size}
		for _, f := range j.result.Functions {
			s.Output.Functions = append(s.Output.Functions, v1beta2.BuiltFunction(f))
		}
		for _, r := range j.result.Sources {
			out := v1beta2.SourceResult{Name: r.Name}
			if r.CommitSHA != "" {
				out.Git = &v1beta2.GitSourceResult{CommitSha: r.CommitSHA, CommitAuthor: r.CommitAuthor, BranchName: r.BranchName}
			}
			if r.BundleDigest != "" {
				out.Bundle = &v1beta2.BundleSourceResult{Digest: r.BundleDigest}
			}
			s.Sources = append(s.Sources, out)
		}
		condition.Set(&s.Conditions, b.Generation, v1beta2.ConditionSucceeded, "True", "BuildSucceeded", "")
	})
}

// wait says what a Builder that has not begun waits for.
func (c *Controller) wait(ctx context.Context, b *v1beta2.Builder, message string) error {
	return c.patch(ctx, b, func(s *v1beta2.BuilderStatus) {
		s.Phase, s.State, s.Reason, s.Message = v1beta2.PhaseBuild, v1beta2.StateCreated, reasonMissing, message
		condition.Set(&s.Conditions, b.Generation, v1beta2.ConditionSucceeded, "Unknown", reasonMissing, message)
	})
}

func (c *Controller) conclude(ctx context.Context, b *v1beta2.Builder, state v1beta2.State, reason, message string) error {
	return c.end(ctx, b, func(s *v1beta2.BuilderStatus) {
		s.State, s.Reason, s.Message = state, reason, message
		condition.Set(&s.Conditions, b.Generation, v1beta2.ConditionSucceeded, "False", reason, message)
	})
}

// end writes a final status with its times.
func (c *Controller) end(ctx context.Context, b *v1beta2.Builder, change func(*v1beta2.BuilderStatus)) error {
	now := c.options.Clock.Now()
	var took time.Duration
	err := c.patch(ctx, b, func(s *v1beta2.BuilderStatus) {
		s.Phase = v1beta2.PhaseBuild
		s.CompletionTime = &metav1.Time{Time: now}
		if j := c.jobs.get(client.ObjectKeyFromObject(b)); j != nil { // the cache may not know yet that it started
			took = now.Sub(j.start)
			s.StartTime = &metav1.Time{Time: j.start}
			s.BuildDuration = &metav1.Duration{Duration: took.Round(time.Millisecond)}
		}
		change(s)
	})
	if err == nil && c.options.Done != nil {
		c.options.Done(b.Namespace, string(b.Status.State), took)
	}
	return err
}

func (c *Controller) patch(ctx context.Context, b *v1beta2.Builder, change func(*v1beta2.BuilderStatus)) error {
	before := b.DeepCopy()
	change(&b.Status)
	b.Status.ObservedGeneration = b.Generation
	if equality.Semantic.DeepEqual(before.Status, b.Status) {
		return nil
	}
	if err := c.client.Status().Patch(ctx, b, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing status of builder %s: %w", b.Name, err)
	}
	return nil
}

package shipwright

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
)

// buildRun is what is read of a BuildRun.
type buildRun struct {
	Status struct {
		Conditions []struct {
			Type            string
			Status          metav1.ConditionStatus
			Reason, Message string
		}
		Output struct {
			Digest string
			Size   int64
		}
		Source struct {
			Git         *struct{ CommitSha, CommitAuthor, BranchName string }
			OciArtifact *struct{ Digest string }
		}
		FailureDetails struct{ Reason, Message string }
	}
}

// progress says how the run stands by its condition Succeeded.
func progress(b *v1beta2.Builder, o *unstructured.Unstructured) (build.Progress, error) {
	out := build.Progress{Stage: build.Running, Objects: objects(b)}
	var r buildRun
	if err := decode(o, &r); err != nil {
		return out, err
	}
	for _, c := range r.Status.Conditions {
		if c.Type != "Succeeded" {
			continue
		}
		out.Reason, out.Message = c.Reason, c.Message
		switch {
		case c.Status == metav1.ConditionTrue:
			out.Stage, out.Result = build.Succeeded, r.result()
		case c.Status != metav1.ConditionFalse:
		case c.Reason == "BuildRunTimeout":
			out.Stage, out.Reason = build.TimedOut, "BuildTimeout"
		case c.Reason == "BuildRunCanceled":
			out.Stage, out.Reason = build.Cancelled, "Cancelled"
		default:
			out.Stage = build.Failed
			r.explain(&out)
		}
	}
	return out, nil
}

// explain adds what the failing step told.
func (r *buildRun) explain(p *build.Progress) {
	if d := r.Status.FailureDetails; d.Reason != "" {
		p.Reason = d.Reason
	}
	if d := r.Status.FailureDetails; d.Message != "" {
		p.Message += ": " + d.Message
	}
}

func (r *buildRun) result() build.Result {
	out := build.Result{Digest: r.Status.Output.Digest, Size: r.Status.Output.Size}
	s := build.SourceResult{Name: "default"}
	switch {
	case r.Status.Source.Git != nil:
		g := r.Status.Source.Git
		s.CommitSHA, s.CommitAuthor, s.BranchName = g.CommitSha, g.CommitAuthor, g.BranchName
	case r.Status.Source.OciArtifact != nil:
		s.BundleDigest = r.Status.Source.OciArtifact.Digest
	default:
		return out
	}
	out.Sources = []build.SourceResult{s}
	return out
}

package tekton

import (
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/pod"
)

// read is what is read of a TaskRun.
type read struct {
	Status struct {
		Conditions []struct {
			Type            string
			Status          metav1.ConditionStatus
			Reason, Message string
		}
		Results []struct {
			Name  string
			Value json.RawMessage
		}
		Steps []struct {
			Name       string
			Terminated *struct{ Reason, Message string }
		}
	}
}

// progress says how a TaskRun stands by its condition Succeeded.
func progress(o *unstructured.Unstructured) (build.Progress, error) {
	out := build.Progress{Stage: build.Running, Reason: "Pending"}
	var r read
	data, err := o.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return out, fmt.Errorf("reading taskrun %s: %w", o.GetName(), err)
	}
	for _, c := range r.Status.Conditions {
		if c.Type != "Succeeded" {
			continue
		}
		out.Reason, out.Message = c.Reason, c.Message
		switch {
		case c.Status == metav1.ConditionTrue:
			return r.succeeded(), nil
		case c.Status != metav1.ConditionFalse:
		case c.Reason == "TaskRunCancelled":
			out.Stage, out.Reason = build.Cancelled, "Cancelled"
		case c.Reason == "TaskRunTimeout":
			out.Stage, out.Reason = build.TimedOut, "BuildTimeout"
		default:
			out.Stage = build.Failed
			r.explain(&out)
		}
	}
	return out, nil
}

// result is the value of a result of type string.
func (r *read) result(name string) string {
	for _, one := range r.Status.Results {
		var value string
		if one.Name == name && json.Unmarshal(one.Value, &value) == nil {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (r *read) succeeded() build.Progress {
	outcome, ok := pod.ParseOutcome(r.result(resultOutcome))
	if digest := r.result(resultDigest); digest != "" {
		outcome.Result.Digest, ok = digest, true
	}
	if !ok {
		return build.Progress{Stage: build.Failed, Reason: "OutcomeLost", Message: "the TaskRun ended well and did not say with which image: build again, as with `ofn rebuild`"}
	}
	return outcome.Progress()
}

// explain takes what the failing step told. Tekton has the results of a step that failed in its message, as a list.
func (r *read) explain(p *build.Progress) {
	for _, s := range r.Status.Steps {
		if s.Terminated == nil {
			continue
		}
		var left []struct{ Key, Value string }
		if json.Unmarshal([]byte(s.Terminated.Message), &left) == nil {
			for _, one := range left {
				if o, ok := pod.ParseOutcome(one.Value); ok && one.Key == resultOutcome && o.Reason != "" {
					*p = o.Progress()
					return
				}
			}
		}
		if s.Terminated.Reason == "OOMKilled" {
			p.Reason = "OutOfMemory"
		}
	}
}

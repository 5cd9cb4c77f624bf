package knative

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// Types of conditions, and reasons that mean something here.
const (
	conditionReady          = "Ready"
	conditionConfigurations = "ConfigurationsReady"
	reasonDeadline          = "ProgressDeadlineExceeded"
)

// condition is one of Knative's. Message and reason are empty when it is True.
type condition struct {
	Type    string                 `json:"type"`
	Status  metav1.ConditionStatus `json:"status"`
	Reason  string                 `json:"reason"`
	Message string                 `json:"message"`
}

type conditions []condition

func (c conditions) get(kind string) condition {
	for _, each := range c {
		if each.Type == kind {
			return each
		}
	}
	return condition{Type: kind, Status: metav1.ConditionUnknown}
}

// observed is what is read of a Service.
type observed struct {
	Metadata struct {
		Generation int64 `json:"generation"`
	} `json:"metadata"`
	Spec struct {
		Template struct {
			Metadata metadata `json:"metadata"`
		} `json:"template"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64      `json:"observedGeneration"`
		Conditions         conditions `json:"conditions"`
		URL                string     `json:"url"`
		Traffic            []traffic  `json:"traffic"`
	} `json:"status"`
}

// revision is what is read of a Revision.
type revision struct {
	Status struct {
		Conditions        conditions `json:"conditions"`
		ActualReplicas    int        `json:"actualReplicas"`
		DesiredReplicas   int        `json:"desiredReplicas"`
		ContainerStatuses []struct {
			Name        string `json:"name"`
			ImageDigest string `json:"imageDigest"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

func statusOf(s *cluster.Service, current *unstructured.Unstructured, made map[string]*unstructured.Unstructured) (cluster.Status, error) {
	out := cluster.Status{Objects: map[string]string{v1beta2.RefKnativeService: s.Name}, Revisions: map[string]run.Status{},
		Made: map[string]bool{}, TagURLs: map[string]string{}}
	var service observed
	if err := decode(current, &service); err != nil {
		return out, err
	}
	known := service.Status.ObservedGeneration == service.Metadata.Generation && service.Metadata.Generation > 0
	for i := range s.Revisions {
		name := s.Revisions[i].Name
		if made[name] == nil {
			out.Revisions[name] = unmade(&service, known, name)
			continue
		}
		var r revision
		if err := decode(made[name], &r); err != nil {
			return out, err
		}
		out.Revisions[name], out.Made[name] = r.status(), true
	}
	out.URL, out.Backends = service.Status.URL, backends(s, made)
	for _, t := range service.Status.Traffic {
		if t.Tag != "" {
			out.TagURLs[t.Tag] = t.URL
		}
	}
	out.Routed = cluster.Condition{Status: metav1.ConditionUnknown, Reason: "Reconciling", Message: "Knative has not seen the last change yet"}
	if known {
		c := service.Status.Conditions.get("RoutesReady")
		out.Routed = cluster.Condition{Status: c.Status, Reason: c.Reason, Message: c.Message}
	}
	return out, nil
}

// Headers by which Knative's activator knows for which revision a request is that did not come by Knative's own ingress.
const (
	headerNamespace = "Knative-Serving-Namespace"
	headerRevision  = "Knative-Serving-Revision"
)

// backends are the Services that Knative makes of revisions, under their names. They lead to the activator or to the pods,
// whichever is right at the time.
func backends(s *cluster.Service, made map[string]*unstructured.Unstructured) []cluster.Backend {
	var out []cluster.Backend
	for _, t := range shares(s) {
		if t.Percent > 0 && made[t.Revision] != nil {
			out = append(out, cluster.Backend{Namespace: s.Namespace, Name: t.Revision, Port: 80, Weight: int32(t.Percent),
				Headers: map[string]string{headerNamespace: s.Namespace, headerRevision: t.Revision}})
		}
	}
	return out
}

// unmade is the state of a revision that Knative has not made: it may have refused to.
func unmade(s *observed, known bool, name string) run.Status {
	c := s.Status.Conditions.get(conditionConfigurations)
	if known && s.Spec.Template.Metadata.Name == name && c.Status == metav1.ConditionFalse {
		return run.Status{Phase: run.Failed, Reason: c.Reason, Message: c.Message}
	}
	return run.Status{Phase: run.Starting, Reason: "Creating"}
}

func (r *revision) status() run.Status {
	c := r.Status.Conditions.get(conditionReady)
	out := run.Status{Phase: phase(c), Reason: c.Reason, Message: c.Message, Desired: r.Status.DesiredReplicas, Ready: r.Status.ActualReplicas}
	if out.Phase == run.Failed && out.Reason == reasonDeadline {
		out.Reason = run.ReasonStartTimeout
	}
	if said := podstatus.Refusal(c.Message); out.Phase == run.Failed && said != podstatus.ReasonRefused {
		out.Reason = said // Knative passes the words on, with one reason for all
	}
	out.Starting = max(0, out.Desired-out.Ready)
	for _, s := range r.Status.ContainerStatuses {
		if _, digest, ok := strings.Cut(s.ImageDigest, "@"); ok && (s.Name == v1beta2.FunctionContainer || len(r.Status.ContainerStatuses) == 1) {
			out.ImageDigest = digest
		}
	}
	return out
}

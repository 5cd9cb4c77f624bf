package knative

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
)

func revisionWith(status, reason, digest string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "serving.knative.dev/v1", "kind": "Revision",
		"spec": map[string]any{"containerConcurrency": int64(9)},
		"status": map[string]any{"desiredReplicas": int64(3), "actualReplicas": int64(1),
			"conditions":        []any{map[string]any{"type": "Active", "status": "False"}, map[string]any{"type": "Ready", "status": status, "reason": reason, "message": "words"}},
			"containerStatuses": []any{map[string]any{"name": "function", "imageDigest": digest}}}}}
}

func failing(reason, message string) *unstructured.Unstructured {
	r := revisionWith("False", reason, "")
	_ = unstructured.SetNestedSlice(r.Object, []any{map[string]any{"type": "Ready", "status": "False", "reason": reason, "message": message}}, "status", "conditions")
	return r
}

func serviceWith(template string, generation, observed int64, configurations string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{"generation": generation},
		"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"name": template, "annotations": map[string]any{"made": "before"}}}},
		"status": map[string]any{"observedGeneration": observed, "conditions": []any{
			map[string]any{"type": "ConfigurationsReady", "status": configurations, "reason": "RevisionNameTaken", "message": "taken"},
			map[string]any{"type": "RoutesReady", "status": "True"}}}}}
}

func TestStatus(t *testing.T) {
	type revisions = map[string]*unstructured.Unstructured
	for name, test := range map[string]struct {
		service *unstructured.Unstructured
		made    revisions
		want    run.Status
		routed  metav1.ConditionStatus
	}{
		"ready": {serviceWith("fn-1", 2, 2, "True"), revisions{"fn-1": revisionWith("True", "", "r.example.com/x@sha256:1")},
			run.Status{Phase: run.Ready, Message: "words", Desired: 3, Ready: 1, Starting: 2, ImageDigest: "sha256:1"}, "True"},
		"deploying": {serviceWith("fn-1", 2, 2, "Unknown"), revisions{"fn-1": revisionWith("Unknown", "Deploying", "")},
			run.Status{Phase: run.Starting, Reason: "Deploying", Message: "words", Desired: 3, Ready: 1, Starting: 2}, "True"},
		"quota": {serviceWith("fn-1", 2, 2, "True"), revisions{"fn-1": failing("FailedCreate", "exceeded quota: small")},
			run.Status{Phase: run.Failed, Reason: "QuotaExceeded", Message: "exceeded quota: small", Desired: 3, Ready: 1, Starting: 2}, "True"},
		"too late": {serviceWith("fn-1", 2, 2, "True"), revisions{"fn-1": revisionWith("False", "ProgressDeadlineExceeded", "")},
			run.Status{Phase: run.Failed, Reason: run.ReasonStartTimeout, Message: "words", Desired: 3, Ready: 1, Starting: 2}, "True"},
		"never made":           {serviceWith("fn-1", 2, 2, "False"), nil, run.Status{Phase: run.Failed, Reason: "RevisionNameTaken", Message: "taken"}, "True"},
		"not made yet":         {serviceWith("fn-1", 2, 1, "False"), nil, run.Status{Phase: run.Starting, Reason: "Creating"}, "Unknown"},
		"another's turn first": {serviceWith("fn-0", 2, 2, "False"), nil, run.Status{Phase: run.Starting, Reason: "Creating"}, "True"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &cluster.Service{Name: "fn", Revisions: []cluster.Revision{{Name: "fn-1"}}}
			got, err := statusOf(s, test.service, test.made)
			if err != nil {
				t.Fatal(err)
			}
			if got.Revisions["fn-1"] != test.want || got.Routed.Status != test.routed {
				t.Errorf("got %+v, routed %s; want %+v, routed %s", got.Revisions["fn-1"], got.Routed.Status, test.want, test.routed)
			}
		})
	}
}

// A newer ofn may render a Serving otherwise; the revision that Knative has made of it must not change.
func TestTemplateOfARevisionThatIsThereStays(t *testing.T) {
	r := &cluster.Revision{Name: "fn-1", Annotations: map[string]string{"rendered": "now"}, Concurrency: 2}
	fresh, err := templateOf(r, nil, nil)
	if err != nil || fresh.Spec["containerConcurrency"] != float64(2) || fresh.Metadata.Annotations["rendered"] != "now" {
		t.Fatalf("got %+v, %v", fresh, err)
	}
	kept, err := templateOf(r, revisionWith("True", "", ""), serviceWith("fn-1", 1, 1, "True"))
	if err != nil || kept.Spec["containerConcurrency"] != int64(9) || kept.Metadata.Annotations["made"] != "before" {
		t.Errorf("got %+v, %v", kept, err)
	}
}

// Knative fills in more of a Revision than of a template that is changed; to apply that would be a change under the same name.
func TestTemplateIsNotFilledIn(t *testing.T) {
	r := &cluster.Revision{Name: "fn-2"}
	made := revisionWith("True", "", "")
	_ = unstructured.SetNestedField(made.Object, false, "spec", "enableServiceLinks")
	for concurrency, links := range map[int64]bool{9: false, 1: true} { // 1 is an edit by hand, to be undone
		current := serviceWith("fn-2", 1, 1, "True")
		_ = unstructured.SetNestedMap(current.Object, map[string]any{"containerConcurrency": concurrency}, "spec", "template", "spec")
		got, err := templateOf(r, made, current)
		if _, ok := got.Spec["enableServiceLinks"]; err != nil || got.Spec["containerConcurrency"] != int64(9) || ok != links {
			t.Errorf("where %d is there: got %+v, %v", concurrency, got, err)
		}
	}
}

// OpenFunction's frameworks want to know the name of their pod, and Knative does not say it.
func TestPodName(t *testing.T) {
	for want, env := range map[string][]corev1.EnvVar{"fn-1": nil, "said": {{Name: "POD_NAME", Value: "said"}}} {
		r := &cluster.Revision{Name: "fn-1", Pod: corev1.PodSpec{Containers: []corev1.Container{{Name: v1beta2.FunctionContainer, Env: env}, {Name: "other"}}}}
		got, err := templateOf(r, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(got.Spec["containers"])
		if err != nil || strings.Count(string(text), `{"name":"POD_NAME","value":"`+want+`"}`) != 1 || strings.Count(string(text), "POD_NAME") != 1 {
			t.Errorf("want POD_NAME=%s once, got %s (%v)", want, text, err)
		}
	}
}

func TestNext(t *testing.T) {
	there := revisionWith("True", "", "")
	revisions := []cluster.Revision{{Name: "fn-1", Made: true}, {Name: "fn-2", Made: true}, {Name: "fn-3"}, {Name: "fn-4"}}
	for name, test := range map[string]struct {
		made map[string]*unstructured.Unstructured
		want string
	}{
		"a new one":                  {map[string]*unstructured.Unstructured{"fn-1": there, "fn-2": there}, "fn-4"},
		"a routed one was deleted":   {map[string]*unstructured.Unstructured{"fn-2": there}, "fn-1"},
		"one without traffic was":    {map[string]*unstructured.Unstructured{"fn-1": there}, "fn-4"},
		"a refused one has no turn":  {map[string]*unstructured.Unstructured{"fn-1": there, "fn-2": there, "fn-4": there}, "fn-4"},
		"the service is a new start": {nil, "fn-1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &cluster.Service{Revisions: revisions, Traffic: []cluster.Share{{Revision: "fn-1", Percent: 50}, {Revision: "fn-3", Percent: 50}}}
			if got := next(s, test.made); got.Name != test.want {
				t.Errorf("got %s, want %s", got.Name, test.want)
			}
		})
	}
}

// Routes of the Gateway API lead to the Services of revisions, which need to know for which revision a request is.
func TestBackends(t *testing.T) {
	made := map[string]*unstructured.Unstructured{"fn-1": revisionWith("True", "", ""), "fn-2": revisionWith("True", "", "")}
	backend := func(revision string, weight int32) cluster.Backend {
		return cluster.Backend{Namespace: "ns", Name: revision, Port: 80, Weight: weight, Headers: map[string]string{"Knative-Serving-Namespace": "ns", "Knative-Serving-Revision": revision}}
	}
	for name, test := range map[string]struct {
		traffic []cluster.Share
		want    []cluster.Backend
	}{
		"the newest":                {nil, []cluster.Backend{backend("fn-2", 100)}},
		"divided":                   {[]cluster.Share{{Revision: "fn-1", Percent: 90}, {Revision: "fn-2", Percent: 10}}, []cluster.Backend{backend("fn-1", 90), backend("fn-2", 10)}},
		"only tagged, or not there": {[]cluster.Share{{Revision: "fn-1", Tag: "old"}, {Revision: "fn-0", Percent: 100}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := backends(&cluster.Service{Namespace: "ns", Name: "fn", Revisions: []cluster.Revision{{Name: "fn-1"}, {Name: "fn-2"}}, Traffic: test.traffic}, made)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

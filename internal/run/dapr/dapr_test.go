package dapr_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// One revision takes the events; the next is ready before it goes.
func TestOneRevisionIsLive(t *testing.T) {
	w := newWorld(t)
	first := service("fn-1", revision("fn-1"))
	if st := w.apply(first); st.Revisions["fn-1"].Phase != run.Starting || !st.Made["fn-1"] {
		t.Errorf("status %+v", st)
	}
	w.has("Deployment/fn-1")
	w.comesUp("fn-1")
	if st := w.apply(first); st.Revisions["fn-1"].Phase != run.Ready || st.Revisions["fn-1"].Ready != 1 {
		t.Errorf("status %+v", st.Revisions)
	}
	w.rests(first)
	second := service("fn-1", revision("fn-1", proven), revision("fn-2"))
	w.apply(second)
	w.has("Deployment/fn-1", "Deployment/fn-2")
	w.rests(second)
	w.comesUp("fn-2")
	if st := w.apply(second); st.Revisions["fn-2"].Phase != run.Ready {
		t.Errorf("status %+v", st.Revisions)
	}
	w.has("Deployment/fn-1", "Deployment/fn-2") // not yet: the traffic is still the first one's
	moved := service("fn-2", revision("fn-1", proven), revision("fn-2", proven))
	if st := w.apply(moved); st.Revisions["fn-1"].Phase != run.Ready || st.Revisions["fn-1"].Desired != 0 {
		t.Errorf("a revision without copies to which one may roll back is %+v", st.Revisions["fn-1"])
	}
	w.has("Deployment/fn-2")
	back := service("fn-1", revision("fn-1", proven), revision("fn-2", proven))
	w.apply(back)
	w.has("Deployment/fn-1", "Deployment/fn-2") // the former one goes on until this one is ready
	w.comesUp("fn-1")
	w.apply(back)
	w.has("Deployment/fn-1")
	if err := w.engine.Remove(t.Context(), "ns", "fn", back.Owner); err != nil {
		t.Fatal(err)
	}
	w.has()
}

// A program that ends soon after it began is ready in between.
func TestReadyForAMoment(t *testing.T) {
	w := newWorld(t)
	both := service("fn-1", revision("fn-1", proven), revision("fn-2"))
	w.apply(both)
	w.set("Deployment", "fn-2", int64(1), "status", "readyReplicas")
	if st := w.apply(both); st.Revisions["fn-2"].Phase != run.Starting {
		t.Errorf("status %+v", st.Revisions)
	}
	if n, _, _ := unstructured.NestedInt64(w.get("Deployment", "fn-2").Object, "spec", "minReadySeconds"); n == 0 {
		t.Error("what nobody calls is taken for ready at once")
	}
}

func TestWhatNeverWorkedDoesNotStay(t *testing.T) {
	w := newWorld(t)
	w.apply(service("fn-1", revision("fn-1"), revision("fn-2")))
	st := w.apply(service("fn-1", revision("fn-1"), revision("fn-2"), revision("fn-3")))
	w.has("Deployment/fn-1", "Deployment/fn-3")
	if _, known := st.Revisions["fn-2"]; known {
		t.Error("a revision that failed is said to stand otherwise now that it has no copies")
	}
}

func TestPinned(t *testing.T) {
	w := newWorld(t)
	s := service("fn-1", revision("fn-1", proven), revision("fn-2"))
	s.Pinned = true
	if st := w.apply(s); st.Revisions["fn-2"].Reason != "NotStarted" || st.Made["fn-2"] {
		t.Errorf("status %+v", st)
	}
	w.has("Deployment/fn-1")
	s.Traffic = append(s.Traffic, cluster.Share{Revision: "fn-2", Percent: 0, Tag: "next"})
	w.apply(s)
	w.has("Deployment/fn-1")
	s.Revisions[1].Made = true // it was tried before, and failed
	if _, known := w.apply(s).Revisions["fn-2"]; known {
		t.Error("a revision that failed is said to stand otherwise")
	}
}

func TestRepaired(t *testing.T) {
	w := newWorld(t)
	s := service("", revision("fn-1", proven, func(r *cluster.Revision) { r.HTTP = true; r.Scale = kafka("Secret") }))
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "login"}, Data: map[string][]byte{"password": nil, "username": nil}}
	if err := w.raw.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	all := []string{"Deployment/fn-1", "Service/fn", "ScaledObject/fn-1", "TriggerAuthentication/fn.login"}
	w.apply(s)
	w.has(all...)
	w.rests(s)
	w.set("Deployment", "fn-1", []any{map[string]any{"name": "function", "image": "another"}}, "spec", "template", "spec", "containers")
	w.set("Service", "fn", map[string]any{"app": "mine"}, "spec", "selector")
	w.set("ScaledObject", "fn-1", int64(99), "spec", "maxReplicaCount")
	w.set("TriggerAuthentication", "fn.login", []any{}, "spec", "secretTargetRef")
	w.apply(s)
	w.rests(s)
	if n, _, _ := unstructured.NestedInt64(w.get("ScaledObject", "fn-1").Object, "spec", "maxReplicaCount"); n != 7 {
		t.Error("maxReplicaCount is", n)
	}
	for _, each := range all {
		kind, name, _ := strings.Cut(each, "/")
		if err := w.raw.Delete(t.Context(), w.get(kind, name)); err != nil {
			t.Fatal(err)
		}
	}
	w.apply(s)
	w.has(all...)
	if err := w.engine.Remove(t.Context(), "ns", "fn", s.Owner); err != nil {
		t.Fatal(err)
	}
	w.has()
}

func TestForeignObjectsAreLeftAlone(t *testing.T) {
	mine := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn", Labels: map[string]string{v1beta2.LabelFunction: "fn", "openfunction.io/engine": "dapr"}}}
	w := newWorld(t, mine)
	s := service("", revision("fn-1", func(r *cluster.Revision) { r.HTTP = true }))
	refused := (*cluster.Refused)(nil)
	if _, err := w.engine.Apply(t.Context(), s); !errors.As(err, &refused) || refused.Reason != "NameTaken" {
		t.Errorf("got %v, want NameTaken", err)
	}
	if err := w.engine.Remove(t.Context(), "ns", "fn", s.Owner); err != nil {
		t.Fatal(err)
	}
	w.has("Service/fn")
}

func TestKindChanges(t *testing.T) {
	w := newWorld(t)
	for _, kind := range []string{"Deployment", "StatefulSet", "Job"} {
		name := "fn-" + strings.ToLower(kind)
		w.apply(service("", revision(name, func(r *cluster.Revision) { r.Workload = kind })))
		w.has(kind + "/" + name)
		w.rests(service("", revision(name, func(r *cluster.Revision) { r.Workload = kind })))
	}
	jobs := service("", revision("fn-4", func(r *cluster.Revision) { r.Workload = "Job"; r.Scale = kafka("") }))
	if err := w.raw.Create(t.Context(), authentication("login")); err != nil {
		t.Fatal(err)
	}
	w.apply(jobs)
	w.has("ScaledJob/fn-4", "TriggerAuthentication/login")
	w.rests(jobs)
	w.apply(service("", revision("fn-5", func(r *cluster.Revision) { r.Workload = "Job"; r.HTTP = true })))
	w.has("Deployment/fn-5", "Service/fn", "TriggerAuthentication/login")
}

// A ScaledJob takes the Jobs that it made with it.
func TestJobsFinishTheirWork(t *testing.T) {
	w := newWorld(t, authentication("login"))
	batch := func(r *cluster.Revision) { r.Workload = "Job"; r.Scale = kafka("TriggerAuthentication") }
	first := service("", revision("fn-1", batch, proven))
	first.Annotations = nil
	w.apply(first)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", Labels: map[string]string{v1beta2.LabelServing: "fn-1", "openfunction.io/engine": "dapr"}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	if err := w.raw.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	paused := func() string { return w.get("ScaledJob", "fn-1").GetAnnotations()["autoscaling.keda.sh/paused"] }
	both := service("fn-2", revision("fn-1", batch, proven), revision("fn-2", batch, proven))
	w.apply(both)
	w.has("ScaledJob/fn-1", "ScaledJob/fn-2", "TriggerAuthentication/login")
	if paused() != "true" {
		t.Error("a revision that goes still makes Jobs")
	}
	w.rests(both)
	if w.apply(first); paused() != "" {
		t.Error("a revision that is wanted again makes no Jobs")
	}
	w.rests(first)
	w.apply(both)
	pod.Status.Phase = corev1.PodSucceeded
	if err := w.raw.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	w.apply(both)
	w.has("ScaledJob/fn-2", "TriggerAuthentication/login")
}

func TestStatusOfScalers(t *testing.T) {
	said := func(kind, status string) []any {
		return []any{map[string]any{"type": kind, "status": status, "reason": "R", "message": "the broker is away"}}
	}
	for name, test := range map[string]struct {
		workload   string
		conditions []any
		proven     bool
		phase      run.Phase
		reason     string
	}{
		"ready":                  {"Deployment", said("Ready", "True"), true, run.Ready, ""},
		"a trigger fails":        {"Deployment", said("Ready", "False"), true, run.Ready, run.ReasonTriggerError},
		"fallback":               {"Deployment", said("Fallback", "True"), true, run.Ready, run.ReasonTriggerError},
		"some triggers fail":     {"Deployment", said("Ready", "Unknown"), true, run.Ready, run.ReasonTriggerError},
		"no measurements":        {"Deployment", said("HPAActive", "False"), true, run.Ready, run.ReasonTriggerError},
		"only just made":         {"Deployment", []any{map[string]any{"type": "Ready", "status": "Unknown"}}, true, run.Ready, ""},
		"jobs not taken in":      {"Job", nil, false, run.Starting, "Deploying"},
		"jobs":                   {"Job", said("Ready", "True"), false, run.Ready, ""},
		"jobs, a trigger fails":  {"Job", said("Ready", "False"), true, run.Ready, run.ReasonTriggerError},
		"jobs that never worked": {"Job", said("Ready", "False"), false, run.Starting, run.ReasonTriggerError},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, authentication("login"))
			s := service("", revision("fn-1", func(r *cluster.Revision) { r.Workload, r.Scale, r.Proven = test.workload, kafka(""), test.proven }))
			w.apply(s)
			scaler := "ScaledJob"
			if test.workload == "Deployment" {
				scaler = "ScaledObject"
				w.comesUp("fn-1")
			}
			w.set(scaler, "fn-1", test.conditions, "status", "conditions")
			got := w.apply(s).Revisions["fn-1"]
			if got.Phase != test.phase || got.Reason != test.reason || (test.reason == run.ReasonTriggerError) != strings.Contains(got.Message, "the broker is away") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestJobStatus(t *testing.T) {
	for name, test := range map[string]struct {
		status map[string]any
		phase  run.Phase
		reason string
	}{
		"new":    {map[string]any{"active": int64(1)}, run.Starting, "PodsStarting"},
		"runs":   {map[string]any{"active": int64(1), "ready": int64(1)}, run.Ready, ""},
		"done":   {map[string]any{"succeeded": int64(1)}, run.Ready, ""},
		"failed": {map[string]any{"failed": int64(7), "conditions": []any{map[string]any{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}}}, run.Failed, "BackoffLimitExceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := service("", revision("fn-1", func(r *cluster.Revision) { r.Workload = "Job" }))
			w.apply(s)
			w.set("Job", "fn-1", test.status, "status")
			if got := w.apply(s).Revisions["fn-1"]; got.Phase != test.phase || got.Reason != test.reason {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestCredentialsThatAreNotThere(t *testing.T) {
	w := newWorld(t)
	refused := (*cluster.Refused)(nil)
	for _, kind := range []string{"", "Secret"} {
		s := service("", revision("fn-1", func(r *cluster.Revision) { r.Scale = kafka(kind) }))
		if _, err := w.engine.Apply(t.Context(), s); !errors.As(err, &refused) || refused.Reason != "MissingReference" {
			t.Errorf("kind %q: got %v, want MissingReference", kind, err)
		}
	}
	w.has()
}

func TestWithoutKEDA(t *testing.T) {
	w := newWorld(t)
	w.keda = false
	s := service("", revision("fn-1", func(r *cluster.Revision) { r.Scale = &v1beta2.ScaleOptions{MinReplicas: new(int32(3))} }))
	w.apply(s)
	if n, _, _ := unstructured.NestedInt64(w.get("Deployment", "fn-1").Object, "spec", "replicas"); n != 3 {
		t.Error("replicas are", n)
	}
	if err := w.engine.Remove(t.Context(), "ns", "fn", s.Owner); err != nil {
		t.Fatal(err)
	}
	w.has()
	s.Revisions[0].Scale = kafka("")
	if got := w.apply(s).Revisions["fn-1"]; got.Reason != run.ReasonTriggerError {
		t.Errorf("got %+v", got)
	}
}

func authentication(name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.FromAPIVersionAndKind("keda.sh/v1alpha1", "TriggerAuthentication"))
	u.SetNamespace("ns")
	u.SetName(name)
	return u
}

// kafka is scaled by one trigger that logs in with something of the name "login".
func kafka(kind string) *v1beta2.ScaleOptions {
	return &v1beta2.ScaleOptions{MinReplicas: new(int32(0)), MaxReplicas: new(int32(7)), Keda: &v1beta2.KedaScaleOptions{
		Triggers: []v1beta2.KedaTrigger{{Type: "kafka", Metadata: map[string]string{"topic": "t"}, AuthenticationRef: &v1beta2.KedaAuthRef{Name: "login", Kind: kind}}}}}
}

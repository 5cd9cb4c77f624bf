package dapr_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/api/opaque"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// KEDA takes the copies of what has nothing to do at once: a revision that it scaled from the beginning would never be known to work.
func TestTriedBeforeItIsScaled(t *testing.T) {
	w := newWorld(t, authentication("login"))
	replicas := func(name string) any {
		n, _, _ := unstructured.NestedFieldNoCopy(w.get("Deployment", name).Object, "spec", "replicas")
		return n
	}
	scaled := func(r *cluster.Revision) { r.Scale = kafka("TriggerAuthentication") }
	first := service("", revision("fn-1", scaled))
	if st := w.apply(first); st.Revisions["fn-1"].Phase != run.Starting || replicas("fn-1") != int64(1) {
		t.Errorf("status %+v, replicas %v", st.Revisions, replicas("fn-1"))
	}
	w.has("Deployment/fn-1", "TriggerAuthentication/login")
	w.rests(first)
	w.comesUp("fn-1")
	if st := w.apply(first); st.Revisions["fn-1"].Phase != run.Ready || replicas("fn-1") != nil {
		t.Errorf("status %+v, replicas %v", st.Revisions, replicas("fn-1"))
	}
	w.has("Deployment/fn-1", "ScaledObject/fn-1", "TriggerAuthentication/login")

	// At zero, and after its Serving was said to have failed because KEDA was away, it is one that works.
	w.set("Deployment", "fn-1", int64(0), "spec", "replicas")
	w.set("Deployment", "fn-1", map[string]any{}, "status")
	if st := w.apply(first); st.Revisions["fn-1"].Phase != run.Ready || replicas("fn-1") != int64(0) {
		t.Errorf("at zero: status %+v, replicas %v", st.Revisions, replicas("fn-1"))
	}
	w.has("Deployment/fn-1", "ScaledObject/fn-1", "TriggerAuthentication/login")
	w.rests(first)
}

// No two ScaledObjects may have one autoscaler, and its name is the value of a label.
func TestAutoscalers(t *testing.T) {
	long := strings.Repeat("a", v1beta2.MaxFunctionName) + "-00001"
	for name, test := range map[string]struct{ revision, advanced, want string }{
		"KEDA's own name":  {"fn-00002", "", ""},
		"too long for it":  {long, `{"restoreToOriginalReplicaCount":true}`, long},
		"one of the user":  {"fn-00002", `{"horizontalPodAutoscalerConfig":{"name":"mine","behavior":{}}}`, "mine-00002"},
		"a long one":       {"fn-00002", `{"horizontalPodAutoscalerConfig":{"name":"` + strings.Repeat("b", 63) + `"}}`, strings.Repeat("b", 57) + "-00002"},
		"behavior without": {"fn-00002", `{"horizontalPodAutoscalerConfig":{"behavior":{}}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, authentication("login"))
			s := service("", revision(test.revision, proven, func(r *cluster.Revision) {
				r.Scale = kafka("TriggerAuthentication")
				if test.advanced != "" {
					r.Scale.Keda.ScaledObject = &v1beta2.KedaScaledObject{Advanced: &opaque.Object{}}
					if err := r.Scale.Keda.ScaledObject.Advanced.UnmarshalJSON([]byte(test.advanced)); err != nil {
						t.Fatal(err)
					}
				}
			}))
			w.apply(s)
			got, _, err := unstructured.NestedString(w.get("ScaledObject", test.revision).Object, "spec", "advanced", "horizontalPodAutoscalerConfig", "name")
			if got != test.want || err != nil {
				t.Errorf("its name is %q, want %q (%v)", got, test.want, err)
			}
			w.rests(s)
		})
	}
}

// A function listens where the platform says; Knative is not there to say it.
func TestPort(t *testing.T) {
	w := newWorld(t)
	w.apply(service("", revision("fn-1", func(r *cluster.Revision) { r.HTTP = true })))
	containers, _, err := unstructured.NestedSlice(w.get("Deployment", "fn-1").Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		t.Fatalf("containers %v (%v)", containers, err)
	}
	for _, e := range containers[0].(map[string]any)["env"].([]any) {
		if e := e.(map[string]any); e["name"] == "PORT" && e["value"] == "8080" {
			return
		}
	}
	t.Errorf("the function is not told its port: %v", containers)
}

// Of a server that refuses connections KEDA tells in the health of its metric alone.
func TestTriggerWithoutAnAnswer(t *testing.T) {
	w := newWorld(t, authentication("login"))
	s := service("", revision("fn-1", proven, func(r *cluster.Revision) { r.Scale = kafka("TriggerAuthentication") }))
	w.apply(s)
	for health, reason := range map[string]string{"Failing": run.ReasonTriggerError, "Happy": ""} {
		w.set("ScaledObject", "fn-1", map[string]any{"s0-kafka": map[string]any{"numberOfFailures": int64(1), "status": health}}, "status", "health")
		if got := w.apply(s).Revisions["fn-1"]; got.Phase != run.Ready || got.Reason != reason || strings.Contains(got.Message, "s0-kafka") != (reason != "") {
			t.Errorf("%s: it stands so: %+v", health, got)
		}
	}
}

package pods_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/pods"
)

func TestRevisionsTrafficAndRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.service(1)
	if st := w.apply(one); st.Revisions["fn-1"].Reason != "WaitingForGateway" || !st.Made["fn-1"] || st.Objects[pods.RefTemplate] != "fn" {
		t.Errorf("at first it stands so: %+v", st)
	}
	st := w.ready(one, "fn-1")
	if got := w.get("fn"); got != "fn-1" {
		t.Fatalf("the function answers %q", got)
	}
	if len(st.Backends) != 1 || st.Backends[0].Host != "fn.ns.svc.cluster.local" || st.Backends[0].Name != "ofn-gateway" {
		t.Errorf("routes would lead to %+v", st.Backends)
	}
	split := w.service(2, cluster.Share{Revision: "fn-1", Percent: 50}, cluster.Share{Revision: "fn-2", Percent: 50}, cluster.Share{Revision: "fn-2", Tag: "next"})
	w.apply(split)
	if st := w.ready(split, "fn-2"); st.TagURLs["next"] != "http://next-fn.ns.svc.cluster.local" {
		t.Errorf("the tag is at %v", st.TagURLs)
	}
	for range 10 {
		if got := w.get("next-fn"); got != "fn-2" {
			t.Fatalf("the tag answers %q", got)
		}
	}
	answers := map[string]int{}
	for range 40 {
		answers[w.get("fn")]++
	}
	if answers["fn-1"] == 0 || answers["fn-2"] == 0 {
		t.Errorf("half and half is %v", answers)
	}
	back := w.service(2, cluster.Share{Revision: "fn-1", Percent: 100})
	w.apply(back)
	if got := w.get("fn"); got != "fn-1" {
		t.Errorf("after the rollback the function answers %q", got)
	}
	w.gone("next-fn")
}

// TestDomain: where the gateway has a domain, functions and tags have addresses outside of the cluster.
func TestDomain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine = pods.New(w.client, w.client, pods.Options{GatewayNamespace: "openfunction", GatewayName: "ofn-gateway", ClusterDomain: "cluster.local", Domain: "Fn.example.com:8080"})
	st := w.apply(w.service(1, cluster.Share{Revision: "fn-1", Percent: 100}, cluster.Share{Revision: "fn-1", Tag: "next"}))
	if st.URL != "http://fn.ns.fn.example.com:8080/" || st.TagURLs["next"] != "http://next-fn.ns.fn.example.com:8080/" {
		t.Errorf("the addresses are %q and %v", st.URL, st.TagURLs)
	}
}

// gone checks that a name that is not wanted any more has gone, and nothing else has.
func (w *world) gone(name string) {
	w.Helper()
	var list corev1.ServiceList
	if err := w.client.List(w.Context(), &list); err != nil {
		w.Fatal(err)
	}
	for _, s := range list.Items {
		if s.Name == name {
			w.Errorf("service %s is still there", name)
		}
	}
	if len(list.Items) != 1 {
		w.Errorf("there are %d services, want one", len(list.Items))
	}
}

func TestToZeroAndFromZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(1)
	s.Revisions[0].Annotations["autoscaling.knative.dev/window"] = "6s"
	w.apply(s)
	w.ready(s, "fn-1")
	w.eventually(func() string { // it is proven, and nobody calls it
		if there := w.driver.Pods("ns", "fn-1"); len(there) != 0 {
			return fmt.Sprintf("there still are %v", there)
		}
		return ""
	})
	if st := w.ready(s, "fn-1"); st.Revisions["fn-1"].Phase != run.Ready {
		t.Errorf("at zero it stands so: %+v", st.Revisions["fn-1"])
	}
	if got := w.get("fn"); got != "fn-1" {
		t.Errorf("from zero the function answers %q", got)
	}
}

func TestPodOfARevision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(w.service(1))
	p := &corev1.PodTemplate{}
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "fn-1"}, p); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, e := range p.Template.Spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	if env["PORT"] != fmt.Sprint(w.port) || env["K_SERVICE"] != "fn" || env["K_REVISION"] != "fn-1" || env["A"] != "b" {
		t.Errorf("the environment is %v", env)
	}
	if _, ok := env["POD_NAME"]; !ok {
		t.Error("the function is not told the name of its pod")
	}
	if p.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("the restart policy is %s", p.Template.Spec.RestartPolicy)
	}
	r, err := pods.Revision(p)
	if err != nil || !r.Reachable || r.Proven || r.Function != "fn" || r.Port != w.port || len(r.Annotations) != 1 {
		t.Errorf("the gateway reads %+v, %v", r, err)
	}
}

func TestInvalidRevision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(1)
	s.Revisions[0].Annotations["autoscaling.knative.dev/min-scale"] = "many"
	w.apply(s)
	w.eventually(func() string {
		st, err := w.engine.Apply(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if r := st.Revisions["fn-1"]; r.Phase != run.Failed || r.Reason != "InvalidRevision" || !strings.Contains(r.Message, `"many"`) {
			return fmt.Sprintf("it stands so: %+v", r)
		}
		return ""
	})
}

// The name may still be another engine's, which leaves it when the function runs.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.client.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn"}}); err != nil {
		t.Fatal(err)
	}
	st := w.apply(w.service(1))
	if st.Routed.Status != metav1.ConditionFalse || st.Routed.Reason != "NameTaken" {
		t.Errorf("routed is %+v", st.Routed)
	}
	if st.Again == 0 {
		t.Error("it is not tried again, although nothing tells when the name is free")
	}
	w.ready(w.service(1), "fn-1")
}

func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(1)
	w.apply(s)
	w.ready(s, "fn-1")
	if err := w.engine.Remove(t.Context(), "ns", "fn", s.Owner); err != nil {
		t.Fatal(err)
	}
	w.changed <- run.Key{Namespace: "ns", Name: "fn-1"}
	if _, err := w.follower.Service(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "ns", Name: "fn"}}); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() string {
		left := len(w.driver.Pods("ns", "fn-1"))
		for _, o := range pods.Kinds() {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
			if err := w.client.List(t.Context(), list); err != nil {
				return err.Error()
			}
			left += len(list.Items)
		}
		if left > 0 {
			return fmt.Sprintf("%d objects are left", left)
		}
		return ""
	})
	if got := w.get("fn"); got != "404 Not Found" {
		t.Errorf("a removed function answers %q", got)
	}
}

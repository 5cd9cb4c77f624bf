package serve_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/function/serve"
)

// world is one function and its revisions.
type world struct {
	t  *testing.T
	c  *controltest.Client
	fn *v1beta2.Function
	p  *serve.Phase
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	c := controltest.New(t, objects...)
	fn := &v1beta2.Function{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn", UID: "u1", Generation: 1},
		Spec:       v1beta2.FunctionSpec{Image: "registry:5000/fn:v1", Serving: &v1beta2.FunctionServing{}},
		Status:     v1beta2.FunctionStatus{Build: &v1beta2.StageStatus{State: v1beta2.StateSkipped}},
	}
	return &world{t: t, c: c, fn: fn, p: serve.New(c)}
}

func (w *world) reconcile() {
	w.t.Helper()
	if _, err := w.p.Reconcile(context.Background(), w.fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) serving(name string) *v1beta2.Serving {
	w.t.Helper()
	return controltest.Read(w.t, w.c.Raw, "ns", name, &v1beta2.Serving{})
}

func (w *world) state(name string, state v1beta2.State) {
	w.t.Helper()
	s := w.serving(name)
	controltest.WriteStatus(w.t, w.c.Raw, s, func() { s.Status.State, s.Status.Service = state, name })
}

// revise makes another revision and brings it into the state.
func (w *world) revise(state v1beta2.State) string {
	w.t.Helper()
	w.fn.Spec.Serving.Params = map[string]string{"N": fmt.Sprint(len(w.fn.Spec.Serving.Params["N"]), w.fn.Status.LatestCreatedRevision)}
	w.reconcile()
	name := w.fn.Status.LatestCreatedRevision
	if state != v1beta2.StateNone {
		w.state(name, state)
		w.reconcile()
	}
	return name
}

func (w *world) want(names ...string) {
	w.t.Helper()
	var all v1beta2.ServingList
	if err := w.c.Raw.List(context.Background(), &all); err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for _, s := range all.Items {
		got = append(got, s.Name)
	}
	if !slices.Equal(got, names) {
		w.t.Fatalf("revisions are %v, want %v", got, names)
	}
}

func (w *world) served(status metav1.ConditionStatus, reason string) {
	w.t.Helper()
	c := condition.Get(w.fn.Status.Conditions, v1beta2.ConditionServed)
	if c == nil || c.Status != status || c.Reason != reason {
		w.t.Fatalf("Served is %+v, want %s %s", c, status, reason)
	}
}

// traffic is the division of the status, as "revision=percent#tag".
func (w *world) traffic(want ...string) {
	w.t.Helper()
	var got []string
	for _, t := range w.fn.Status.Traffic {
		got = append(got, fmt.Sprintf("%s=%d#%s", t.RevisionName, t.Percent, t.Tag))
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("traffic is %v, want %v", got, want)
	}
}

func (w *world) delete(name string) {
	w.t.Helper()
	if err := w.c.Raw.Delete(context.Background(), w.serving(name)); err != nil {
		w.t.Fatal(err)
	}
}

func TestFirstRevision(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.want("fn-00001")
	w.served("Unknown", "RevisionStarting")
	w.traffic("fn-00001=100#") // its first requests wait for it
	if w.fn.Status.Serving.State != v1beta2.StateCreated || w.fn.Status.LatestReadyRevision != "" || w.fn.Status.LatestCreatedRevision != "fn-00001" {
		t.Errorf("status is %+v", w.fn.Status)
	}
	s := w.serving("fn-00001")
	if s.Labels[v1beta2.LabelFunction] != "fn" || !metav1.IsControlledBy(s, w.fn) || s.Spec.Image != "registry:5000/fn:v1" {
		t.Errorf("serving is %+v", s)
	}
	w.state("fn-00001", v1beta2.StateRunning)
	writes := w.c.Writes
	w.reconcile()
	before := w.fn.Status.DeepCopy()
	w.reconcile()
	w.served("True", "RevisionReady")
	if w.fn.Status.LatestReadyRevision != "fn-00001" || w.fn.Status.Serving.State != v1beta2.StateRunning ||
		w.fn.Status.Serving.Service != "fn-00001" || w.fn.Status.Serving.LastSuccessfulResourceRef != "fn-00001" {
		t.Errorf("status is %+v", w.fn.Status)
	}
	if w.c.Writes != writes || !equality.Semantic.DeepEqual(*before, w.fn.Status) {
		t.Error("does not come to rest")
	}
}

func TestWhatMakesARevision(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*v1beta2.Function)
		revises bool
	}{
		"image":       {func(f *v1beta2.Function) { f.Spec.Image = "other" }, true},
		"params":      {func(f *v1beta2.Function) { f.Spec.Serving.Params = map[string]string{"A": "b"} }, true},
		"version":     {func(f *v1beta2.Function) { f.Spec.Version = new("v2") }, true},
		"credentials": {func(f *v1beta2.Function) { f.Spec.ImageCredentials = nil; f.Spec.Serving.WorkloadType = "Job" }, true},
		"traffic": {func(f *v1beta2.Function) {
			f.Spec.Serving.Traffic = []v1beta2.TrafficTarget{{RevisionName: "fn-00001", Percent: new(int64(100))}}
		}, false},
		"history":    {func(f *v1beta2.Function) { f.Spec.Serving.RevisionHistoryLimit = new(int32(1)) }, false},
		"annotation": {func(f *v1beta2.Function) { f.Annotations = map[string]string{"a": "b"} }, false},
		"build":      {func(f *v1beta2.Function) { f.Spec.Build = &v1beta2.BuildTemplate{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reconcile()
			test.change(w.fn)
			w.reconcile()
			if got := w.fn.Status.LatestCreatedRevision == "fn-00002"; got != test.revises {
				t.Errorf("the newest is %s", w.fn.Status.LatestCreatedRevision)
			}
		})
	}
}

func TestImageOfABuild(t *testing.T) {
	w := newWorld(t)
	w.fn.Spec.Build = &v1beta2.BuildTemplate{}
	w.fn.Status.Build = &v1beta2.StageStatus{State: v1beta2.StateBuilding}
	w.reconcile()
	w.want()
	w.served("Unknown", "WaitingForImage")
	w.fn.Status.Build.State = v1beta2.StateSucceeded
	w.fn.Status.Revision = &v1beta2.ImageRevision{ImageDigest: "sha256:1"}
	w.reconcile()
	if got := w.serving("fn-00001").Spec.Image; got != "registry:5000/fn:v1@sha256:1" {
		t.Errorf("runs %s", got)
	}
	w.state("fn-00001", v1beta2.StateRunning)
	w.fn.Status.Build.State = v1beta2.StateBuilding
	w.fn.Spec.Serving.Params = map[string]string{"A": "b"}
	w.reconcile()
	w.want("fn-00001") // not before the image is there
	w.served("True", "RevisionReady")
	w.fn.Status.Build.State = v1beta2.StateSucceeded
	w.fn.Status.Revision.ImageDigest = "sha256:2"
	w.reconcile()
	w.want("fn-00001", "fn-00002")
	w.fn.Spec.Build, w.fn.Status.Revision, w.fn.Status.Build.State = nil, nil, v1beta2.StateSkipped
	w.fn.Spec.Image = "given@sha256:9"
	w.reconcile()
	if got := w.serving("fn-00003").Spec.Image; got != "given@sha256:9" {
		t.Errorf("runs %s", got)
	}
}

// What is known of the user that an image runs as is kept with its revision: the Builder may go.
func TestUserOfAnImage(t *testing.T) {
	for name, test := range map[string]struct {
		engine     string
		dockerfile *string
		want       string
	}{
		"ofn, in a Job":       {engine: v1beta2.BuildEngineJob, want: v1beta2.ImageUserNonroot},
		"ofn, by Tekton":      {engine: v1beta2.BuildEngineTekton, want: v1beta2.ImageUserNonroot},
		"a Dockerfile":        {engine: v1beta2.BuildEngineTekton, dockerfile: new("Dockerfile")},
		"Shipwright":          {engine: v1beta2.BuildEngineShipwright},
		"on one machine":      {},
		"its Builder is gone": {engine: "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &v1beta2.Builder{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn-build-00001"}}
			b.Status.ResourceRef = map[string]string{v1beta2.RefBuildEngine: test.engine}
			if test.engine == "gone" {
				b.Name = "another"
			}
			w := newWorld(t, b)
			w.fn.Annotations = map[string]string{"mine": "yes"}
			w.fn.Spec.Build = &v1beta2.BuildTemplate{Dockerfile: test.dockerfile}
			w.fn.Status.Build = &v1beta2.StageStatus{State: v1beta2.StateSucceeded, ResourceRef: "fn-build-00001"}
			w.reconcile()
			got := w.serving("fn-00001").Annotations
			if got[v1beta2.AnnotationImageUser] != test.want || got["mine"] != "yes" {
				t.Errorf("the revision has the annotations %v", got)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.state("fn-00001", v1beta2.StateRunning)
	w.reconcile()
	w.revise(v1beta2.StateNone)
	w.traffic("fn-00001=100#")
	w.served("Unknown", "RevisionStarting")
	w.state("fn-00002", v1beta2.StateFailed)
	w.reconcile()
	w.traffic("fn-00001=100#") // a broken revision takes nothing
	w.served("False", "RevisionFailed")
	w.revise(v1beta2.StateRunning)
	w.traffic("fn-00003=100#")
	w.state("fn-00001", v1beta2.StateRunning)
	w.state("fn-00002", v1beta2.StateRunning) // late, and no reason to go back
	w.reconcile()
	w.traffic("fn-00003=100#")
	w.state("fn-00003", v1beta2.StateFailed) // it crashes now; it had proven itself
	w.reconcile()
	w.traffic("fn-00003=100#")
	w.served("False", "RevisionFailed")
	if w.fn.Status.Serving.LastSuccessfulResourceRef != "fn-00003" {
		t.Errorf("last good one is %s", w.fn.Status.Serving.LastSuccessfulResourceRef)
	}
}

// Names of one word lengths: the tenth revision is newer than the ninth, the hundred-thousandth than both.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	w.fn.Status.LatestCreatedRevision = "fn-99998"
	for range 3 {
		w.revise(v1beta2.StateRunning)
	}
	w.traffic("fn-100001=100#")
	if w.fn.Status.LatestReadyRevision != "fn-100001" {
		t.Errorf("latest is %s", w.fn.Status.LatestReadyRevision)
	}
}

func TestDeletedRevision(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.state("fn-00001", v1beta2.StateRunning)
	w.reconcile()
	w.delete("fn-00001")
	w.reconcile()
	w.want("fn-00001") // the same specification, the same name
	w.served("Unknown", "RevisionStarting")
	w.state("fn-00001", v1beta2.StateRunning)
	w.revise(v1beta2.StateRunning)
	w.delete("fn-00001")
	w.reconcile()
	w.want("fn-00002") // an old one is history and not made again
	w.served("True", "RevisionReady")
}

func TestCacheBehind(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.state("fn-00001", v1beta2.StateRunning)
	w.reconcile()
	w.revise(v1beta2.StateNone)
	w.c.Hidden[types.NamespacedName{Namespace: "ns", Name: "fn-00002"}] = true
	result, err := w.p.Reconcile(context.Background(), w.fn)
	if err != nil || result.RequeueAfter == 0 {
		t.Errorf("result %+v, error %v", result, err)
	}
	w.want("fn-00001", "fn-00002")
	w.served("Unknown", "Creating") // and not "the latest is ready"
	w.traffic("fn-00001=100#")
}

func target(name string, percent int64, tag string) v1beta2.TrafficTarget {
	return v1beta2.TrafficTarget{RevisionName: name, LatestRevision: new(name == ""), Percent: new(percent), Tag: tag}
}

func TestTraffic(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.state("fn-00001", v1beta2.StateRunning)
	w.reconcile()
	w.revise(v1beta2.StateRunning)
	for _, test := range []struct {
		targets []v1beta2.TrafficTarget
		want    []string
		reason  string
	}{
		{[]v1beta2.TrafficTarget{target("fn-00001", 90, ""), target("", 10, "next")}, []string{"fn-00001=90#", "fn-00002=10#next"}, "RevisionReady"},
		{[]v1beta2.TrafficTarget{target("fn-00001", 100, "")}, []string{"fn-00001=100#"}, "RevisionReady"},
		{[]v1beta2.TrafficTarget{target("fn-00001", 50, ""), target("fn-00009", 50, "")}, []string{"fn-00001=50#"}, "RevisionMissing"},
		{[]v1beta2.TrafficTarget{target("fn-00009", 100, "")}, []string{"fn-00001=50#"}, "RevisionMissing"},
		{[]v1beta2.TrafficTarget{{RevisionName: "fn-00001", Tag: "old"}, target("", 100, "")}, []string{"fn-00001=0#old", "fn-00002=100#"}, "RevisionReady"},
		{nil, []string{"fn-00002=100#"}, "RevisionReady"},
	} {
		w.fn.Spec.Serving.Traffic = test.targets
		w.reconcile()
		w.traffic(test.want...)
		status := metav1.ConditionTrue
		if test.reason != "RevisionReady" {
			status = metav1.ConditionFalse
		}
		w.served(status, test.reason)
		before := w.fn.Status.DeepCopy()
		condition.Get(before.Conditions, v1beta2.ConditionServed).LastTransitionTime = metav1.Unix(1, 0)
		w.fn.Status = *before.DeepCopy()
		w.reconcile()
		if !equality.Semantic.DeepEqual(*before, w.fn.Status) {
			t.Errorf("%+v does not come to rest:\n%+v\n%+v", test.targets, *before, w.fn.Status)
		}
	}
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	w.fn.Spec.Serving.RevisionHistoryLimit = new(int32(1))
	w.fn.Spec.Serving.Traffic = []v1beta2.TrafficTarget{target("", 100, ""), {RevisionName: "fn-00001", Tag: "first"}}
	for range 3 {
		w.revise(v1beta2.StateRunning)
	}
	w.reconcile()
	w.want("fn-00001", "fn-00002", "fn-00003")
	for range 3 {
		w.revise(v1beta2.StateFailed)
	}
	w.reconcile()
	// tagged; the one to roll back to; taking the traffic; the failed attempts that are kept
	w.want("fn-00001", "fn-00002", "fn-00003", "fn-00005", "fn-00006")
}

// Requests go to the old revision until the router, in the phase after this one, has moved them.
func TestPruneAfterTheRouter(t *testing.T) {
	w := newWorld(t)
	w.fn.Spec.Serving.RevisionHistoryLimit = new(int32(0))
	w.revise(v1beta2.StateRunning)
	w.fn.Spec.Serving.Params = map[string]string{"A": "b"}
	w.reconcile()
	w.state("fn-00002", v1beta2.StateRunning)
	w.reconcile()
	w.traffic("fn-00002=100#")
	w.want("fn-00001", "fn-00002")
	w.reconcile()
	w.want("fn-00002")
}

func TestServingRemoved(t *testing.T) {
	w := newWorld(t)
	w.revise(v1beta2.StateRunning)
	w.revise(v1beta2.StateRunning)
	w.fn.Spec.Serving = nil
	w.reconcile()
	w.want()
	s := w.fn.Status
	if s.Serving.State != v1beta2.StateSkipped || s.Traffic != nil || s.LatestReadyRevision != "" || condition.Get(s.Conditions, v1beta2.ConditionServed) != nil {
		t.Errorf("status is %+v", s)
	}
	if err := w.p.Gone(context.Background(), "ns", "fn"); err != nil {
		t.Error(err)
	}
}

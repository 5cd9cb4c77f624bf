package run_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/api/opaque"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	control "github.com/openfunction/ofn/internal/control/serving/run"
	"github.com/openfunction/ofn/internal/run"
)

// runner remembers what was applied and answers with the status that the test sets.
type runner struct {
	mu      sync.Mutex
	applied map[run.Key]run.Revision
	status  map[run.Key]run.Status
	refuse  error
	changed func(run.Key)
}

func (r *runner) Apply(_ context.Context, rev run.Revision) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	r.applied[rev.Key] = rev
	if _, ok := r.status[rev.Key]; !ok {
		r.status[rev.Key] = run.Status{Phase: run.Starting, Reason: "Starting"}
		if rev.Proven {
			r.status[rev.Key] = run.Status{Phase: run.Ready}
		}
	}
	return nil
}

func (r *runner) Delete(_ context.Context, k run.Key) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.applied, k)
	delete(r.status, k)
	return r.refuse
}

func (r *runner) Status(_ context.Context, k run.Key) (run.Status, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.status[k]
	return s, ok
}

func (r *runner) Watch(_ context.Context, changed func(run.Key)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = changed
}

type world struct {
	t    *testing.T
	c    *controltest.Client
	r    *runner
	k    *control.Controller
	gone []run.Key
}

var key = run.Key{Namespace: "ns", Name: "fn-00001"}

var request = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "fn-00001"}}

func serving(t *testing.T, template string, change ...func(*v1beta2.Serving)) *v1beta2.Serving {
	t.Helper()
	s := &v1beta2.Serving{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn-00001", UID: "u1", Generation: 1, Labels: map[string]string{v1beta2.LabelFunction: "fn"}}}
	s.Spec.Image = "ghcr.io/o/fn@sha256:1"
	if template != "" {
		s.Spec.Template = &opaque.Object{}
		if err := s.Spec.Template.UnmarshalJSON([]byte(template)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{t: t, c: controltest.New(t, objects...), r: &runner{applied: map[run.Key]run.Revision{}, status: map[run.Key]run.Status{}}}
	w.start()
	return w
}

// start is the platform's: a controller without memory over the same objects.
func (w *world) start() {
	w.k = control.NewController(w.c, control.Options{Runner: w.r, Log: slog.New(slog.DiscardHandler), StartTimeout: 7 * time.Second, Gone: func(k run.Key) { w.gone = append(w.gone, k) }})
}

func (w *world) reconcile() reconcile.Result {
	w.t.Helper()
	result, err := w.k.Reconcile(context.Background(), request)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

// rest reconciles until nothing is written any more.
func (w *world) rest() {
	w.t.Helper()
	for range 3 {
		writes := w.c.Writes
		w.reconcile()
		if w.c.Writes == writes {
			return
		}
	}
	w.t.Fatal("the revision does not come to rest")
}

func (w *world) serving() *v1beta2.Serving {
	w.t.Helper()
	return controltest.Read(w.t, w.c.Raw, "ns", "fn-00001", &v1beta2.Serving{})
}

func (w *world) set(s run.Status) {
	w.r.mu.Lock()
	w.r.status[key] = s
	w.r.mu.Unlock()
	w.rest()
}

func (w *world) want(state v1beta2.State, ready metav1.ConditionStatus, reason, message string) {
	w.t.Helper()
	s := w.serving().Status
	c := condition.Get(s.Conditions, v1beta2.ConditionReady)
	if s.State != state || s.Phase != v1beta2.PhaseServing || c == nil || c.Status != ready || s.Reason != reason || !strings.Contains(s.Message, message) || s.ObservedGeneration != 1 {
		w.t.Fatalf("status is %+v, want %s, Ready %s, %s %q", s, state, ready, reason, message)
	}
}

func TestStates(t *testing.T) {
	timed := func(s *v1beta2.Serving) { s.Spec.Timeout = &metav1.Duration{Duration: time.Second} }
	untimed := func(s *v1beta2.Serving) { s.Spec.Timeout = &metav1.Duration{} }
	none := func(*v1beta2.Serving) {}
	for _, test := range []struct {
		change func(*v1beta2.Serving)
		status run.Status
		state  v1beta2.State
		ready  metav1.ConditionStatus
	}{
		{none, run.Status{Phase: run.Starting, Reason: "Starting"}, v1beta2.StateStarting, "Unknown"},
		{none, run.Status{Phase: run.Ready}, v1beta2.StateRunning, "True"},
		{none, run.Status{Phase: run.Failed, Reason: "ContainerCrashed", Message: "exit code 1"}, v1beta2.StateFailed, "False"},
		{timed, run.Status{Phase: run.Failed, Reason: "ContainerCrashed"}, v1beta2.StateFailed, "False"},
		{timed, run.Status{Phase: run.Failed, Reason: run.ReasonStartTimeout}, v1beta2.StateTimeout, "False"},
		{timed, run.Status{Phase: run.Failed, Reason: run.ReasonNotListening}, v1beta2.StateTimeout, "False"},
		{timed, run.Status{Phase: run.Failed, Reason: run.ReasonNotReady}, v1beta2.StateTimeout, "False"},
		{timed, run.Status{Phase: run.Starting, Reason: run.ReasonNotReady}, v1beta2.StateStarting, "Unknown"},
		{none, run.Status{Phase: run.Failed, Reason: run.ReasonNotListening}, v1beta2.StateFailed, "False"},
		{untimed, run.Status{Phase: run.Failed, Reason: run.ReasonNotListening}, v1beta2.StateFailed, "False"},
		{none, run.Status{Phase: run.Failed, Reason: "not a word", Message: strings.Repeat("x", 50000)}, v1beta2.StateFailed, "False"},
	} {
		w := newWorld(t, serving(t, "", test.change))
		w.reconcile()
		w.set(test.status)
		w.want(test.state, test.ready, test.status.Reason, test.status.Message)
	}
	w := newWorld(t, serving(t, ""))
	w.reconcile()
	w.set(run.Status{Phase: run.Ready, Ready: 2, Starting: 1, ImageDigest: "sha256:1"})
	if s := w.serving().Status; s.Service != "fn-00001" || s.Replicas != 3 || s.ReadyReplicas != 2 || s.ImageDigest != "sha256:1" {
		t.Errorf("status is %+v", s)
	}
}

func TestReachability(t *testing.T) {
	fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn"}}
	w := newWorld(t, serving(t, ""), fn)
	reachable := func(want bool, change func(*v1beta2.FunctionStatus)) {
		t.Helper()
		fn = controltest.Read(t, w.c.Raw, "ns", "fn", fn)
		controltest.WriteStatus(t, w.c.Raw, fn, func() { change(&fn.Status) })
		w.reconcile()
		if got := w.r.applied[key].Reachable; got != want {
			t.Errorf("reachable is %v with %+v", got, fn.Status)
		}
	}
	reachable(false, func(*v1beta2.FunctionStatus) {})
	reachable(true, func(s *v1beta2.FunctionStatus) { s.LatestCreatedRevision = "fn-00001" }) // it is to prove itself
	w.set(run.Status{Phase: run.Ready})
	reachable(false, func(*v1beta2.FunctionStatus) {})
	reachable(true, func(s *v1beta2.FunctionStatus) {
		s.Traffic = []v1beta2.TrafficStatus{{RevisionName: "fn-00001", Tag: "t"}}
	})
	reachable(false, func(s *v1beta2.FunctionStatus) {
		s.LatestCreatedRevision, s.Traffic = "fn-00002", []v1beta2.TrafficStatus{{RevisionName: "fn-00002", Percent: 100}}
	})
	if !w.r.applied[key].Proven {
		t.Error("has to prove itself again")
	}
}

func TestRefusedByTheRunner(t *testing.T) {
	w := newWorld(t, serving(t, ""))
	w.r.refuse = errors.New("runtime class gvisor is not known here")
	if result := w.reconcile(); result.RequeueAfter == 0 {
		t.Errorf("result is %+v", result)
	}
	w.rest()
	w.want(v1beta2.StateFailed, "False", "InvalidRevision", "gvisor")
	w.r.refuse = nil
	w.rest()
	w.want(v1beta2.StateStarting, "Unknown", "Starting", "")
}

func TestMissingSecret(t *testing.T) {
	template := `{"containers": [{"name": "function", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]}`
	w := newWorld(t, serving(t, template))
	if result := w.reconcile(); result.RequeueAfter == 0 {
		t.Errorf("result is %+v", result)
	}
	w.rest()
	w.want(v1beta2.StateFailed, "False", "MissingReference", `secret "s" is not in namespace "ns"`)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Data: map[string][]byte{"k": []byte("v")}}
	if err := w.c.Raw.Create(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	w.rest()
	w.set(run.Status{Phase: run.Ready})
	w.want(v1beta2.StateRunning, "True", "", "")
	// What runs goes on running without it, and says what it lacks.
	if err := w.c.Raw.Delete(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	w.rest()
	w.want(v1beta2.StateRunning, "True", "MissingReference", `secret "s"`)
	// After a restart nothing runs.
	w.r = &runner{applied: map[run.Key]run.Revision{}, status: map[run.Key]run.Status{}}
	w.start()
	w.rest()
	w.want(v1beta2.StateFailed, "False", "MissingReference", `secret "s"`)
}

func TestUnreadable(t *testing.T) {
	w := newWorld(t, serving(t, `{"containers": 1}`))
	w.rest()
	w.want(v1beta2.StateFailed, "False", "InvalidTemplate", "template")
}

func TestRemoval(t *testing.T) {
	w := newWorld(t, serving(t, ""))
	w.reconcile()
	if err := w.c.Raw.Delete(context.Background(), w.serving()); err != nil {
		t.Fatal(err)
	}
	w.r.refuse = errors.New("cannot stop")
	if _, err := w.k.Reconcile(context.Background(), request); !errors.Is(err, w.r.refuse) {
		t.Errorf("error is %v", err)
	}
	w.r.refuse = nil
	w.reconcile()
	if len(w.r.applied) != 0 || len(w.gone) != 1 || w.gone[0] != key {
		t.Errorf("applied %v, gone %v", w.r.applied, w.gone)
	}
}

func TestBeingRemoved(t *testing.T) {
	w := newWorld(t, serving(t, "", func(s *v1beta2.Serving) { s.Finalizers = []string{"a/b"} }))
	w.reconcile()
	if err := w.c.Raw.Delete(context.Background(), w.serving()); err != nil {
		t.Fatal(err)
	}
	w.reconcile()
	if len(w.r.applied) != 0 {
		t.Errorf("applied %v", w.r.applied)
	}
}

// Events of the runner, and what changed before it was watched, reach the queue; Start ends with its context although nobody
// reads them.
func TestWakes(t *testing.T) {
	w := newWorld(t, serving(t, ""))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.k.Start(ctx) }()
	if got := <-control.Changed(w.k); got.Object.GetName() != "fn-00001" {
		t.Errorf("queued %s", got.Object.GetName())
	}
	for i := range 5000 {
		w.r.changed(run.Key{Namespace: "ns", Name: string(rune('a' + i%26))})
	}
	seen := map[string]bool{}
	for len(seen) < 26 {
		seen[(<-control.Changed(w.k)).Object.GetName()] = true
	}
	for i := range 5000 { // more than the queue holds
		w.r.changed(run.Key{Namespace: "ns", Name: string(rune('a' + i))})
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

package run_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/builder/run"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
)

// attempt is one call of the strategy, which ends as the test says or when it is cancelled.
type attempt struct {
	request build.Request
	end     chan outcome
}

type outcome struct {
	result build.Result
	err    error
}

// strategy hands its calls to the test. A stubborn one takes no notice of its cancellation.
type strategy struct {
	began    chan *attempt
	stubborn bool
}

func (s *strategy) Build(ctx context.Context, r build.Request, log io.Writer) (build.Result, error) {
	fmt.Fprintln(log, "building")
	a := &attempt{request: r, end: make(chan outcome, 1)}
	s.began <- a
	done := ctx.Done()
	if s.stubborn {
		done = nil
	}
	select {
	case o := <-a.end:
		return o.result, o.err
	case <-done:
		return build.Result{}, fmt.Errorf("stopped: %w", ctx.Err())
	}
}

type world struct {
	t     *testing.T
	c     *controltest.Client
	s     *strategy
	clock *clocktesting.FakeClock
	k     *run.Controller
	done  []string
	gone  []string
	stop  func() // ends the controller as the end of the platform does
}

var (
	key     = types.NamespacedName{Namespace: "ns", Name: "b"}
	request = reconcile.Request{NamespacedName: key}
	epoch   = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
)

func builder(change ...func(*v1beta2.Builder)) *v1beta2.Builder {
	b := &v1beta2.Builder{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "b", UID: "u1", Generation: 1, CreationTimestamp: metav1.NewTime(epoch), Labels: map[string]string{v1beta2.LabelFunction: "fn"}},
		Spec: v1beta2.BuilderSpec{Image: "ghcr.io/o/fn", BuildTemplate: v1beta2.BuildTemplate{Builder: new("openfunction/builder-go"), Env: map[string]string{"A": "b"},
			SrcRepo: &v1beta2.SourceRepo{URL: "https://github.com/o/r", Revision: new("main"), SourceSubPath: new("sub")}}},
	}
	for _, c := range change {
		c(b)
	}
	return b
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{t: t, c: controltest.New(t, objects...), s: &strategy{began: make(chan *attempt, 16)}, clock: clocktesting.NewFakeClock(epoch)}
	w.start()
	return w
}

// start is the platform's: a controller without memory over the same objects.
func (w *world) start() {
	w.k = run.NewController(w.c, run.Options{Strategies: map[string]build.Strategy{"": w.s, "other": w.s, "wasmedge": w.s}, Local: true, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
		Done: func(ns, result string, d time.Duration) {
			w.done = append(w.done, fmt.Sprintf("%s %s %v", ns, result, d))
		},
		Gone: func(ns, name string) { w.gone = append(w.gone, ns+"/"+name) }})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	k := w.k
	go func() { ended <- k.Start(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
		ended <- nil
	}
	w.t.Cleanup(w.stop)
}

func (w *world) reconcile() reconcile.Result {
	w.t.Helper()
	result, err := w.k.Reconcile(context.Background(), request)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

func (w *world) status() v1beta2.BuilderStatus {
	w.t.Helper()
	return controltest.Read(w.t, w.c.Raw, "ns", "b", &v1beta2.Builder{}).Status
}

// ended reconciles until the Builder is in a final state, as the controller's queue does.
func (w *world) ended() v1beta2.BuilderStatus {
	w.t.Helper()
	controltest.Soon(w.t, "the end of the build", func() bool {
		w.reconcile()
		return w.status().State.Finished()
	})
	writes := w.c.Writes
	w.reconcile()
	w.reconcile()
	if w.c.Writes != writes {
		w.t.Error("writes at rest")
	}
	return w.status()
}

func (w *world) cancel() {
	w.t.Helper()
	b := controltest.Read(w.t, w.c.Raw, "ns", "b", &v1beta2.Builder{})
	controltest.Write(w.t, w.c.Raw, b, func() { b.Spec.State = v1beta2.BuilderStateCancelled })
}

func (w *world) wantBuilds(n int) {
	w.t.Helper()
	if len(w.s.began) != n {
		w.t.Errorf("%d builds began, want %d", len(w.s.began), n)
	}
}

func succeeded(s v1beta2.BuilderStatus) *metav1.Condition {
	return condition.Get(s.Conditions, v1beta2.ConditionSucceeded)
}

func TestSuccess(t *testing.T) {
	w := newWorld(t, builder())
	w.reconcile()
	a := <-w.s.began
	if s := w.status(); s.State != v1beta2.StateBuilding || s.Phase != v1beta2.PhaseBuild || !s.StartTime.Time.Equal(epoch) || succeeded(s).Status != "Unknown" || s.ObservedGeneration != 1 {
		t.Errorf("status is %+v", s)
	}
	r := a.request
	if r.ID != "ns/b" || r.Function != "ns/fn" || r.Builder != "openfunction/builder-go" || r.Env["A"] != "b" || r.Output.Image != "ghcr.io/o/fn" || !r.Output.Local ||
		r.Source.URL != "https://github.com/o/r" || r.Source.Revision != "main" || r.Source.SubPath != "sub" || r.Timeout != 0 {
		t.Errorf("request is %+v", r)
	}
	w.clock.SetTime(epoch.Add(90 * time.Second))
	a.end <- outcome{build.Result{Digest: "sha256:1", Size: 7, Sources: []build.SourceResult{{Name: "default", CommitSHA: "c", CommitAuthor: "me", BranchName: "main"}, {Name: "b", BundleDigest: "d"}}}, nil}
	s := w.ended()
	if s.State != v1beta2.StateSucceeded || s.Output.Digest != "sha256:1" || s.Output.Size != 7 || s.BuildDuration.Duration != 90*time.Second ||
		!s.CompletionTime.Time.Equal(epoch.Add(90*time.Second)) || succeeded(s).Status != "True" {
		t.Errorf("status is %+v", s)
	}
	if *s.Sources[0].Git != (v1beta2.GitSourceResult{CommitSha: "c", CommitAuthor: "me", BranchName: "main"}) || s.Sources[1].Bundle.Digest != "d" {
		t.Errorf("sources are %+v", s.Sources)
	}
	w.wantBuilds(0)
	if !slices.Equal(w.done, []string{"ns Succeeded 1m30s"}) {
		t.Errorf("told %q", w.done)
	}
}

func TestFailures(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		state  v1beta2.State
		reason string
		text   string
	}{
		"of the user":      {fmt.Errorf("building: %w", &build.Failure{Reason: "CompileFailed", Message: "f.go:1: no"}), v1beta2.StateFailed, "CompileFailed", "f.go:1: no"},
		"of the platform":  {errors.New("disk on fire"), v1beta2.StateFailed, "InternalError", "the platform could not run the build: disk on fire"},
		"too long":         {&build.Failure{Reason: build.ReasonTimeout, Message: "took longer than 1m"}, v1beta2.StateTimeout, "BuildTimeout", "took longer than 1m"},
		"a context inside": {context.Canceled, v1beta2.StateFailed, "InternalError", "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, builder(func(b *v1beta2.Builder) { b.Spec.Timeout = &metav1.Duration{Duration: time.Minute} }))
			w.reconcile()
			a := <-w.s.began
			if a.request.Timeout != time.Minute {
				t.Errorf("timeout is %v", a.request.Timeout)
			}
			a.end <- outcome{err: test.err}
			s := w.ended()
			if s.State != test.state || s.Reason != test.reason || !strings.Contains(s.Message, test.text) || succeeded(s).Status != "False" || s.CompletionTime == nil {
				t.Errorf("status is %+v", s)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t, builder())
	w.reconcile()
	<-w.s.began
	w.cancel()
	if s := w.ended(); s.State != v1beta2.StateCanceled || s.Reason != "Cancelled" {
		t.Errorf("status is %+v", s)
	}
	w.wantBuilds(0)
}

func TestCancelBeforeItRan(t *testing.T) {
	w := newWorld(t, builder(func(b *v1beta2.Builder) { b.Spec.State = v1beta2.BuilderStateCancelled }))
	if s := w.ended(); s.State != v1beta2.StateCanceled || s.BuildDuration != nil {
		t.Errorf("status is %+v", s)
	}
	w.wantBuilds(0)
}

// The end of the platform interrupts the build without a word; the next one builds anew.
func TestInterrupted(t *testing.T) {
	w := newWorld(t, builder())
	w.reconcile()
	<-w.s.began
	w.stop()
	w.reconcile()
	if s := w.status(); s.State != v1beta2.StateBuilding {
		t.Errorf("status is %+v", s)
	}
	w.start()
	w.reconcile()
	(<-w.s.began).end <- outcome{result: build.Result{Digest: "sha256:1"}}
	if s := w.ended(); s.State != v1beta2.StateSucceeded {
		t.Errorf("status is %+v", s)
	}
}

// Controllers end in no particular order: one may be asked to begin a build when the builds have been stopped.
func TestNothingBeginsAfterTheEnd(t *testing.T) {
	w := newWorld(t, builder())
	w.stop()
	w.reconcile()
	if run.Running(w.k, "ns/fn") {
		t.Error("a build runs that nobody waits for")
	}
}

func TestDeletedWhileRunning(t *testing.T) {
	w := newWorld(t, builder())
	w.s.stubborn = true
	w.reconcile()
	first := <-w.s.began
	if err := w.c.Raw.Delete(context.Background(), builder()); err != nil {
		t.Fatal(err)
	}
	w.reconcile()
	// The function asks for it anew, under the same name and under another, while the old one still stops.
	again := builder(func(b *v1beta2.Builder) { b.UID = "u2" })
	sibling := builder(func(b *v1beta2.Builder) { b.Name = "b2" })
	for _, b := range []*v1beta2.Builder{again, sibling} {
		if err := w.c.Raw.Create(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	w.reconcile()
	result, err := w.k.Reconcile(context.Background(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "b2"}})
	if err != nil || result.RequeueAfter == 0 {
		t.Errorf("result %+v, error %v", result, err)
	}
	w.wantBuilds(0)
	first.end <- outcome{result: build.Result{Digest: "sha256:old"}}
	controltest.Soon(t, "the second build", func() bool { w.reconcile(); return len(w.s.began) == 1 })
	(<-w.s.began).end <- outcome{result: build.Result{Digest: "sha256:new"}}
	if s := w.ended(); s.Output.Digest != "sha256:new" {
		t.Errorf("output is %+v", s.Output)
	}
}

// What is kept of a build may go when its Builder is gone and nothing writes to it any more.
func TestGone(t *testing.T) {
	w := newWorld(t, builder())
	w.s.stubborn = true
	w.reconcile()
	first := <-w.s.began
	if err := w.c.Raw.Delete(context.Background(), builder()); err != nil {
		t.Fatal(err)
	}
	if w.reconcile(); len(w.gone) != 0 {
		t.Errorf("%q are gone while the build runs", w.gone)
	}
	first.end <- outcome{}
	controltest.Soon(t, "the end", func() bool { w.reconcile(); return len(w.gone) > 0 })
	if w.gone[0] != "ns/b" {
		t.Errorf("%q are gone", w.gone)
	}
}

// The cache shows the Builder as it was before its build, and before the end of it.
func TestStaleCache(t *testing.T) {
	w := newWorld(t, builder())
	stale := &behind{Client: w.c, object: builder()}
	w.k = run.NewController(stale, run.Options{Strategies: map[string]build.Strategy{"": w.s}, Clock: w.clock, Log: slog.New(slog.DiscardHandler)})
	w.reconcile()
	a := <-w.s.began
	w.reconcile()
	a.end <- outcome{result: build.Result{Digest: "sha256:1"}}
	controltest.Soon(t, "the status", func() bool { w.reconcile(); return w.status().State == v1beta2.StateSucceeded })
	writes := w.c.Writes
	w.reconcile()
	w.wantBuilds(0)
	if w.c.Writes != writes {
		t.Error("the end is written twice")
	}
}

// behind answers every Get of a Builder with the same old one.
type behind struct {
	*controltest.Client
	object *v1beta2.Builder
}

func (b *behind) Get(ctx context.Context, key client.ObjectKey, into client.Object, o ...client.GetOption) error {
	old, ok := into.(*v1beta2.Builder)
	if !ok {
		return b.Client.Get(ctx, key, into, o...)
	}
	b.object.DeepCopyInto(old)
	return nil
}

func TestStatusRefused(t *testing.T) {
	w := newWorld(t, builder())
	w.reconcile()
	a := <-w.s.began
	refused := errors.New("unplugged")
	w.c.Fail = func(string, client.Object) error { return refused }
	a.end <- outcome{result: build.Result{Digest: "sha256:1"}}
	controltest.Soon(t, "the error", func() bool {
		_, err := w.k.Reconcile(context.Background(), request)
		return errors.Is(err, refused)
	})
	w.c.Fail = nil
	if s := w.ended(); s.State != v1beta2.StateSucceeded {
		t.Errorf("the end is lost: %+v", s)
	}
}

// The end of a build wakes its Builder, and nothing is left waiting when nobody listens any more.
func TestWakes(t *testing.T) {
	w := newWorld(t, builder())
	w.reconcile()
	(<-w.s.began).end <- outcome{err: errors.New("broken")}
	if e := <-run.Ends(w.k); e.Object.GetNamespace() != "ns" || e.Object.GetName() != "b" {
		t.Errorf("wakes %v", client.ObjectKeyFromObject(e.Object))
	}
	for i := range 100 { // more than the channel holds
		b := builder(func(b *v1beta2.Builder) {
			b.Name, b.Labels = fmt.Sprint("many-", i), map[string]string{v1beta2.LabelFunction: fmt.Sprint(i)}
		})
		if err := w.c.Raw.Create(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		if _, err := w.k.Reconcile(context.Background(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(b)}); err != nil {
			t.Fatal(err)
		}
		(<-w.s.began).end <- outcome{}
	}
	w.stop()
}

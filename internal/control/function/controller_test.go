package function_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/function"
	"github.com/openfunction/ofn/internal/control/function/build"
	phase "github.com/openfunction/ofn/internal/control/function/route"
	"github.com/openfunction/ofn/internal/control/function/serve"
	"github.com/openfunction/ofn/internal/route"
)

// router remembers the backends of each route.
type router map[route.Key][]route.Backend

func (r router) Set(next route.Route) error { r[next.Key] = next.Backends; return nil }
func (r router) Delete(k route.Key) error   { delete(r, k); return nil }

// world is a function with all of its phases.
type world struct {
	t      *testing.T
	c      *controltest.Client
	r      router
	events *events.FakeRecorder
	k      *function.Controller
}

var request = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "fn"}}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	fn := &v1beta2.Function{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn", UID: "u1", Generation: 1},
		Spec: v1beta2.FunctionSpec{Image: "img", Build: &v1beta2.BuildTemplate{Builder: new("b"), SrcRepo: &v1beta2.SourceRepo{URL: "u"}},
			Serving: &v1beta2.FunctionServing{}},
	}
	fn.Default()
	gateway := &networking.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "openfunction"}, Spec: networking.GatewaySpec{Domain: "d"}}
	w := &world{t: t, c: controltest.New(t, append(objects, fn, gateway)...), r: router{}, events: events.NewFakeRecorder(100)}
	w.k = function.NewController(w.c, w.events, build.New(w.c), serve.New(w.c), phase.New(w.c, w.r, phase.Options{}))
	return w
}

func (w *world) reconcile() {
	w.t.Helper()
	if _, err := w.k.Reconcile(context.Background(), request); err != nil {
		w.t.Fatal(err)
	}
}

// rest reconciles until the function is at rest, and no longer than it may take.
func (w *world) rest() {
	w.t.Helper()
	for range 3 {
		before := w.c.Writes
		w.reconcile()
		if w.c.Writes == before {
			return
		}
	}
	w.t.Fatal("the function does not come to rest")
}

func (w *world) fn() *v1beta2.Function {
	w.t.Helper()
	return controltest.Read(w.t, w.c.Raw, "ns", "fn", &v1beta2.Function{})
}

func (w *world) built(name string, state v1beta2.State, message string) {
	w.t.Helper()
	b := controltest.Read(w.t, w.c.Raw, "ns", name, &v1beta2.Builder{})
	controltest.WriteStatus(w.t, w.c.Raw, b, func() {
		b.Status.State, b.Status.Message = state, message
		b.Status.Output = &v1beta2.BuilderOutput{Digest: "sha256:" + name}
	})
	w.rest()
}

func (w *world) served(name string, state v1beta2.State) {
	w.t.Helper()
	s := controltest.Read(w.t, w.c.Raw, "ns", name, &v1beta2.Serving{})
	controltest.WriteStatus(w.t, w.c.Raw, s, func() { s.Status.State = state })
	w.rest()
}

func (w *world) change(f func(*v1beta2.Function)) {
	w.t.Helper()
	fn := w.fn()
	controltest.Write(w.t, w.c.Raw, fn, func() { fn.Generation++; f(fn) })
	w.rest()
}

func (w *world) ready(status metav1.ConditionStatus, reason string) {
	w.t.Helper()
	fn := w.fn()
	c := condition.Get(fn.Status.Conditions, v1beta2.ConditionReady)
	if c == nil || c.Status != status || c.Reason != reason || fn.Status.ObservedGeneration != fn.Generation {
		w.t.Fatalf("Ready is %+v at generation %d of %d, want %s %s", c, fn.Status.ObservedGeneration, fn.Generation, status, reason)
	}
}

// told are the reasons of the events since the last call.
func (w *world) told() []string {
	var out []string
	for {
		select {
		case e := <-w.events.Events:
			out = append(out, strings.Fields(e)[1])
		default:
			return out
		}
	}
}

func (w *world) wantTold(reasons ...string) {
	w.t.Helper()
	if got := w.told(); !slices.Equal(got, reasons) {
		w.t.Fatalf("events are %q, want %q", got, reasons)
	}
}

// From source to a served function, an update, a broken one, and back.
func TestLife(t *testing.T) {
	w := newWorld(t)
	w.rest()
	w.ready("Unknown", "Building")
	w.wantTold()
	w.built("fn-build-00001", v1beta2.StateBuilding, "")
	w.wantTold("BuildStarted")
	w.built("fn-build-00001", v1beta2.StateSucceeded, "")
	w.wantTold("BuildCompleted")
	w.ready("Unknown", "RevisionStarting")
	w.served("fn-00001", v1beta2.StateStarting)
	w.wantTold("Starting")
	w.served("fn-00001", v1beta2.StateRunning)
	w.wantTold("Running")
	w.ready("True", "Ready")
	if got := w.fn().Status; len(got.Addresses) != 2 || got.Traffic[0].RevisionName != "fn-00001" {
		t.Errorf("status is %+v", got)
	}

	w.change(func(f *v1beta2.Function) { f.Spec.Serving.Params = map[string]string{"A": "b"} })
	w.ready("Unknown", "RevisionStarting")
	w.served("fn-00002", v1beta2.StateTimeout)
	w.wantTold("ServingFailed")
	w.ready("False", "RevisionFailed")
	if got := w.r[route.Key{Namespace: "ns", Name: "fn"}]; !slices.Equal(got, []route.Backend{{Revision: "fn-00001", Weight: 100}}) {
		t.Errorf("traffic goes to %v", got)
	}

	w.change(func(f *v1beta2.Function) { f.Annotations = map[string]string{v1beta2.AnnotationRebuild: "1"} })
	w.built("fn-build-00002", v1beta2.StateFailed, strings.Repeat("é", 2000))
	w.wantTold("BuildFailed")
	w.ready("False", "BuildFailed")
	w.change(func(f *v1beta2.Function) { f.Annotations = map[string]string{v1beta2.AnnotationRebuild: "2"} })
	w.built("fn-build-00003", v1beta2.StateTimeout, "")
	w.change(func(f *v1beta2.Function) { f.Annotations = map[string]string{v1beta2.AnnotationRebuild: "3"} })
	w.built("fn-build-00004", v1beta2.StateCanceled, "")
	w.wantTold("BuildTimeout", "BuildCanceled")

	w.change(func(f *v1beta2.Function) { f.Spec.Serving.Triggers.HTTP, f.Spec.Serving.Params = nil, nil })
	if len(w.r) != 0 {
		t.Errorf("routes are %v", w.r)
	}
}

func TestEventsFit(t *testing.T) {
	w := newWorld(t)
	w.rest()
	w.built("fn-build-00001", v1beta2.StateFailed, "first line\n"+strings.Repeat("é", 2000)+"last line")
	e := <-w.events.Events
	if len(e) > 1024 || !strings.Contains(e, "first line") || !strings.HasSuffix(e, "last line") || strings.ContainsRune(e, '�') {
		t.Errorf("%d bytes: %s", len(e), e)
	}
}

// An event is told once although the status that it is about is refused at first.
func TestConflict(t *testing.T) {
	w := newWorld(t)
	w.rest()
	b := controltest.Read(t, w.c.Raw, "ns", "fn-build-00001", &v1beta2.Builder{})
	controltest.WriteStatus(t, w.c.Raw, b, func() { b.Status.State = v1beta2.StateBuilding })
	w.c.Fail = func(verb string, o client.Object) error {
		if verb == "status" {
			return apierrors.NewConflict(schema.GroupResource{Resource: "functions"}, "fn", errors.New("changed"))
		}
		return nil
	}
	result, err := w.k.Reconcile(context.Background(), request)
	if err != nil || result.RequeueAfter == 0 {
		t.Errorf("result %+v, error %v", result, err)
	}
	w.wantTold()
	w.c.Fail = nil
	w.rest()
	w.wantTold("BuildStarted")
}

// A phase that fails does not keep the next from repairing what it is for, and the status does not claim to be up to date.
func TestPhaseFails(t *testing.T) {
	w := newWorld(t)
	w.rest()
	w.built("fn-build-00001", v1beta2.StateSucceeded, "")
	w.served("fn-00001", v1beta2.StateRunning)
	w.told()
	delete(w.r, route.Key{Namespace: "ns", Name: "fn"})
	fn := w.fn()
	controltest.Write(t, w.c.Raw, fn, func() { fn.Generation = 2; fn.Spec.Serving.Params = map[string]string{"A": "b"} })
	refuse := errors.New("unplugged")
	w.c.Fail = func(verb string, o client.Object) error {
		if verb == "create" {
			return refuse
		}
		return nil
	}
	if _, err := w.k.Reconcile(context.Background(), request); !errors.Is(err, refuse) {
		t.Errorf("error is %v", err)
	}
	if fn = w.fn(); fn.Status.ObservedGeneration != 1 || len(w.r) != 1 {
		t.Errorf("observed %d, routes %v", fn.Status.ObservedGeneration, w.r)
	}
	refuse = apierrors.NewForbidden(schema.GroupResource{Resource: "servings"}, "fn-00002", errors.New("exceeded quota: few"))
	if _, err := w.k.Reconcile(context.Background(), request); err == nil {
		t.Error("no error")
	}
	c := condition.Get(w.fn().Status.Conditions, v1beta2.ConditionReady)
	if c.Status != "False" || c.Reason != "Refused" || !strings.Contains(c.Message, "exceeded quota") {
		t.Errorf("Ready is %+v", c)
	}
	w.c.Fail = nil
	w.rest()
	w.ready("Unknown", "RevisionStarting")
}

func TestDeleted(t *testing.T) {
	w := newWorld(t)
	w.rest()
	if err := w.c.Raw.Delete(context.Background(), w.fn()); err != nil {
		t.Fatal(err)
	}
	w.reconcile()
	if len(w.r) != 0 {
		t.Errorf("routes are %v", w.r)
	}
}

// While a finalizer holds it the children of a deleted function are not made again.
func TestBeingDeleted(t *testing.T) {
	w := newWorld(t)
	fn := w.fn()
	controltest.Write(t, w.c.Raw, fn, func() { fn.Finalizers = []string{"a/b"} })
	if err := w.c.Raw.Delete(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
	before := w.c.Writes
	w.reconcile()
	if w.c.Writes != before {
		t.Error("writes for a function that goes")
	}
}

func TestImageOnly(t *testing.T) {
	w := newWorld(t)
	w.change(func(f *v1beta2.Function) { f.Spec.Build = nil })
	w.served("fn-00001", v1beta2.StateRunning)
	w.ready("True", "Ready")
	w.change(func(f *v1beta2.Function) {
		f.Spec.Serving, f.Spec.Build = nil, &v1beta2.BuildTemplate{Builder: new("b"), SrcRepo: &v1beta2.SourceRepo{URL: "u"}}
	})
	w.built("fn-build-00001", v1beta2.StateSucceeded, "")
	w.ready("True", "Ready")
}

// A change of a Gateway concerns the functions whose routes name it, or none.
func TestAttached(t *testing.T) {
	named := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "named"}, Spec: v1beta2.FunctionSpec{Serving: &v1beta2.FunctionServing{}}}
	named.Default()
	named.Spec.Serving.Triggers.HTTP.Route.GatewayRef = &v1beta2.GatewayRef{Namespace: "other", Name: "gate"}
	undefaulted := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "undefaulted"},
		Spec: v1beta2.FunctionSpec{Serving: &v1beta2.FunctionServing{ServingTemplate: v1beta2.ServingTemplate{Triggers: &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{}}}}}}
	built := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "built"}}
	w := newWorld(t, named, undefaulted, built)
	for gateway, want := range map[types.NamespacedName][]string{
		{Namespace: "openfunction", Name: "openfunction"}: {"fn", "undefaulted"},
		{Namespace: "other", Name: "gate"}:                {"named"},
		{Namespace: "other", Name: "openfunction"}:        nil,
	} {
		var got []string
		for _, r := range function.Attached(w.k, &networking.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: gateway.Namespace, Name: gateway.Name}}) {
			got = append(got, r.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v concerns %v, want %v", gateway, got, want)
		}
	}
}

package adopt_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta1"
	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/adopt"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/function/build"
	"github.com/openfunction/ofn/internal/run"
)

// A served function is taken over without a build, and nothing leads away from what OpenFunction made before there is something better.
func TestTakenOver(t *testing.T) {
	older := &v1beta2.Function{}
	if err := parse(t, olderFunction, &v1beta1.Function{}).ConvertTo(older); err != nil {
		t.Fatal(err)
	}
	for version, fn := range map[string]*v1beta2.Function{"v1beta2": parse(t, httpFunction, &v1beta2.Function{}), "v1beta1": older} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t, fn, parse(t, formerBuilder, &v1beta2.Builder{}), parse(t, formerService, &corev1.Service{}), untyped(t, formerRoute))
			got := w.rest()
			w.wantServings("hello-00001", "serving-x7k2p")
			w.adopted("Starting")
			if b := w.builders(); !slices.Equal(b, []string{"builder-4qv8p"}) {
				t.Errorf("it builds: %v", b)
			}
			made := controltest.Read(t, w.c.Raw, "default", "hello-00001", &v1beta2.Serving{})
			if made.Spec.Image != "registry.example.com/hello:v1@sha256:1111111111111111111111111111111111111111111111111111111111111111" {
				t.Errorf("the revision runs %s", made.Spec.Image)
			}
			if w.exposed != 0 || w.serviceOwner() != "Function" || got.Status.Build.State != v1beta2.StateSucceeded {
				t.Errorf("routed %d times, the service is the %s's, the build %s", w.exposed, w.serviceOwner(), got.Status.Build.State)
			}

			w.ready = run.Ready
			w.rest()
			if w.exposed != 0 || w.serviceOwner() != "Route" {
				t.Errorf("routed %d times, the service is the %s's", w.exposed, w.serviceOwner())
			}
			w.wantServings("hello-00001", "serving-x7k2p")
			w.adopted("Routing")

			w.routed = metav1.ConditionTrue
			w.rest()
			w.wantServings("hello-00001")
			w.adopted("")
			if b := w.builders(); len(b) != 0 || w.exposed == 0 {
				t.Errorf("builders are %v, routed %d times", b, w.exposed)
			}
		})
	}
}

func TestKept(t *testing.T) {
	fn := parse(t, httpFunction, &v1beta2.Function{})
	fn.Annotations = map[string]string{adopt.Annotation: adopt.Keep}
	w := newWorld(t, fn, parse(t, formerBuilder, &v1beta2.Builder{}))
	got := w.rest()
	w.wantServings("serving-x7k2p")
	w.adopted("Kept")
	if c := condition.Get(got.Status.Conditions, v1beta2.ConditionReady); c.Status != "True" || got.Status.Build.ResourceHash != "11293182283476512312" || got.Status.Serving.ResourceRef != "serving-x7k2p" {
		t.Errorf("the status is %+v", got.Status)
	}
	w.annotate("")
	w.rest()
	w.wantServings("hello-00001", "serving-x7k2p")
	if b := w.builders(); !slices.Equal(b, []string{"builder-4qv8p"}) {
		t.Errorf("it builds: %v", b)
	}
}

// A source that was changed while OpenFunction's copies were kept is built.
func TestChangedMeanwhile(t *testing.T) {
	fn := parse(t, httpFunction, &v1beta2.Function{})
	fn.Annotations = map[string]string{adopt.Annotation: adopt.Keep}
	w := newWorld(t, fn)
	w.rest()
	fn = w.fn()
	controltest.Write(t, w.c.Raw, fn, func() { fn.Generation, fn.Annotations, fn.Spec.Build.SrcRepo.Revision = 5, nil, new("next") })
	w.rest()
	w.rest()
	if b := w.builders(); !slices.Equal(b, []string{"hello-build-00001"}) {
		t.Errorf("builders are %v", b)
	}
	w.wantServings("serving-x7k2p")
}

// A build that OpenFunction had not finished ends, and the function is built anew.
func TestUnfinishedBuild(t *testing.T) {
	fn := parse(t, httpFunction, &v1beta2.Function{})
	fn.Status.Build.State = v1beta2.StateBuilding
	unfinished := parse(t, formerBuilder, &v1beta2.Builder{})
	unfinished.Status.State = v1beta2.StateBuilding
	w := newWorld(t, fn, unfinished)
	w.rest()
	if b := w.builders(); !slices.Equal(b, []string{"hello-build-00001"}) {
		t.Errorf("builders are %v", b)
	}
}

// Two copies of a function that events call are never there together, and the first ends only when its user says so.
func TestEvents(t *testing.T) {
	w := newWorld(t, parse(t, asyncFunction, &v1beta2.Function{}))
	w.c.Fail = func(verb string, o client.Object) error {
		if got := w.servings(); verb == "create" && len(got) > 0 {
			t.Errorf("%s is made beside %v", o.GetName(), got)
		}
		return nil
	}
	w.rest()
	w.wantServings("serving-x7k2p")
	w.adopted("EventsHeld")
	held := controltest.Read(t, w.c.Raw, "default", "serving-x7k2p", &v1beta2.Serving{})
	controltest.Write(t, w.c.Raw, held, func() { held.Finalizers = []string{"foregroundDeletion"} })
	w.annotate(adopt.Replace)
	w.rest()
	w.wantServings("serving-x7k2p") // its pods are ending
	w.adopted("Ending")
	held = controltest.Read(t, w.c.Raw, "default", "serving-x7k2p", &v1beta2.Serving{})
	controltest.Write(t, w.c.Raw, held, func() { held.Finalizers = nil })
	w.rest()
	w.wantServings("hello-00001")
	w.adopted("")
}

// A route that leads to OpenFunction's copies keeps them.
func TestRouteOfSomebodyElse(t *testing.T) {
	route := untyped(t, formerRoute)
	w := newWorld(t, parse(t, httpFunction, &v1beta2.Function{}), route)
	w.ready, w.routed = run.Ready, metav1.ConditionTrue
	if _, err := w.k.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: "hello"}}); err != nil {
		t.Fatal(err)
	}
	back := untyped(t, formerRoute)
	if err := w.c.Raw.Get(t.Context(), client.ObjectKeyFromObject(back), back); err != nil {
		t.Fatal(err)
	}
	p := adopt.New(w.c, w.c, build.New(w.c))
	back.Object["spec"] = untyped(t, formerRoute).Object["spec"]
	if err := w.c.Raw.Update(t.Context(), back); err != nil {
		t.Fatal(err)
	}
	fn := w.fn()
	fn.Status.Serving.State, fn.Status.LatestReadyRevision = v1beta2.StateRunning, "hello-00001"
	condition.Set(&fn.Status.Conditions, 4, v1beta2.ConditionRouted, "True", "Routed", "")
	result, err := p.Reconcile(t.Context(), fn)
	c := condition.Get(fn.Status.Conditions, adopt.ConditionAdopted)
	if err != nil || result.RequeueAfter == 0 || c == nil || !strings.Contains(c.Message, "HTTPRoute hello still leads to OpenFunction's serving-x7k2p") {
		t.Errorf("condition %+v, result %+v, error %v", c, result, err)
	}
	w.wantServings("hello-00001", "serving-x7k2p")
}

// The Functions that OpenFunction made of event sources run as they are.
func TestHandlers(t *testing.T) {
	fn := parse(t, asyncFunction, &v1beta2.Function{})
	fn.Name = "esw-source-cron-tick"
	fn.OwnerReferences = []metav1.OwnerReference{{APIVersion: "events.openfunction.io/v1alpha1", Kind: "EventSource", Name: "source", UID: "e1", Controller: new(true)}}
	c := controltest.New(t, fn)
	result, err := adopt.New(c, c, nil, failing{t}).Reconcile(t.Context(), fn)
	if err != nil || result.RequeueAfter != 0 || condition.Get(fn.Status.Conditions, adopt.ConditionAdopted).Reason != "EventHandler" {
		t.Errorf("%+v, %v, %+v", result, err, fn.Status.Conditions)
	}
}

type failing struct{ t *testing.T }

func (f failing) Gone(context.Context, string, string) error { return nil }

func (f failing) Reconcile(context.Context, *v1beta2.Function) (reconcile.Result, error) {
	f.t.Error("it is reconciled")
	return reconcile.Result{}, nil
}

// A new function costs nothing, and going back to OpenFunction finds its own objects gone and nothing in the way but this program's.
func TestNothingFormer(t *testing.T) {
	fn := parse(t, httpFunction, &v1beta2.Function{})
	fn.Status = v1beta2.FunctionStatus{}
	fn.Spec.Build = nil
	w := newWorld(t, fn)
	if err := w.c.Raw.Delete(t.Context(), parse(t, formerServing, &v1beta2.Serving{})); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	w.ready, w.routed = run.Ready, metav1.ConditionTrue
	w.rest()
	w.wantServings("hello-00001")
	w.adopted("")
}

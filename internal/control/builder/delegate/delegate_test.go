package delegate_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/builder/delegate"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/engines"
)

// engine answers what it is told to, and counts.
type engine struct {
	progress build.Progress
	err      error
	asked    int
	// ref is what the status said of the engine when it was asked.
	ref string
}

func (e *engine) Apply(_ context.Context, b *v1beta2.Builder) (build.Progress, error) {
	e.asked++
	e.ref = b.Status.ResourceRef[v1beta2.RefBuildEngine]
	return e.progress, e.err
}

type world struct {
	t     *testing.T
	c     client.Client
	clock *clocktesting.FakeClock
	// engines by name, and what keeps that of Jobs from building
	engines map[string]*engine
	lacks   string
}

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, objects ...client.Object) *world {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta2.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	running := func() *engine {
		return &engine{progress: build.Progress{Stage: build.Running, Objects: map[string]string{"made": "b"}}}
	}
	return &world{t: t, clock: clocktesting.NewFakeClock(began), engines: map[string]*engine{"shipwright": running(), "tekton": running(), "job": running()},
		c: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1beta2.Builder{}).Build()}
}

// install makes the kinds of an engine.
func (w *world) install(e engines.Engine) {
	w.t.Helper()
	for _, k := range e.Kinds {
		d := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: k.Plural + "." + k.Group}}
		d.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{{Name: k.Version, Served: true}}
		d.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{Type: apiextensionsv1.Established, Status: "True"}}
		if err := w.c.Create(w.t.Context(), d); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) remove(e engines.Engine) {
	w.t.Helper()
	for _, k := range e.Kinds {
		if err := w.c.Delete(w.t.Context(), &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: k.Plural + "." + k.Group}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// reconcile lets the controller look at the Builder once, as a new process would.
func (w *world) reconcile() (*v1beta2.Builder, reconcile.Result) {
	w.t.Helper()
	withShipwright, withTekton := engines.Shipwright(), engines.Tekton()
	c := delegate.NewController(w.c, delegate.Options{Clock: w.clock, Engines: engines.NewController(w.c, nil, slog.New(slog.DiscardHandler)), Choices: []delegate.Choice{
		{Name: "shipwright", Title: "Shipwright", Engine: w.engines["shipwright"], Needs: &withShipwright},
		{Name: "tekton", Title: "Tekton", Engine: w.engines["tekton"], Needs: &withTekton},
		{Name: "job", Title: "Jobs", Engine: w.engines["job"], Lacks: w.lacks, Refuses: func(b *v1beta2.Builder) string {
			if b.Spec.Dockerfile != nil {
				return "no Dockerfiles here"
			}
			return ""
		}},
	}})
	result, err := c.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "ns", Name: "b"}})
	if err != nil {
		w.t.Fatal(err)
	}
	b := &v1beta2.Builder{}
	if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: "b"}, b); err != nil {
		w.t.Fatal(err)
	}
	return b, result
}

func builder(change func(*v1beta2.Builder)) *v1beta2.Builder {
	b := &v1beta2.Builder{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "b", Generation: 1, CreationTimestamp: metav1.NewTime(began), Labels: map[string]string{v1beta2.LabelFunction: "fn"}}}
	if change != nil {
		change(b)
	}
	return b
}

func TestChoice(t *testing.T) {
	both := []engines.Engine{engines.Shipwright(), engines.Tekton()}
	named := func(name string) func(*v1beta2.Builder) {
		return func(b *v1beta2.Builder) { b.Annotations = map[string]string{v1beta2.AnnotationBuildEngine: name} }
	}
	strategy := func(name string) func(*v1beta2.Builder) {
		return func(b *v1beta2.Builder) {
			b.Spec.Shipwright = &v1beta2.ShipwrightEngine{Strategy: &v1beta2.Strategy{Name: name}}
		}
	}
	dockerfile := func(b *v1beta2.Builder) { b.Spec.Dockerfile = new("Dockerfile") }
	for name, test := range map[string]struct {
		there  []engines.Engine
		change func(*v1beta2.Builder)
		lacks  string
		engine string // or the reason why there is none
		says   []string
	}{
		"the best":                           {both, nil, "", "shipwright", nil},
		"the second":                         {both[1:], nil, "", "tekton", []string{"Shipwright Build is needed", "builds.shipwright.io", "install"}},
		"the last":                           {nil, nil, "", "job", []string{"builds.shipwright.io", "taskruns.tekton.dev"}},
		"nothing":                            {nil, nil, "give --builder-image", "EngineMissing", []string{"shipwright.io", "tekton.dev", "--builder-image"}},
		"the builder of ofn":                 {both, func(b *v1beta2.Builder) { b.Spec.Builder = new("native") }, "", "job", []string{"build.builder"}},
		"a strategy":                         {both[1:], strategy("mine"), "", "EngineMissing", []string{"build.shipwright", "shipwright.io"}},
		"the default strategy for modules":   {nil, strategy(v1beta2.WasmBuildStrategy), "", "job", nil},
		"an annotation":                      {both, named("tekton"), "", "tekton", []string{v1beta2.AnnotationBuildEngine}},
		"an annotation that names nothing":   {both, named("jenkins"), "", "BuildEngineUnknown", []string{"jenkins", "shipwright, tekton, job"}},
		"a Dockerfile":                       {both[1:], dockerfile, "", "tekton", nil},
		"a Dockerfile, with nothing for it":  {nil, dockerfile, "", "EngineMissing", []string{"no Dockerfiles here", "tekton.dev"}},
		"a Dockerfile, and Jobs asked for":   {both, func(b *v1beta2.Builder) { dockerfile(b); named("job")(b) }, "", "EngineUnsuitable", []string{"no Dockerfiles here"}},
		"what an older operator had started": {both[1:], func(b *v1beta2.Builder) { b.Status.ResourceRef = map[string]string{v1beta2.RefShipwrightBuildRun: "b"} }, "", "EngineMissing", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, builder(test.change))
			w.lacks = test.lacks
			for _, e := range test.there {
				w.install(e)
			}
			b, _ := w.reconcile()
			said := b.Status.Message
			if x := w.engines[test.engine]; x != nil {
				c := condition.Get(b.Status.Conditions, v1beta2.ConditionEngineChosen)
				if x.asked != 1 || x.ref != test.engine || b.Status.ResourceRef[v1beta2.RefBuildEngine] != test.engine || b.Status.ResourceRef["made"] != "b" || c == nil {
					t.Fatalf("asked %d times, status %+v", x.asked, b.Status)
				}
				said = c.Message
			} else if b.Status.Reason != test.engine {
				t.Fatalf("the status is %+v", b.Status)
			}
			for _, text := range test.says {
				if !strings.Contains(said, text) {
					t.Errorf("%q is not in: %s", text, said)
				}
			}
			for other, x := range w.engines {
				if other != test.engine && x.asked > 0 {
					t.Errorf("%s was asked as well", other)
				}
			}
		})
	}
}

func TestAnnotationOfTheFunction(t *testing.T) {
	fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn", Annotations: map[string]string{v1beta2.AnnotationBuildEngine: "job"}}}
	w := newWorld(t, builder(nil), fn)
	w.install(engines.Tekton())
	if b, _ := w.reconcile(); b.Status.ResourceRef[v1beta2.RefBuildEngine] != "job" {
		t.Errorf("the status is %+v", b.Status)
	}
}

// A build stays with its engine: a better one that comes is for the next, one that goes is waited for.
func TestChoiceIsKept(t *testing.T) {
	w := newWorld(t, builder(nil))
	w.install(engines.Tekton())
	w.reconcile()
	w.install(engines.Shipwright())
	w.reconcile()
	if w.engines["tekton"].asked != 2 || w.engines["shipwright"].asked != 0 {
		t.Error("the build has changed its engine")
	}
	w.remove(engines.Tekton())
	w.clock.Step(time.Hour)
	b, _ := w.reconcile()
	if b.Status.State != v1beta2.StateCreated || b.Status.Reason != "EngineMissing" || w.engines["shipwright"].asked != 0 {
		t.Errorf("with its engine gone the build is %+v", b.Status)
	}
	w.install(engines.Tekton())
	w.engines["tekton"].progress = build.Progress{Stage: build.Succeeded, Result: build.Result{Digest: "sha256:1", Functions: []build.Function{{Name: "Hello"}}}}
	b, _ = w.reconcile()
	if b.Status.State != v1beta2.StateSucceeded || b.Status.Output.Digest != "sha256:1" || len(b.Status.Output.Functions) != 1 {
		t.Errorf("in the end it is %+v", b.Status)
	}
	asked := w.engines["tekton"].asked
	if w.reconcile(); w.engines["tekton"].asked != asked {
		t.Error("a build that has ended is asked for again")
	}
}

// An operator that was started again without an image to build in waits with what it had begun.
func TestImageGone(t *testing.T) {
	w := newWorld(t, builder(nil))
	w.reconcile()
	w.lacks = "give --builder-image"
	if b, _ := w.reconcile(); b.Status.Reason != "EngineMissing" || !strings.Contains(b.Status.Message, "--builder-image") || w.engines["job"].asked != 1 {
		t.Errorf("it is %+v", b.Status)
	}
}

func TestCancelled(t *testing.T) {
	w := newWorld(t, builder(func(b *v1beta2.Builder) { b.Spec.State = v1beta2.BuilderStateCancelled }))
	if b, _ := w.reconcile(); b.Status.State != v1beta2.StateCanceled || w.engines["job"].asked != 0 {
		t.Errorf("a build cancelled before an engine was chosen is %+v", b.Status)
	}
}

// What a manifest names may come a moment later, and no longer.
func TestPatience(t *testing.T) {
	w := newWorld(t, builder(nil))
	w.engines["job"].progress = build.Progress{Stage: build.Waiting, Reason: "SecretMissing", Message: "no secret"}
	b, result := w.reconcile()
	if b.Status.State != v1beta2.StateCreated || result.RequeueAfter <= 0 || result.RequeueAfter > 10*time.Second {
		t.Errorf("at first it is %+v, looked at again in %s", b.Status, result.RequeueAfter)
	}
	w.clock.Step(2 * time.Minute)
	if b, _ = w.reconcile(); b.Status.State != v1beta2.StateFailed || b.Status.Reason != "SecretMissing" {
		t.Errorf("then it is %+v", b.Status)
	}
}

// The time in which there was no engine does not count: what a strategy needs comes after its engine's definitions.
func TestPatienceBeginsWithTheEngine(t *testing.T) {
	w := newWorld(t, builder(func(b *v1beta2.Builder) { b.Annotations = map[string]string{v1beta2.AnnotationBuildEngine: "tekton"} }))
	w.engines["tekton"].progress = build.Progress{Stage: build.Waiting, Reason: "StrategyNotFound", Message: "no strategy"}
	w.reconcile()
	w.clock.Step(time.Hour)
	w.install(engines.Tekton())
	b, result := w.reconcile()
	if b.Status.State != v1beta2.StateCreated || result.RequeueAfter <= 0 {
		t.Errorf("as the engine comes it is %+v, looked at again in %s", b.Status, result.RequeueAfter)
	}
	w.clock.Step(2 * time.Minute)
	if b, _ = w.reconcile(); b.Status.State != v1beta2.StateFailed {
		t.Errorf("then it is %+v", b.Status)
	}
}

func TestFailures(t *testing.T) {
	w := newWorld(t, builder(nil))
	w.engines["job"].err = &build.Failure{Reason: "NameTaken", Message: "somebody else's"}
	if b, _ := w.reconcile(); b.Status.State != v1beta2.StateFailed || b.Status.Reason != "NameTaken" || b.Status.CompletionTime == nil {
		t.Errorf("the user's failure gives %+v", b.Status)
	}
	w = newWorld(t, builder(nil))
	w.engines["job"].err = errors.New("the API server is away")
	c := delegate.NewController(w.c, delegate.Options{Clock: w.clock, Choices: []delegate.Choice{{Name: "job", Engine: w.engines["job"]}}})
	if _, err := c.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "ns", Name: "b"}}); err == nil {
		t.Error("the platform's failure is not tried again")
	}
}

package build_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/function/build"
)

// world is one function and the Builders made for it.
type world struct {
	t  *testing.T
	c  *controltest.Client
	fn *v1beta2.Function
	p  *build.Phase
}

func function() *v1beta2.Function {
	return &v1beta2.Function{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn", UID: "u1", Generation: 1},
		Spec: v1beta2.FunctionSpec{Image: "registry/fn:v1", Build: &v1beta2.BuildTemplate{
			Builder: new("builder"), SrcRepo: &v1beta2.SourceRepo{URL: "https://git/repo"}}},
	}
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	c := controltest.New(t, objects...)
	return &world{t: t, c: c, fn: function(), p: build.New(c)}
}

// reconcile runs the phase; the status lives on in memory as it would in the API server.
func (w *world) reconcile() {
	w.t.Helper()
	if _, err := w.p.Reconcile(context.Background(), w.fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) builders() []v1beta2.Builder {
	w.t.Helper()
	var all v1beta2.BuilderList
	if err := w.c.Raw.List(context.Background(), &all); err != nil {
		w.t.Fatal(err)
	}
	return all.Items
}

func (w *world) names() []string {
	var out []string
	for _, b := range w.builders() {
		out = append(out, b.Name)
	}
	return out
}

func (w *world) builder(name string) *v1beta2.Builder {
	w.t.Helper()
	return controltest.Read(w.t, w.c.Raw, "ns", name, &v1beta2.Builder{})
}

// end brings a Builder into a final state.
func (w *world) end(name string, state v1beta2.State, digest string) {
	w.t.Helper()
	b := w.builder(name)
	controltest.WriteStatus(w.t, w.c.Raw, b, func() {
		b.Status.State = state
		if digest != "" {
			b.Status.Output = &v1beta2.BuilderOutput{Digest: digest}
			b.Status.Sources = []v1beta2.SourceResult{{Name: "default", Git: &v1beta2.GitSourceResult{CommitSha: "c-" + digest}}}
		}
	})
}

func (w *world) want(names ...string) {
	w.t.Helper()
	got := w.names()
	if len(got) != len(names) {
		w.t.Fatalf("builders are %v, want %v", got, names)
	}
	for i := range names {
		if got[i] != names[i] {
			w.t.Fatalf("builders are %v, want %v", got, names)
		}
	}
}

func (w *world) wantState(state v1beta2.State, built metav1.ConditionStatus) {
	w.t.Helper()
	c := condition.Get(w.fn.Status.Conditions, v1beta2.ConditionBuilt)
	if w.fn.Status.Build.State != state || c == nil || c.Status != built {
		w.t.Fatalf("state %q condition %+v, want %q and %s", w.fn.Status.Build.State, c, state, built)
	}
}

func TestOneBuilderPerSource(t *testing.T) {
	w := newWorld(t)
	w.fn.Annotations = map[string]string{"kept": "yes", v1beta2.AnnotationConversionData: "no", "kubectl.kubernetes.io/last-applied-configuration": "no"}
	w.reconcile()
	w.want("fn-build-00001")
	w.wantState(v1beta2.StateCreated, "Unknown")
	b := w.builder("fn-build-00001")
	if b.Labels[v1beta2.LabelFunction] != "fn" || !metav1.IsControlledBy(b, w.fn) || b.Spec.Image != "registry/fn:v1" || b.Spec.SrcRepo.URL != "https://git/repo" {
		t.Errorf("builder is %+v", b)
	}
	if b.Annotations["kept"] != "yes" || len(b.Annotations) != 2 {
		t.Errorf("annotations of the builder are %v", b.Annotations)
	}
	writes := w.c.Writes
	w.reconcile()
	w.end("fn-build-00001", v1beta2.StateSucceeded, "sha256:1")
	w.reconcile()
	w.wantState(v1beta2.StateSucceeded, "True")
	s := w.fn.Status
	if s.Revision.ImageDigest != "sha256:1" || s.Sources[0].Git.CommitSha != "c-sha256:1" || s.Build.LastSuccessfulResourceRef != "fn-build-00001" || s.Build.ResourceHash == "" {
		t.Errorf("status is %+v", s)
	}
	w.reconcile()
	if w.c.Writes != writes {
		t.Errorf("%d writes at rest", w.c.Writes-writes)
	}
}

func TestWhatMakesABuild(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1beta2.Function)
		builds bool
	}{
		"image":              {func(f *v1beta2.Function) { f.Spec.Image = "other" }, true},
		"push secret":        {func(f *v1beta2.Function) { f.Spec.ImageCredentials = ref("s") }, true},
		"environment":        {func(f *v1beta2.Function) { f.Spec.Build.Env = map[string]string{"A": "b"} }, true},
		"revision":           {func(f *v1beta2.Function) { f.Spec.Build.SrcRepo.Revision = new("v2") }, true},
		"dockerfile":         {func(f *v1beta2.Function) { f.Spec.Build.Dockerfile = new("D") }, true},
		"rebuild annotation": {func(f *v1beta2.Function) { f.Annotations = map[string]string{v1beta2.AnnotationRebuild: "now"} }, true},
		"contract":           {func(f *v1beta2.Function) { f.Annotations = map[string]string{v1beta2.AnnotationContract: "lambda"} }, true},
		"other annotation":   {func(f *v1beta2.Function) { f.Annotations = map[string]string{"a": "b"} }, false},
		"timeout":            {func(f *v1beta2.Function) { f.Spec.Build.Timeout = &metav1.Duration{Duration: 1} }, false},
		"history":            {func(f *v1beta2.Function) { f.Spec.Build.SuccessfulBuildsHistoryLimit = new(int32(7)) }, false},
		"failed history":     {func(f *v1beta2.Function) { f.Spec.Build.FailedBuildsHistoryLimit = new(int32(7)) }, false},
		"age":                {func(f *v1beta2.Function) { f.Spec.Build.BuilderMaxAge = &metav1.Duration{Duration: 1} }, false},
		"polling":            {func(f *v1beta2.Function) { f.Spec.Build.SrcRepo.PollInterval = &metav1.Duration{Duration: 1} }, false},
		"serving":            {func(f *v1beta2.Function) { f.Spec.Serving = &v1beta2.FunctionServing{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reconcile()
			w.end("fn-build-00001", v1beta2.StateSucceeded, "sha256:1")
			w.reconcile()
			test.change(w.fn)
			w.reconcile()
			if got := len(w.names()) == 2; got != test.builds {
				t.Errorf("builders are %v", w.names())
			}
		})
	}
}

func ref(name string) *corev1.LocalObjectReference { return &corev1.LocalObjectReference{Name: name} }

// The one that runs is cancelled first, and only when it has stopped the next begins.
func TestChangeWhileBuilding(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.fn.Spec.Build.SrcRepo.Revision = new("v2")
	w.reconcile()
	w.want("fn-build-00001")
	w.wantState(v1beta2.StateCreated, "Unknown")
	if b := w.builder("fn-build-00001"); b.Spec.State != v1beta2.BuilderStateCancelled {
		t.Fatalf("the old build goes on: %+v", b.Spec)
	}
	writes := w.c.Writes
	w.reconcile()
	if w.c.Writes != writes {
		t.Error("waiting writes")
	}
	w.end("fn-build-00001", v1beta2.StateCanceled, "")
	w.reconcile()
	w.want("fn-build-00001", "fn-build-00002")
	if r := w.builder("fn-build-00002").Spec.SrcRepo.Revision; *r != "v2" {
		t.Errorf("builds revision %s", *r)
	}
}

// A build that was cancelled because the spec moved on is made anew when the spec comes back.
func TestChangeThereAndBack(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.fn.Spec.Build.SrcRepo.Revision = new("v2")
	w.reconcile()
	w.fn.Spec.Build.SrcRepo.Revision = nil
	w.reconcile()
	w.end("fn-build-00001", v1beta2.StateCanceled, "")
	w.reconcile()
	w.want("fn-build-00001", "fn-build-00002")
	w.wantState(v1beta2.StateCreated, "Unknown")
}

func TestCancelledByTheUser(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	b := w.builder("fn-build-00001")
	controltest.Write(t, w.c.Raw, b, func() { b.Spec.State = v1beta2.BuilderStateCancelled })
	w.end("fn-build-00001", v1beta2.StateCanceled, "")
	for range 3 {
		w.reconcile()
	}
	w.want("fn-build-00001")
	w.wantState(v1beta2.StateCanceled, "False")
}

func TestFailure(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.end("fn-build-00001", v1beta2.StateSucceeded, "sha256:1")
	w.reconcile()
	w.fn.Spec.Build.SrcRepo.Revision = new("broken")
	w.reconcile()
	b := w.builder("fn-build-00002")
	controltest.WriteStatus(t, w.c.Raw, b, func() {
		b.Status.State, b.Status.Reason, b.Status.Message = v1beta2.StateFailed, "CompileFailed", "f.go:1: no"
	})
	w.reconcile()
	w.wantState(v1beta2.StateFailed, "False")
	if c := condition.Get(w.fn.Status.Conditions, v1beta2.ConditionBuilt); c.Reason != "CompileFailed" || c.Message != "f.go:1: no" {
		t.Errorf("condition is %+v", c)
	}
	if w.fn.Status.Revision.ImageDigest != "sha256:1" || w.fn.Status.Build.LastSuccessfulResourceRef != "fn-build-00001" {
		t.Errorf("the last good build is forgotten: %+v", w.fn.Status)
	}
	w.reconcile()
	w.want("fn-build-00001", "fn-build-00002")
}

// OpenFunction kept the digest of the build and ran the new image as <new image>@<old digest>.
func TestFromBuildToImage(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.end("fn-build-00001", v1beta2.StateSucceeded, "sha256:1")
	w.reconcile()
	built := w.fn.Spec.Build
	w.fn.Spec.Build, w.fn.Spec.Image = nil, "given"
	w.reconcile()
	if w.fn.Status.Revision != nil || w.fn.Status.Sources != nil {
		t.Errorf("the digest stays: %+v", w.fn.Status.Revision)
	}
	w.wantState(v1beta2.StateSkipped, "True")
	w.fn.Spec.Build, w.fn.Spec.Image = built, "registry/fn:v1"
	w.reconcile()
	w.want("fn-build-00001") // what it made is still right
	w.wantState(v1beta2.StateSucceeded, "True")
	if w.fn.Status.Revision.ImageDigest != "sha256:1" {
		t.Errorf("revision is %+v", w.fn.Status.Revision)
	}
}

func TestFromBuildToImageWhileBuilding(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.fn.Spec.Build = nil
	w.reconcile()
	if b := w.builder("fn-build-00001"); b.Spec.State != v1beta2.BuilderStateCancelled {
		t.Error("a build that nobody wants goes on")
	}
}

func TestNoDigest(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.end("fn-build-00001", v1beta2.StateSucceeded, "sha256:1")
	w.reconcile()
	w.fn.Annotations = map[string]string{v1beta2.AnnotationRebuild: "2"}
	w.reconcile()
	w.end("fn-build-00002", v1beta2.StateSucceeded, "")
	w.reconcile()
	if w.fn.Status.Revision != nil {
		t.Errorf("the digest of the build before is pinned: %+v", w.fn.Status.Revision)
	}
}

func TestDeletedBuilder(t *testing.T) {
	for state, again := range map[v1beta2.State]bool{v1beta2.StateBuilding: true, v1beta2.StateFailed: true, v1beta2.StateSucceeded: false} {
		t.Run(string(state), func(t *testing.T) {
			w := newWorld(t)
			w.reconcile()
			w.end("fn-build-00001", state, "sha256:1")
			w.reconcile()
			if err := w.c.Delete(context.Background(), w.builder("fn-build-00001")); err != nil {
				t.Fatal(err)
			}
			w.reconcile()
			if again {
				w.want("fn-build-00001")
				w.wantState(v1beta2.StateCreated, "Unknown")
			} else {
				w.want()
				w.wantState(v1beta2.StateSucceeded, "True")
			}
		})
	}
}

// The status knows the Builder and the cache of Builders does not show it yet.
func TestCacheBehind(t *testing.T) {
	w := newWorld(t)
	w.reconcile()
	w.c.Hidden[types.NamespacedName{Namespace: "ns", Name: "fn-build-00001"}] = true
	result, err := w.p.Reconcile(context.Background(), w.fn)
	if err != nil || result.RequeueAfter == 0 {
		t.Errorf("result %+v, error %v", result, err)
	}
	w.want("fn-build-00001")
	w.wantState(v1beta2.StateCreated, "Unknown")
}

// An earlier function of the same name left a Builder that the garbage collector has not taken yet, and one was orphaned.
func TestForeignBuilders(t *testing.T) {
	old := function()
	old.UID = "u0"
	left := &v1beta2.Builder{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn-build-00001", Labels: map[string]string{v1beta2.LabelFunction: "fn"},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(old, v1beta2.GroupVersion.WithKind("Function"))}}}
	orphan := &v1beta2.Builder{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn-build-00002"}}
	w := newWorld(t, left, orphan)
	w.reconcile()
	w.want("fn-build-00001", "fn-build-00002", "fn-build-00003")
	if w.fn.Status.Build.ResourceRef != "fn-build-00003" {
		t.Errorf("takes %s for its own", w.fn.Status.Build.ResourceRef)
	}
	w.reconcile()
	w.want("fn-build-00001", "fn-build-00002", "fn-build-00003")
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	w.fn.Spec.Build.SuccessfulBuildsHistoryLimit, w.fn.Spec.Build.FailedBuildsHistoryLimit = new(int32(1)), new(int32(2))
	states := []v1beta2.State{v1beta2.StateFailed, v1beta2.StateSucceeded, v1beta2.StateTimeout, v1beta2.StateSucceeded, v1beta2.StateCanceled, v1beta2.StateFailed, v1beta2.StateSucceeded}
	for i, state := range states {
		w.fn.Annotations = map[string]string{v1beta2.AnnotationRebuild: string(rune('a' + i))}
		w.reconcile()
		w.end(w.fn.Status.Build.ResourceRef, state, "sha256:1")
		w.reconcile()
	}
	w.want("fn-build-00004", "fn-build-00005", "fn-build-00006", "fn-build-00007")
	w.fn.Spec.Build.SuccessfulBuildsHistoryLimit, w.fn.Spec.Build.FailedBuildsHistoryLimit = new(int32(0)), new(int32(0))
	w.reconcile()
	w.want("fn-build-00007") // the current one stays
	w.fn.Annotations[v1beta2.AnnotationRebuild] = "z"
	w.reconcile()
	w.want("fn-build-00008")
}

func TestGone(t *testing.T) {
	w := newWorld(t)
	if err := w.p.Gone(context.Background(), "ns", "fn"); err != nil || w.c.Writes != 0 {
		t.Errorf("error %v, %d writes", err, w.c.Writes)
	}
}

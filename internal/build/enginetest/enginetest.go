// Package enginetest is the suite that the engines which build on a cluster must pass, without their controllers: a test says what
// these would have done.
package enginetest

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	corev1 "k8s.io/api/core/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
)

// Engine builds Builders, as the controller of Builders wants it.
type Engine interface {
	Apply(ctx context.Context, b *v1beta2.Builder) (build.Progress, error)
}

// Event is something that the cluster does with a build.
type Event string

// The events.
const (
	Starts   Event = "starts"
	Succeeds Event = "succeeds" // with Digest and Commit
	Fails    Event = "fails"    // with Reason and Complaint
	TimesOut Event = "times out"
	Stops    Event = "stops" // as it was asked to
)

// What a build comes to.
const (
	Digest    = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	Commit    = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff"
	Reason    = "CompileFailed"
	Complaint = "hello.go:3:1: syntax error"
)

// Seen is what of a Builder reaches the build.
type Seen struct {
	Env                             map[string]string
	URL, Revision, Bundle, SubPath  string
	Image, SourceSecret, PushSecret string
}

// Harness is one engine.
type Harness struct {
	New func(c client.Client) Engine
	// Objects are there before anything is built, such as a strategy.
	Objects []client.Object
	// Child is an empty one of the kind that has the name of the Builder.
	Child func() *unstructured.Unstructured
	// Prepare does what the cluster does before a build can be made; nil is nothing.
	Prepare func(t *testing.T, c client.Client, b *v1beta2.Builder)
	// Play does what the cluster does when the event takes place.
	Play func(t *testing.T, c client.Client, b *v1beta2.Builder, e Event)
	// Spoil edits the child as somebody might by hand; the engine has to undo it.
	Spoil func(child *unstructured.Unstructured)
	// Spoilt says whether it is still so.
	Spoilt func(child *unstructured.Unstructured) bool
	// Sees is what the build was given.
	Sees func(t *testing.T, c client.Client, b *v1beta2.Builder) Seen
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, *world){
		"succeeds": succeeds, "fails": fails, "times out": timesOut, "cancelled before it is made": cancelledBefore, "cancelled": cancelled,
		"ended although cancelled": endedFirst, "deleted by hand": deleted, "edited by hand": edited, "name taken": taken, "two at a time": two,
		"everything of a git source": gitSource, "everything of a bundle": bundleSource, "no source": noSource,
	} {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t, h)) })
	}
}

type world struct {
	Harness
	t      *testing.T
	c      client.Client
	engine Engine
	writes atomic.Int64
}

func newWorld(t *testing.T, h Harness) *world {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta2.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{Harness: h, t: t}
	fresh := make([]client.Object, 0, len(h.Objects))
	for _, o := range h.Objects {
		fresh = append(fresh, o.DeepCopyObject().(client.Object))
	}
	w.c = fake.NewClientBuilder().WithScheme(scheme).WithObjects(fresh...).Build()
	counted := interceptor.NewClient(w.c.(client.WithWatch), interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			w.writes.Add(1)
			return c.Apply(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			w.writes.Add(1)
			return c.Patch(ctx, o, p, opts...)
		},
	})
	w.engine = h.New(counted)
	return w
}

func builder(name string) *v1beta2.Builder {
	b := &v1beta2.Builder{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-of-" + name), Labels: map[string]string{v1beta2.LabelFunction: "fn"}}}
	b.Spec.Image = "registry.example.com/" + name + ":1"
	b.Spec.SrcRepo = &v1beta2.SourceRepo{URL: "https://example.com/x.git"}
	return b
}

// apply fails the test when the build does not stand so.
func (w *world) apply(b *v1beta2.Builder, want build.Stage) build.Progress {
	w.t.Helper()
	p, err := w.engine.Apply(w.t.Context(), b)
	if err != nil || p.Stage != want {
		w.t.Fatalf("got %+v, %v; want %s", p, err, want)
	}
	return p
}

// begin makes a build that runs.
func (w *world) begin(b *v1beta2.Builder) {
	w.t.Helper()
	if w.Prepare != nil {
		w.apply(b, build.Running)
		w.Prepare(w.t, w.c, b)
	}
	w.apply(b, build.Running)
	w.Play(w.t, w.c, b, Starts)
	w.apply(b, build.Running)
}

func (w *world) child(b *v1beta2.Builder) *unstructured.Unstructured {
	u := w.Child()
	if err := w.c.Get(w.t.Context(), client.ObjectKeyFromObject(b), u); err != nil {
		w.t.Helper()
		w.t.Fatal(err)
	}
	return u
}

func succeeds(t *testing.T, w *world) {
	b := builder("one")
	w.begin(b)
	owners := w.child(b).GetOwnerReferences()
	if len(owners) != 1 || owners[0].UID != b.UID || owners[0].Controller == nil || !*owners[0].Controller {
		t.Errorf("its owners are %+v: it would outlive its Builder", owners)
	}
	before := w.writes.Load()
	w.apply(b, build.Running)
	if n := w.writes.Load() - before; n != 0 {
		t.Errorf("%d writes although nothing changed", n)
	}
	w.Play(t, w.c, b, Succeeds)
	p := w.apply(b, build.Succeeded)
	if p.Result.Digest != Digest || len(p.Result.Sources) != 1 || p.Result.Sources[0].CommitSHA != Commit {
		t.Errorf("the result is %+v", p.Result)
	}
	if len(p.Objects) == 0 {
		t.Error("nothing says what was made")
	}
}

func fails(t *testing.T, w *world) {
	b := builder("one")
	w.begin(b)
	w.Play(t, w.c, b, Fails)
	if p := w.apply(b, build.Failed); p.Reason != Reason || !strings.Contains(p.Message, Complaint) {
		t.Errorf("the user is told %s: %s", p.Reason, p.Message)
	}
}

func timesOut(t *testing.T, w *world) {
	b := builder("one")
	b.Spec.Timeout = &metav1.Duration{Duration: time.Minute}
	w.begin(b)
	w.Play(t, w.c, b, TimesOut)
	w.apply(b, build.TimedOut)
}

func cancelledBefore(t *testing.T, w *world) {
	b := builder("one")
	b.Spec.State = v1beta2.BuilderStateCancelled
	w.apply(b, build.Cancelled)
	if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(b), w.Child()); client.IgnoreNotFound(err) != nil || err == nil {
		t.Error("a cancelled build is made all the same")
	}
}

func cancelled(t *testing.T, w *world) {
	b := builder("one")
	w.begin(b)
	b.Spec.State = v1beta2.BuilderStateCancelled
	w.apply(b, build.Running)
	before := w.writes.Load()
	w.apply(b, build.Running)
	if n := w.writes.Load() - before; n != 0 {
		t.Errorf("%d writes although the end was asked for already", n)
	}
	w.Play(t, w.c, b, Stops)
	w.apply(b, build.Cancelled)
}

func endedFirst(t *testing.T, w *world) {
	b := builder("one")
	w.begin(b)
	w.Play(t, w.c, b, Succeeds)
	b.Spec.State = v1beta2.BuilderStateCancelled
	w.apply(b, build.Succeeded)
}

func deleted(t *testing.T, w *world) {
	b := builder("one")
	w.begin(b)
	if err := w.c.Delete(t.Context(), w.child(b)); err != nil {
		t.Fatal(err)
	}
	w.apply(b, build.Running)
	w.child(b)
}

func edited(t *testing.T, w *world) {
	b := builder("one")
	w.begin(b)
	child := w.child(b)
	w.Spoil(child)
	if err := w.c.Update(t.Context(), child); err != nil {
		t.Fatal(err)
	}
	if !w.Spoilt(w.child(b)) {
		t.Fatal("the edit is not there: the test would show nothing")
	}
	w.apply(b, build.Running)
	if w.Spoilt(w.child(b)) {
		t.Error("what somebody edited is not undone")
	}
}

func taken(t *testing.T, w *world) {
	b := builder("one")
	other := w.Child()
	other.SetNamespace(b.Namespace)
	other.SetName(b.Name)
	other.SetLabels(map[string]string{"whose": "theirs"})
	if err := w.c.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	_, err := w.engine.Apply(t.Context(), b)
	if wrong := (*build.Failure)(nil); !errors.As(err, &wrong) || wrong.Reason != "NameTaken" {
		t.Errorf("got %v, want that the name is taken", err)
	}
	if got := w.child(b).GetLabels(); !maps.Equal(got, other.GetLabels()) {
		t.Errorf("what another made has the labels %v", got)
	}
}

func two(t *testing.T, w *world) {
	one, other := builder("one"), builder("other")
	w.begin(one)
	w.begin(other)
	w.Play(t, w.c, one, Fails)
	w.apply(one, build.Failed)
	w.apply(other, build.Running)
	w.Play(t, w.c, other, Succeeds)
	w.apply(other, build.Succeeded)
	w.apply(one, build.Failed)
}

// odd is an environment that many a way of handing it on would break.
func odd() map[string]string {
	return map[string]string{"FUNC_NAME": "a#b", "FLAGS": "-ldflags=-X main.v=1 #2", "TEXT": "two\nlines", "SUM": "$(HOME) $HOME $$ ${x}", "QUOTED": `"'\`, "EMPTY": ""}
}

func gitSource(t *testing.T, w *world) {
	b := builder("one")
	b.Spec.Env = odd()
	b.Spec.SrcRepo = &v1beta2.SourceRepo{URL: "https://example.com/x.git", Revision: new("v1"), SourceSubPath: new("sub/dir"), Credentials: &corev1.LocalObjectReference{Name: "git"}}
	b.Spec.ImageCredentials = &corev1.LocalObjectReference{Name: "push"}
	w.begin(b)
	want := Seen{Env: odd(), URL: "https://example.com/x.git", Revision: "v1", SubPath: "sub/dir", Image: b.Spec.Image, SourceSecret: "git", PushSecret: "push"}
	same(t, w.Sees(t, w.c, b), want)
}

func bundleSource(t *testing.T, w *world) {
	b := builder("one")
	b.Spec.SrcRepo = &v1beta2.SourceRepo{URL: "https://example.com/x.git", BundleContainer: &v1beta2.BundleContainer{Image: "registry.example.com/src:1"}, Credentials: &corev1.LocalObjectReference{Name: "pull"}}
	w.begin(b)
	got := w.Sees(t, w.c, b)
	got.URL = "" // the bundle wins, whether or not the build knows of the URL
	same(t, got, Seen{Bundle: "registry.example.com/src:1", Image: b.Spec.Image, SourceSecret: "pull"})
}

func same(t *testing.T, got, want Seen) {
	t.Helper()
	if !maps.Equal(got.Env, want.Env) {
		t.Errorf("the environment is %q, want %q", got.Env, want.Env)
	}
	got.Env, want.Env = nil, nil
	if g, w := flat(got), flat(want); g != w {
		t.Errorf("the build is given %s, want %s", g, w)
	}
}

func flat(s Seen) string {
	return strings.Join([]string{s.URL, s.Revision, s.Bundle, s.SubPath, s.Image, s.SourceSecret, s.PushSecret}, " | ")
}

func noSource(t *testing.T, w *world) {
	b := builder("one")
	b.Spec.SrcRepo = nil
	_, err := w.engine.Apply(t.Context(), b)
	if wrong := (*build.Failure)(nil); !errors.As(err, &wrong) || wrong.Reason != "SourceMissing" {
		t.Errorf("got %v, want that the source is missing", err)
	}
}

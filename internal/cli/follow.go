package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/progress"
)

// retry is how long to wait before asking again after a watch has ended.
const retry = 500 * time.Millisecond

// awaited is a state of a function that is waited for.
type awaited struct {
	key        types.NamespacedName
	generation int64             // at least this one
	before     *v1beta2.Function // before the change; nil when there was none
	timeout    time.Duration     // 0 is without limit
	// rebuilt says that a new build must show, because the change is one that the generation does not count.
	rebuilt bool
}

// errEnough ends watching.
var errEnough = errors.New("enough")

// watchFunction calls see with every state of a function until see fails.
func (s *session) watchFunction(ctx context.Context, key types.NamespacedName, see func(*v1beta2.Function) error) error {
	for {
		fn := &v1beta2.Function{}
		if err := s.Client.Get(ctx, key, fn); err != nil {
			return err
		}
		if err := see(fn); err != nil {
			return err
		}
		w, err := s.Client.Watch(ctx, &v1beta2.FunctionList{}, client.InNamespace(key.Namespace), &client.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("metadata.name", key.Name),
			Raw:           &metav1.ListOptions{ResourceVersion: fn.ResourceVersion},
		})
		if err != nil {
			return err
		}
		if err := drain(w, key, see); err != nil {
			return err
		}
		select { // the server ends watches now and then
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retry):
		}
	}
}

// drain reads a watch until it ends or see fails.
func drain(w watch.Interface, key types.NamespacedName, see func(*v1beta2.Function) error) error {
	defer w.Stop()
	for event := range w.ResultChan() {
		fn, ok := event.Object.(*v1beta2.Function)
		switch {
		case !ok || fn.Name != key.Name:
			continue // an error event: the caller asks anew
		case event.Type == watch.Deleted:
			return apierrors.NewNotFound(v1beta2.GroupVersion.WithResource("functions").GroupResource(), key.Name)
		}
		if err := see(fn); err != nil {
			return err
		}
	}
	return nil
}

// follow shows how a function comes to the awaited state and gives it then. A deployment that failed has been told when
// the error comes, which is an ExitCode.
func (s *session) follow(ctx context.Context, display *progress.Display, want awaited) (*v1beta2.Function, error) {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if want.timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, want.timeout)
	}
	defer cancel()
	f := &follower{session: s, display: display, want: want}
	f.tail.session, f.tail.display = s, display
	err := s.watchFunction(limited, want.key, func(fn *v1beta2.Function) error { return f.see(limited, fn) })
	f.tail.stop()
	switch {
	case errors.Is(err, errEnough):
		return f.conclude()
	case ctx.Err() != nil:
		display.Close()
		fmt.Fprintf(s.app.env.Err, "interrupted: the deployment of %s goes on; follow it with `ofn get %s -w`\n", want.key.Name, named(want.key))
		return nil, ExitCode(130)
	case limited.Err() != nil:
		display.Close()
		fmt.Fprintf(s.app.env.Err, "%s is not ready after %s: %s. It goes on; follow it with `ofn get %s -w`, or look with `ofn describe %s`\n",
			want.key.Name, want.timeout, f.standing(), named(want.key), named(want.key))
		return nil, ExitCode(1)
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("function %s was deleted meanwhile", want.key.Name)
	default:
		return nil, err
	}
}

// follower turns states into lines.
type follower struct {
	session *session
	display *progress.Display
	want    awaited
	last    *v1beta2.Function
	tail    buildTail

	told     map[string]bool
	starting time.Time // when the new revision was first seen
}

func (f *follower) once(key string, show func()) {
	if f.told == nil {
		f.told = map[string]bool{}
	}
	if !f.told[key] {
		f.told[key] = true
		show()
	}
}

// see is called with every state.
func (f *follower) see(ctx context.Context, fn *v1beta2.Function) error {
	f.last = fn
	if fn.Status.ObservedGeneration < f.want.generation {
		f.display.Step("waiting for the controller")
		return nil
	}
	if f.want.rebuilt && f.sameBuild(fn) {
		f.display.Step("waiting for a new build")
		return nil
	}
	f.seeBuild(ctx, fn)
	f.seeServing(fn)
	switch ready := meta.FindStatusCondition(fn.Status.Conditions, v1beta2.ConditionReady); {
	case ready == nil, ready.ObservedGeneration < f.want.generation:
		return nil
	case ready.Status != metav1.ConditionUnknown:
		return errEnough
	}
	return nil
}

// sameBuild tells that the function shows the build it had before the change.
func (f *follower) sameBuild(fn *v1beta2.Function) bool {
	b := f.want.before
	return b != nil && b.Status.Build != nil && fn.Status.Build != nil && b.Status.Build.ResourceRef == fn.Status.Build.ResourceRef
}

func (f *follower) seeBuild(ctx context.Context, fn *v1beta2.Function) {
	b := fn.Status.Build
	if b == nil || b.State == v1beta2.StateSkipped {
		return
	}
	if f.sameBuild(fn) && b.State == v1beta2.StateSucceeded {
		f.once("build/"+b.ResourceRef, func() { f.display.Line("the build is unchanged: %s", b.ResourceRef) })
		return
	}
	switch {
	case b.State == v1beta2.StateSucceeded:
		f.tail.start(ctx, fn.Namespace, b.ResourceRef) // it may have begun and ended unseen
		f.tail.finish()
		f.once("build/"+b.ResourceRef, func() { f.display.Line("built in %s%s (%s)", durationOf(b), digestOf(fn), b.ResourceRef) })
	case b.State.Finished() && f.sameBuild(fn):
		f.once("build/"+b.ResourceRef, func() {
			f.display.Line("nothing has changed since %s failed; `ofn rebuild %s` tries again", b.ResourceRef, targetOf(fn))
		})
	case b.State.Finished():
		f.tail.start(ctx, fn.Namespace, b.ResourceRef)
		f.tail.finish()
	case b.State == v1beta2.StateBuilding:
		f.display.Step("building %s", b.ResourceRef)
		f.tail.start(ctx, fn.Namespace, b.ResourceRef)
	default:
		if b.Message != "" { // such as a secret that is not there
			f.once("waits/"+b.ResourceRef, func() { f.display.Line("the build waits: %s", b.Message) })
		}
		f.display.Step("waiting for the build to begin")
	}
}

func (f *follower) seeServing(fn *v1beta2.Function) {
	b, s := fn.Status.Build, fn.Status.Serving
	if s == nil || s.ResourceRef == "" || s.State == v1beta2.StateSkipped {
		return
	}
	if b != nil && b.State != v1beta2.StateSucceeded && b.State != v1beta2.StateSkipped {
		return // this revision is of an earlier build
	}
	switch {
	case s.State == v1beta2.StateRunning && f.starting.IsZero():
		f.once("serving/"+s.ResourceRef, func() { f.display.Line("revision %s is ready", s.ResourceRef) })
	case s.State == v1beta2.StateRunning:
		f.once("serving/"+s.ResourceRef, func() {
			f.display.Line("revision %s is ready after %s", s.ResourceRef, progress.Duration(time.Since(f.starting)))
		})
	case s.State != v1beta2.StateFailed && s.State != v1beta2.StateTimeout:
		if f.starting.IsZero() {
			f.starting = time.Now()
		}
		f.display.Step("starting revision %s%s", s.ResourceRef, because(s.Message))
	}
}

// conclude is called when the function has come to an end, good or bad.
func (f *follower) conclude() (*v1beta2.Function, error) {
	fn := f.last
	ready := meta.FindStatusCondition(fn.Status.Conditions, v1beta2.ConditionReady)
	if ready.Status == metav1.ConditionTrue {
		return fn, nil
	}
	f.display.Close()
	f.session.failed(fn, ready)
	return nil, ExitCode(1)
}

// standing is how far it has come.
func (f *follower) standing() string {
	if f.last == nil {
		return "nothing is known of it"
	}
	if c := meta.FindStatusCondition(f.last.Status.Conditions, v1beta2.ConditionReady); c != nil {
		return c.Reason + because(c.Message)
	}
	return "no controller has looked at it: is one running?"
}

func because(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

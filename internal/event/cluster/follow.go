package cluster

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/event"
)

// Follower tells an Engine what happens to its objects. It runs beside the controllers.
type Follower struct {
	Engine *Engine
	// Objects are the informers of Options.Objects, Manifests those of Options.Manifests.
	Objects, Manifests cache.Informers
}

// Kinds are those of which objects are made, in the form in which they are read; KEDA's are watched once there are some.
func Kinds() []client.Object {
	out := []client.Object{&corev1.Pod{}}
	for _, kind := range []schema.GroupVersionKind{
		{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1", Kind: "StatefulSet"}, {Version: "v1", Kind: "Service"}, {Version: "v1", Kind: "Secret"},
	} {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(kind)
		out = append(out, u)
	}
	return out
}

// Start follows until ctx ends.
func (f *Follower) Start(ctx context.Context) error {
	for _, kind := range Kinds() {
		if err := f.watch(ctx, f.Objects, kind, f.Engine.object); err != nil {
			return err
		}
	}
	if err := f.watch(ctx, f.Manifests, &v1beta2.Function{}, f.Engine.moved); err != nil {
		return err
	}
	f.Engine.watchScalers(func() error {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion(kedaAPI)
		u.SetKind(kindScaledObject)
		return f.watch(ctx, f.Objects, u, f.Engine.object)
	})
	var working sync.WaitGroup
	working.Go(func() { f.Engine.asking(ctx) })
	working.Go(func() { f.Engine.tidying(ctx) })
	working.Wait()
	return nil
}

func (f *Follower) watch(ctx context.Context, from cache.Informers, kind client.Object, changed func(client.Object)) error {
	informer, err := from.GetInformer(ctx, kind)
	if err != nil {
		return fmt.Errorf("watching %T: %w", kind, err)
	}
	tell := func(o any) {
		if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = last.Obj
		}
		if object, ok := o.(client.Object); ok {
			changed(object)
		}
	}
	registered, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: tell, DeleteFunc: tell,
		UpdateFunc: func(before, after any) {
			if differ(before, after) {
				tell(after)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching %T: %w", kind, err)
	}
	context.AfterFunc(ctx, func() { _ = informer.RemoveEventHandler(registered) })
	return nil
}

// differ is false for what an informer tells again without a change.
func differ(before, after any) bool {
	a, ok := before.(client.Object)
	b, also := after.(client.Object)
	return !ok || !also || a.GetResourceVersion() != b.GetResourceVersion()
}

// object is called for each change of an object of this engine.
func (e *Engine) object(o client.Object) {
	e.mu.Lock()
	ref, known := e.ids[o.GetLabels()[LabelEvents]]
	e.mu.Unlock()
	if !known {
		return
	}
	if _, pod := o.(*corev1.Pod); pod {
		select {
		case e.kick <- ref:
		default: // it is asked with all the others soon
		}
	}
	e.watch.notify(ref)
}

// moved is called for each change of a function: its callers are told when it is called elsewhere now, and those whose work it did.
func (e *Engine) moved(o client.Object) {
	fn, ok := o.(*v1beta2.Function)
	if !ok {
		return
	}
	name := event.Name{Namespace: fn.Namespace, Name: fn.Name}
	host, by := hostOf(fn, name, e.o.ClusterDomain), metav1.GetControllerOf(fn)
	e.mu.Lock()
	var callers []event.Ref
	for ref, p := range e.parts {
		at, calls := p.calls[name]
		held := by != nil && p.status.Reason == ReasonHeld && ref.Namespace == fn.Namespace && ref.Name.Name == by.Name
		if calls && at != host || held {
			callers = append(callers, ref)
		}
	}
	e.mu.Unlock()
	e.watch.notify(callers...)
}

// gone is whether there is no such Trigger.
func (e *Engine) gone(ctx context.Context, name event.Name) (bool, error) {
	err := e.o.Manifests.Get(ctx, client.ObjectKey{Namespace: name.Namespace, Name: name.Name}, &events.Trigger{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return false, err
}

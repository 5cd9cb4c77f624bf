package engines

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// User is a controller that works with an engine.
type User struct {
	Engine Engine
	// All are the requests to be looked at again when the engine comes, goes or changes.
	All func(ctx context.Context) []reconcile.Request
	// Concerned are those that an object of the engine is about.
	Concerned func(ctx context.Context, o client.Object) []reconcile.Request
	// Informers watch the objects of the engine, which then must be this user's alone; nil are those of the controller.
	Informers cache.Informers
}

// Controller watches the CustomResourceDefinitions of engines, and their objects while there are any.
type Controller struct {
	client client.Client
	cache  cache.Informers
	log    *slog.Logger

	mu       sync.Mutex
	users    []*subscription
	watching map[Kind]bool
}

type subscription struct {
	User
	ctx   context.Context // the life of the controller whose queue this is
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// NewController watches with the informers of a cache. The client must read CustomResourceDefinitions from the same.
func NewController(c client.Client, informers cache.Informers, log *slog.Logger) *Controller {
	return &Controller{client: c, cache: informers, log: log, watching: map[Kind]bool{}}
}

// Name is the controller's.
func (c *Controller) Name() string { return "engines" }

// Check says whether the cluster has the engine: nil, a *Missing, or an error of reading.
func (c *Controller) Check(ctx context.Context, e Engine) error { return Check(ctx, c.client, e) }

// Source queues the requests of a user. It is to be added to the user's controller before that starts.
func (c *Controller) Source(u User) source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		c.mu.Lock()
		c.users = append(c.users, &subscription{User: u, ctx: ctx, queue: queue})
		c.mu.Unlock()
		return c.follow(ctx)
	})
}

// Register watches the definitions that any engine may bring.
func (c *Controller) Register(m ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).
		For(&apiextensionsv1.CustomResourceDefinition{}).
		WithEventFilter(predicate.NewPredicateFuncs(c.concerns)).
		Complete(c)
}

func (c *Controller) concerns(o client.Object) bool { return len(c.usersOf(o.GetName())) > 0 }

// usersOf are the users of an engine that has the definition.
func (c *Controller) usersOf(definition string) []*subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*subscription
	for _, u := range c.users {
		if slices.ContainsFunc(u.Engine.Kinds, func(k Kind) bool { return k.definition() == definition }) {
			out = append(out, u)
		}
	}
	return out
}

// Reconcile follows the coming and going of a definition.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if err := c.follow(ctx); err != nil {
		return reconcile.Result{}, err
	}
	for _, u := range c.usersOf(req.Name) {
		u.add(u.All(ctx))
	}
	return reconcile.Result{}, nil
}

func (s *subscription) add(all []reconcile.Request) {
	for _, r := range all {
		s.queue.Add(r)
	}
}

// follow starts to watch the kinds of engines that are there, and ends the watches of those that are not.
func (c *Controller) follow(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.users {
		missing := Check(ctx, c.client, u.Engine)
		if missing != nil {
			if _, ok := missing.(*Missing); !ok { //nolint:errorlint // Check returns it bare
				return missing
			}
		}
		for _, k := range u.Engine.Kinds {
			if err := c.watch(ctx, k, cmp.Or(u.Informers, c.cache), missing == nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// watch needs c.mu.
func (c *Controller) watch(ctx context.Context, k Kind, from cache.Informers, wanted bool) error {
	switch {
	case wanted == c.watching[k]:
		return nil
	case !wanted:
		c.log.Info("an engine is gone", "kind", k.definition())
		delete(c.watching, k)
		return from.RemoveInformer(ctx, k.object())
	}
	informer, err := from.GetInformer(ctx, k.object(), cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching %s: %w", k.definition(), err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { c.tell(k, o) },
		UpdateFunc: func(_, o any) { c.tell(k, o) },
		DeleteFunc: func(o any) { c.tell(k, o) },
	})
	if err != nil {
		return fmt.Errorf("watching %s: %w", k.definition(), err)
	}
	c.log.Info("an engine is here", "kind", k.definition(), "version", k.Version)
	c.watching[k] = true
	return nil
}

// tell queues those that an object is about.
func (c *Controller) tell(k Kind, o any) {
	if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	object, ok := o.(client.Object)
	if !ok {
		return
	}
	for _, u := range c.usersOf(k.definition()) {
		u.add(u.Concerned(u.ctx, object))
	}
}

// Labelled is a Concerned by a label that names the object which is about.
func Labelled(label string) func(context.Context, client.Object) []reconcile.Request {
	return func(_ context.Context, o client.Object) []reconcile.Request {
		name := o.GetLabels()[label]
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: name}}}
	}
}

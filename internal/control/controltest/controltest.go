// Package controltest is what the tests of controllers share: an API server in memory, and time.
package controltest

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	daprv2 "github.com/openfunction/ofn/api/dapr/v2alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	kedav1 "github.com/openfunction/ofn/api/keda/v1alpha1"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
)

// Client is an API server in memory that counts the writes to it. Statuses are a subresource, as on the real one.
type Client struct {
	client.WithWatch
	// Raw is the same server for the test itself: it counts and hides nothing.
	Raw client.WithWatch
	// Writes counts what changed an object or would have: a controller at rest makes none.
	Writes int
	// Hidden names objects that Get and List do not show although they are there, as a cache that is behind does.
	Hidden map[types.NamespacedName]bool
	// Fail, when set, is asked before each write; verb is create, patch, status or delete.
	Fail func(verb string, o client.Object) error
}

// Scheme knows every kind that controllers touch.
func Scheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta2.AddToScheme, networking.AddToScheme,
		events.AddToScheme, daprv1.AddToScheme, daprv2.AddToScheme, kedav1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// New is an API server with these objects.
func New(t testing.TB, objects ...client.Object) *Client {
	t.Helper()
	c := &Client{Hidden: map[types.NamespacedName]bool{}}
	c.Raw = fake.NewClientBuilder().WithScheme(Scheme(t)).WithObjects(objects...).
		WithStatusSubresource(&v1beta2.Function{}, &v1beta2.Builder{}, &v1beta2.Serving{}, &networking.Gateway{},
			&events.EventSource{}, &events.EventBus{}, &events.ClusterEventBus{}, &events.Trigger{}, &daprv1.Component{}).
		Build()
	c.WithWatch = interceptor.NewClient(c.Raw, interceptor.Funcs{Create: c.create, Patch: c.patch, Delete: c.delete, SubResourcePatch: c.status, Get: c.get, List: c.list})
	return c
}

func (c *Client) write(verb string, o client.Object) error {
	c.Writes++
	if c.Fail == nil {
		return nil
	}
	return c.Fail(verb, o)
}

func (c *Client) create(ctx context.Context, to client.WithWatch, o client.Object, opts ...client.CreateOption) error {
	if err := c.write("create", o); err != nil {
		return err
	}
	if o.GetUID() == "" {
		o.SetUID(types.UID(o.GetNamespace() + "/" + o.GetName()))
	}
	return to.Create(ctx, o, opts...)
}

func (c *Client) patch(ctx context.Context, to client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	if err := c.write("patch", o); err != nil {
		return err
	}
	return to.Patch(ctx, o, p, opts...)
}

func (c *Client) delete(ctx context.Context, to client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
	if err := c.write("delete", o); err != nil {
		return err
	}
	return to.Delete(ctx, o, opts...)
}

func (c *Client) status(ctx context.Context, to client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	if err := c.write("status", o); err != nil {
		return err
	}
	return to.SubResource(sub).Patch(ctx, o, p, opts...)
}

func (c *Client) get(ctx context.Context, from client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if c.Hidden[key] {
		key.Name += "-hidden-from-the-cache"
	}
	return from.Get(ctx, key, o, opts...)
}

func (c *Client) list(ctx context.Context, from client.WithWatch, into client.ObjectList, opts ...client.ListOption) error {
	if err := from.List(ctx, into, opts...); err != nil {
		return err
	}
	switch l := into.(type) {
	case *v1beta2.BuilderList:
		l.Items = visible(c, l.Items, func(b *v1beta2.Builder) client.Object { return b })
	case *v1beta2.ServingList:
		l.Items = visible(c, l.Items, func(s *v1beta2.Serving) client.Object { return s })
	}
	return nil
}

func visible[T any](c *Client, items []T, object func(*T) client.Object) []T {
	var out []T
	for i := range items {
		if !c.Hidden[client.ObjectKeyFromObject(object(&items[i]))] {
			out = append(out, items[i])
		}
	}
	return out
}

// Read reads an object that must be there.
func Read[T client.Object](t testing.TB, c client.Client, namespace, name string, into T) T {
	t.Helper()
	if err := c.Get(context.Background(), types.NamespacedName{Namespace: namespace, Name: name}, into); err != nil {
		t.Fatalf("reading %T %s/%s: %v", into, namespace, name, err)
	}
	return into
}

// WriteStatus changes the status of an object that is there.
func WriteStatus(t testing.TB, c client.Client, o client.Object, change func()) {
	t.Helper()
	before := o.DeepCopyObject().(client.Object)
	change()
	if err := c.Status().Patch(context.Background(), o, client.MergeFrom(before)); err != nil {
		t.Fatalf("writing the status of %s: %v", o.GetName(), err)
	}
}

// Write changes an object that is there, its status apart.
func Write(t testing.TB, c client.Client, o client.Object, change func()) {
	t.Helper()
	before := o.DeepCopyObject().(client.Object)
	change()
	if err := c.Patch(context.Background(), o, client.MergeFrom(before)); err != nil {
		t.Fatalf("writing %s: %v", o.GetName(), err)
	}
}

// Soon waits for another goroutine to bring something about; how long is no matter of the test.
func Soon(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
		time.Sleep(time.Millisecond)
	}
}

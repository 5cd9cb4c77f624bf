package pods_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/gateway"
	"github.com/openfunction/ofn/internal/instance"
	driver "github.com/openfunction/ofn/internal/instance/drivers/pods"
	"github.com/openfunction/ofn/internal/route"
	"github.com/openfunction/ofn/internal/route/embedded"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/node"
	"github.com/openfunction/ofn/internal/run/pods"
)

// patience bounds every wait: only a failure takes that long.
const patience = time.Minute

// worlds keeps the addresses of those that there are at the same time apart: two may choose the same port.
var worlds atomic.Int32

// world is an operator's engine and a gateway over an API server, and a node whose pods are HTTP servers of this process.
type world struct {
	*testing.T
	client   client.Client
	engine   *pods.Engine
	follower *pods.Follower
	driver   *driver.Driver
	node     *node.Node
	url      string
	port     int
	number   int32 // second of its pods' addresses

	mu      sync.Mutex
	pods    map[string]*http.Server
	started int
	serving sync.WaitGroup
	changed chan run.Key
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, pods: map[string]*http.Server{}, changed: make(chan run.Key, 100), number: 10 + worlds.Add(1)%200}
	w.client = fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{Create: w.create, Delete: w.remove}).Build()
	w.engine = pods.New(w.client, w.client, pods.Options{GatewayNamespace: "openfunction", GatewayName: "ofn-gateway", ClusterDomain: "cluster.local"})
	log := slog.New(slog.DiscardHandler)
	w.driver = driver.New(driver.Options{Client: w.client, Container: "function", Log: log,
		Template: func(ctx context.Context, namespace, name string) (*corev1.PodTemplate, error) {
			p := &corev1.PodTemplate{}
			return p, w.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, p)
		}})
	var err error
	if w.node, err = node.New(node.Options{Drivers: map[string]instance.Driver{"": w.driver}, Images: anyImage{}, Log: log}); err != nil {
		t.Fatal(err)
	}
	g := gateway.New(gateway.Options{DrainTimeout: time.Second})
	w.follower = pods.NewFollower(w.client, w.node, router{embedded.New(g, func(namespace, name string) *activator.Revision {
		return w.node.Revision(run.Key{Namespace: namespace, Name: name})
	})}, log)
	l := w.listen("127.0.0.1:0")
	w.url = "http://" + l.Addr().String()
	free := w.listen(fmt.Sprintf("127.%d.9.9:0", w.number))
	w.port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	w.run(func(ctx context.Context) { _ = g.Serve(ctx, l) })
	w.run(w.follow)
	t.Cleanup(func() {
		if err := w.node.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		w.driver.Close()
		w.mu.Lock()
		for _, s := range w.pods {
			s.Close()
		}
		w.mu.Unlock()
		w.serving.Wait()
	})
	return w
}

func (w *world) listen(address string) net.Listener {
	w.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		w.Fatal(err)
	}
	return l
}

// run runs something until the test ends.
func (w *world) run(what func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); what(ctx) }()
	w.Cleanup(func() { cancel(); <-done })
}

// follow does what the controllers of the gateway do on changes.
func (w *world) follow(ctx context.Context) {
	w.node.Watch(ctx, func(k run.Key) {
		select {
		case w.changed <- k:
		default: // there is enough to do, and the last state is what is written
		}
	})
	for {
		select {
		case k := <-w.changed:
			if _, err := w.follower.Revision(ctx, reconcile.Request{NamespacedName: client.ObjectKey(k)}); err != nil && ctx.Err() == nil {
				w.Error(err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// create makes a pod that serves at an address of its own, as a node would.
func (w *world) create(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return c.Create(ctx, o, opts...)
	}
	w.mu.Lock()
	w.started++
	p.Status.PodIP = fmt.Sprintf("127.%d.%d.%d", w.number, w.started/200, 1+w.started%200)
	w.mu.Unlock()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", p.Status.PodIP, w.port))
	if err != nil {
		return err
	}
	revision := p.Labels[driver.LabelRevision]
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, revision) })}
	w.mu.Lock()
	w.pods[p.Name] = s
	w.mu.Unlock()
	w.serving.Go(func() { _ = s.Serve(l) })
	if err := c.Create(ctx, p, opts...); err != nil {
		return err
	}
	w.driver.Seen(p.DeepCopy())
	return nil
}

func (w *world) remove(ctx context.Context, c client.WithWatch, o client.Object, _ ...client.DeleteOption) error {
	if err := c.Delete(ctx, o); err != nil {
		return err
	}
	if _, ok := o.(*corev1.Pod); ok {
		w.mu.Lock()
		w.pods[o.GetName()].Close()
		w.mu.Unlock()
		w.driver.Gone(o.GetNamespace(), o.GetName())
	}
	return nil
}

type anyImage struct{}

func (anyImage) Root(context.Context, string, *run.Credentials) (node.Root, error) {
	return node.Root{Config: node.Config{Entrypoint: []string{"program"}}}, nil
}

type router struct{ *embedded.Router }

func (r router) Set(namespace, name, _ string, shares []pods.Share) error {
	out := route.Route{Key: route.Key{Namespace: namespace, Name: name}, Hosts: []string{name + "." + namespace + ".svc.cluster.local"}}
	for _, s := range shares {
		out.Backends = append(out.Backends, route.Backend{Revision: s.Revision, Weight: s.Percent})
	}
	return r.Router.Set(out)
}

func (r router) Delete(namespace, name string) error {
	return r.Router.Delete(route.Key{Namespace: namespace, Name: name})
}

// service is a function with revisions fn-1 to fn-n that go to zero at once.
func (w *world) service(n int, traffic ...cluster.Share) cluster.Service {
	s := cluster.Service{Namespace: "ns", Name: "fn", Traffic: traffic,
		Owner: metav1.OwnerReference{APIVersion: "core.openfunction.io/v1beta2", Kind: "Function", Name: "fn", UID: "of-the-function", Controller: new(true)}}
	for i := range n {
		name := fmt.Sprintf("fn-%d", i+1)
		s.Revisions = append(s.Revisions, cluster.Revision{Name: name, Labels: map[string]string{v1beta2.LabelFunction: "fn", v1beta2.LabelServing: name},
			Annotations: map[string]string{"autoscaling.knative.dev/window": "6s", "other.example.com/x": "y"},
			Pod: corev1.PodSpec{Containers: []corev1.Container{{Name: "function", Image: "image", Ports: []corev1.ContainerPort{{ContainerPort: int32(w.port)}},
				Env: []corev1.EnvVar{{Name: "PORT", Value: "1"}, {Name: "A", Value: "b"}}}}}})
	}
	return s
}

// apply does what the operator and then the gateway do about a change.
func (w *world) apply(s cluster.Service) cluster.Status {
	w.Helper()
	st, err := w.engine.Apply(w.Context(), s)
	if err != nil {
		w.Fatal(err)
	}
	if err := w.follower.Prime(w.Context()); err != nil {
		w.Fatal(err)
	}
	for _, r := range s.Revisions {
		w.changed <- run.Key{Namespace: s.Namespace, Name: r.Name}
	}
	return st
}

func (w *world) eventually(wrong func() string) {
	w.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		said := wrong()
		if said == "" {
			return
		}
		if time.Now().After(end) {
			w.Fatalf("after %v: %s", patience, said)
		}
	}
}

// ready waits until a revision is known to the operator as ready.
func (w *world) ready(s cluster.Service, revision string) cluster.Status {
	w.Helper()
	var st cluster.Status
	w.eventually(func() string {
		var err error
		if st, err = w.engine.Apply(w.Context(), s); err != nil {
			w.Fatal(err)
		}
		if st.Revisions[revision].Phase != run.Ready {
			return fmt.Sprintf("revision %s is %+v", revision, st.Revisions[revision])
		}
		return ""
	})
	return st
}

func (w *world) get(host string) string {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.url, nil)
	if err != nil {
		w.Fatal(err)
	}
	req.Host = host + ".ns.svc.cluster.local"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return resp.Status
	}
	return string(body)
}

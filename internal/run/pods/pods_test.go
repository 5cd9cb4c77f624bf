package pods_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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

	mu      sync.Mutex
	pods    map[string]*http.Server
	started int
	serving sync.WaitGroup
	changed chan run.Key
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, pods: map[string]*http.Server{}, changed: make(chan run.Key, 100)}
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
	free := w.listen("127.9.9.9:0")
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
	p.Status.PodIP = fmt.Sprintf("127.9.%d.%d", w.started/200, 1+w.started%200)
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

func TestRevisionsTrafficAndRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.service(1)
	if st := w.apply(one); st.Revisions["fn-1"].Reason != "WaitingForGateway" || !st.Made["fn-1"] || st.Objects[pods.RefTemplate] != "fn" {
		t.Errorf("at first it stands so: %+v", st)
	}
	st := w.ready(one, "fn-1")
	if got := w.get("fn"); got != "fn-1" {
		t.Fatalf("the function answers %q", got)
	}
	if len(st.Backends) != 1 || st.Backends[0].Host != "fn.ns.svc.cluster.local" || st.Backends[0].Name != "ofn-gateway" {
		t.Errorf("routes would lead to %+v", st.Backends)
	}
	split := w.service(2, cluster.Share{Revision: "fn-1", Percent: 50}, cluster.Share{Revision: "fn-2", Percent: 50}, cluster.Share{Revision: "fn-2", Tag: "next"})
	w.apply(split)
	if st := w.ready(split, "fn-2"); st.TagURLs["next"] != "http://next-fn.ns.svc.cluster.local" {
		t.Errorf("the tag is at %v", st.TagURLs)
	}
	for range 10 {
		if got := w.get("next-fn"); got != "fn-2" {
			t.Fatalf("the tag answers %q", got)
		}
	}
	answers := map[string]int{}
	for range 40 {
		answers[w.get("fn")]++
	}
	if answers["fn-1"] == 0 || answers["fn-2"] == 0 {
		t.Errorf("half and half is %v", answers)
	}
	back := w.service(2, cluster.Share{Revision: "fn-1", Percent: 100})
	w.apply(back)
	if got := w.get("fn"); got != "fn-1" {
		t.Errorf("after the rollback the function answers %q", got)
	}
	w.gone("next-fn")
}

// gone checks that a name that is not wanted any more has gone, and nothing else has.
func (w *world) gone(name string) {
	w.Helper()
	var list corev1.ServiceList
	if err := w.client.List(w.Context(), &list); err != nil {
		w.Fatal(err)
	}
	for _, s := range list.Items {
		if s.Name == name {
			w.Errorf("service %s is still there", name)
		}
	}
	if len(list.Items) != 1 {
		w.Errorf("there are %d services, want one", len(list.Items))
	}
}

func TestToZeroAndFromZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(1)
	s.Revisions[0].Annotations["autoscaling.knative.dev/window"] = "6s"
	w.apply(s)
	w.ready(s, "fn-1")
	w.eventually(func() string { // it is proven, and nobody calls it
		if there := w.driver.Pods("ns", "fn-1"); len(there) != 0 {
			return fmt.Sprintf("there still are %v", there)
		}
		return ""
	})
	if st := w.ready(s, "fn-1"); st.Revisions["fn-1"].Phase != run.Ready {
		t.Errorf("at zero it stands so: %+v", st.Revisions["fn-1"])
	}
	if got := w.get("fn"); got != "fn-1" {
		t.Errorf("from zero the function answers %q", got)
	}
}

func TestPodOfARevision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(w.service(1))
	p := &corev1.PodTemplate{}
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "fn-1"}, p); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, e := range p.Template.Spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	if env["PORT"] != fmt.Sprint(w.port) || env["K_SERVICE"] != "fn" || env["K_REVISION"] != "fn-1" || env["A"] != "b" {
		t.Errorf("the environment is %v", env)
	}
	if _, ok := env["POD_NAME"]; !ok {
		t.Error("the function is not told the name of its pod")
	}
	if p.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("the restart policy is %s", p.Template.Spec.RestartPolicy)
	}
	r, err := pods.Revision(p)
	if err != nil || !r.Reachable || r.Proven || r.Function != "fn" || r.Port != w.port || len(r.Annotations) != 1 {
		t.Errorf("the gateway reads %+v, %v", r, err)
	}
}

func TestInvalidRevision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(1)
	s.Revisions[0].Annotations["autoscaling.knative.dev/min-scale"] = "many"
	w.apply(s)
	w.eventually(func() string {
		st, err := w.engine.Apply(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if r := st.Revisions["fn-1"]; r.Phase != run.Failed || r.Reason != "InvalidRevision" || !strings.Contains(r.Message, `"many"`) {
			return fmt.Sprintf("it stands so: %+v", r)
		}
		return ""
	})
}

// The name may still be another engine's, which leaves it when the function runs.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.client.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn"}}); err != nil {
		t.Fatal(err)
	}
	st := w.apply(w.service(1))
	if st.Routed.Status != metav1.ConditionFalse || st.Routed.Reason != "NameTaken" {
		t.Errorf("routed is %+v", st.Routed)
	}
	w.ready(w.service(1), "fn-1")
}

func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(1)
	w.apply(s)
	w.ready(s, "fn-1")
	if err := w.engine.Remove(t.Context(), "ns", "fn", s.Owner); err != nil {
		t.Fatal(err)
	}
	w.changed <- run.Key{Namespace: "ns", Name: "fn-1"}
	if _, err := w.follower.Service(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "ns", Name: "fn"}}); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() string {
		left := len(w.driver.Pods("ns", "fn-1"))
		for _, o := range pods.Kinds() {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
			if err := w.client.List(t.Context(), list); err != nil {
				return err.Error()
			}
			left += len(list.Items)
		}
		if left > 0 {
			return fmt.Sprintf("%d objects are left", left)
		}
		return ""
	})
	if got := w.get("fn"); got != "404 Not Found" {
		t.Errorf("a removed function answers %q", got)
	}
}

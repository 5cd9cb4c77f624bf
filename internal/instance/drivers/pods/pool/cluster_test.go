package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/openfunction/ofn/internal/instance/drivers/pods/holder"
	"github.com/openfunction/ofn/internal/instance/drivers/pods/pool"
)

// refusing is a namespace in which no pod can be made.
const refusing = "refusing"

// cluster runs the holders of warm pods in this process, each at an address of its own.
type cluster struct {
	*testing.T
	client.Client
	pool *pool.Pool
	port int
	file string

	mu      sync.Mutex
	made    int
	refuse  error
	refused int                     // pods in the namespace refusing
	resize  func(*corev1.Pod) error // what the API server and the node make of it
	files   []string                // what was unpacked
	given   map[string]*holder.Program
	stop    map[string]context.CancelFunc
	running sync.WaitGroup
}

// Program implements pool.Programs.
func (c *cluster) Program(namespace, image string, secrets []string) *pool.Program {
	switch image {
	case "alone":
		return &pool.Program{File: c.file, Size: 7, Args: []string{"/app/fn"}, Env: []string{"A=image", "B=image"}, Dir: "/app"}
	case "python":
		return &pool.Program{Kind: "python", File: c.file, Size: 7, Args: []string{"python3", "fn.py"}, Drop: []string{"OWN"}, Dir: "/workspace"}
	case "private":
		if namespace == "ns" && slices.Equal(secrets, []string{"registry", "other"}) {
			return &pool.Program{File: c.file, Size: 7, Args: []string{"/app/fn"}}
		}
	}
	return nil
}

func newCluster(t *testing.T, size, most int) *cluster {
	c := &cluster{T: t, given: map[string]*holder.Program{}, stop: map[string]context.CancelFunc{}, file: filepath.Join(t.TempDir(), "program")}
	if err := os.WriteFile(c.file, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.8.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	c.Client = fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{Create: c.create, Patch: c.patch, Delete: c.remove, SubResourcePatch: c.resized}).Build()
	c.pool = pool.New(pool.Options{Client: c.Client, Programs: c, Image: "ofn", Kinds: map[string]string{"python": "ofn-on-python"}, Command: []string{"hold"}, Size: size, Most: most,
		Resize: true, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("50m"), "memory": resource.MustParse("64Mi")}},
		Labels: map[string]string{"mine": "true"}, Container: "function", Port: c.port, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		c.mu.Lock()
		for _, stop := range c.stop {
			stop()
		}
		c.mu.Unlock()
		c.running.Wait()
	})
	return c
}

// start runs the pool and returns what ends it.
func (c *cluster) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.pool.Run(ctx) }()
	stop = func() { cancel(); <-done }
	c.Cleanup(stop)
	return stop
}

func (c *cluster) create(ctx context.Context, to client.WithWatch, o client.Object, opts ...client.CreateOption) error {
	p := o.(*corev1.Pod)
	c.mu.Lock()
	c.made++
	refuse := c.refuse
	if o.GetNamespace() == refusing {
		c.refused++
		refuse = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, p.Name, errors.New("it is being terminated"))
	}
	p.Status.PodIP = fmt.Sprintf("127.8.0.%d", c.made)
	c.mu.Unlock()
	if refuse != nil {
		return refuse
	}
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", p.Status.PodIP, c.port))
	if err != nil {
		return err
	}
	command := p.Spec.Containers[0].Command
	dir := c.TempDir()
	life, end := context.WithCancel(context.Background())
	c.mu.Lock()
	c.stop[p.Name] = end
	c.mu.Unlock()
	c.running.Go(func() {
		got, err := holder.Wait(life, l, holder.Options{TokenHash: command[len(command)-1], Dir: dir, Most: 100, Unpack: c.unpack, Environ: []string{"OWN=pool"}, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			c.mu.Lock()
			c.given[p.Name] = got
			c.mu.Unlock()
		}
	})
	if err := to.Create(ctx, p, opts...); err != nil {
		return err
	}
	c.see(p)
	return nil
}

// see tells of a pod in two steps, as of one that gets its address.
func (c *cluster) see(p *corev1.Pod) {
	early := p.DeepCopy()
	early.Status.PodIP = ""
	c.pool.Seen(early)
	c.pool.Seen(p.DeepCopy())
}

func (c *cluster) patch(ctx context.Context, to client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
	c.mu.Lock()
	refuse := c.refuse
	c.mu.Unlock()
	if refuse != nil {
		return refuse
	}
	if err := to.Patch(ctx, o, patch, opts...); err != nil {
		return err
	}
	c.pool.Seen(o.DeepCopyObject().(*corev1.Pod))
	return nil
}

func (c *cluster) unpack(_ context.Context, archive io.Reader) error {
	data, err := io.ReadAll(archive)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = append(c.files, string(data))
	return err
}

// resized is what a node makes of it, as c.resize says.
func (c *cluster) resized(ctx context.Context, to client.Client, sub string, o client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	if sub != "resize" {
		return fmt.Errorf("%s is patched", sub)
	}
	if err := to.Patch(ctx, o, patch); err != nil {
		return err
	}
	p := o.(*corev1.Pod)
	if err := c.resize(p); err != nil {
		return err
	}
	later := p.DeepCopy()
	p.Status = corev1.PodStatus{} // what the node says comes later
	c.running.Go(func() { c.pool.Seen(later) })
	return nil
}

func (c *cluster) remove(ctx context.Context, to client.WithWatch, o client.Object, _ ...client.DeleteOption) error {
	if err := to.Delete(ctx, o); err != nil {
		return err
	}
	c.mu.Lock()
	if stop := c.stop[o.GetName()]; stop != nil {
		stop()
	}
	c.mu.Unlock()
	c.pool.Gone(o.GetNamespace(), o.GetName())
	return nil
}

func (c *cluster) there(namespace string) []corev1.Pod {
	c.Helper()
	var list corev1.PodList
	if err := c.List(context.Background(), &list, client.InNamespace(namespace)); err != nil {
		c.Fatal(err)
	}
	return list.Items
}

func (c *cluster) eventually(wrong func() string) {
	c.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		said := wrong()
		if said == "" {
			return
		}
		if time.Now().After(end) {
			c.Fatal(said)
		}
	}
}

func (c *cluster) waiting(namespace string, n int) {
	c.Helper()
	c.eventually(func() string {
		if got := c.pool.Ready(namespace); got != n {
			return fmt.Sprintf("%d pods wait in %s, want %d", got, namespace, n)
		}
		return ""
	})
}

func template(namespace, image string) *corev1.PodTemplate {
	t := &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "fn-1", UID: "of-the-template"}}
	t.Template.Labels = map[string]string{"openfunction.io/function": "fn", "mine": "true"}
	t.Template.Spec = corev1.PodSpec{AutomountServiceAccountToken: new(false), RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{
		Name: "function", Image: image, Env: []corev1.EnvVar{{Name: "B", Value: "template"}}, Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}}
	return t
}

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
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/pods"
	"github.com/openfunction/ofn/internal/instance/drivers/pods/holder"
	"github.com/openfunction/ofn/internal/instance/drivers/pods/pool"
)

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

func TestTake(t *testing.T) {
	c := newCluster(t, 2, 10)
	stop := c.start()
	fn := template("ns", "alone")
	c.pool.Consider(fn)
	c.waiting("ns", 2)
	var claimed string
	p, err := c.pool.Take(t.Context(), fn, instance.Spec{Listen: instance.Listen{Port: 8080}}, func(name string) { claimed = name })
	if err != nil || p == nil {
		t.Fatal(p, err)
	}
	own := metav1.GetControllerOf(p)
	if p.Name != claimed || p.Labels[pods.LabelRevision] != "fn-1" || p.Labels["openfunction.io/function"] != "fn" || p.Labels[pool.Label] != "" || own == nil || own.UID != "of-the-template" || p.Status.PodIP == "" {
		t.Errorf("the copy is %+v", p.ObjectMeta)
	}
	c.eventually(func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		got := c.given[p.Name]
		if got == nil {
			return "the holder was not given its program"
		}
		want := []string{"OWN=pool", "HOME=/tmp", "A=image", "B=template", "POD_NAME=" + p.Name}
		if fmt.Sprint(got.Env) != fmt.Sprint(want) {
			return fmt.Sprintf("the environment is %v, want %v", got.Env, want)
		}
		return ""
	})
	c.waiting("ns", 2) // the pool fills up again
	if n := len(c.there("ns")); n != 3 {
		t.Errorf("there are %d pods, want 3", n)
	}
	c.pool.Forget("ns", "fn-1")
	c.waiting("ns", 0)
	stop()
	if there := c.there("ns"); len(there) != 1 || there[0].Name != p.Name {
		t.Errorf("in the end there are %d pods, want the copy alone", len(there))
	}
}

func TestNothingToTake(t *testing.T) {
	c := newCluster(t, 1, 10)
	c.start()
	fn := template("ns", "alone")
	c.pool.Consider(fn)
	c.waiting("ns", 1)
	claim := func(string) { t.Error("a pod is claimed") }
	for name, other := range map[string]*corev1.PodTemplate{"image of more": template("ns", "more"), "namespace without": template("other", "alone")} {
		if p, err := c.pool.Take(t.Context(), other, instance.Spec{}, claim); p != nil || err != nil {
			t.Errorf("%s: got %v, %v", name, p, err)
		}
	}
	if p, err := c.pool.Take(t.Context(), fn, instance.Spec{Listen: instance.Listen{Port: c.port}}, claim); p != nil || err != nil {
		t.Errorf("the holder's own port: got %v, %v", p, err)
	}
	c.mu.Lock()
	c.refuse = errors.New("no")
	c.mu.Unlock()
	claimed := false
	if p, err := c.pool.Take(t.Context(), fn, instance.Spec{}, func(string) { claimed = true }); err == nil || !claimed {
		t.Errorf("a pod that cannot become a copy: got %v, %v", p, err)
	}
}

func TestBounds(t *testing.T) {
	c := newCluster(t, 2, 3)
	stranger := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "of-another", Labels: map[string]string{pool.Label: "another"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Command: []string{"hold", "x"}}}}}
	if err := c.Create(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.pool.Consider(template("a", "alone"))
	c.pool.Consider(template("b", "alone"))
	c.eventually(func() string {
		if n := c.pool.Ready("a") + c.pool.Ready("b"); n != 3 {
			return fmt.Sprintf("%d pods wait, want 3", n)
		}
		for _, p := range append(c.there("a"), c.there("b")...) {
			if p.Name == stranger.Name {
				return "the pod of another pool is still there"
			}
		}
		return ""
	})
}

func TestKinds(t *testing.T) {
	c := newCluster(t, 1, 10)
	c.start()
	c.pool.Consider(template("ns", "python"))
	c.waiting("ns", 1)
	plain := template("ns", "alone")
	plain.Name = "plain-1"
	c.pool.Consider(plain)
	c.waiting("ns", 2) // each kind has its own
	p, err := c.pool.Take(t.Context(), template("ns", "python"), instance.Spec{}, func(string) {})
	if err != nil || p == nil {
		t.Fatal(p, err)
	}
	if got := p.Spec.Containers[0]; got.Image != "ofn-on-python" || len(got.VolumeMounts) != 3 || got.VolumeMounts[1].MountPath != "/workspace" {
		t.Errorf("the copy is made of %s with %v", got.Image, got.VolumeMounts)
	}
	c.eventually(func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		got := c.given[p.Name]
		if got == nil {
			return "the holder was not given its program"
		}
		env := fmt.Sprint(got.Env)
		if fmt.Sprint(c.files) != "[program]" || got.Path != "" || !got.Files || strings.Contains(env, "OWN") || !strings.Contains(env, "PATH=/usr/local/sbin:") {
			return fmt.Sprintf("it becomes %+v with the files %q", got, c.files)
		}
		return ""
	})
}

func TestPullSecrets(t *testing.T) {
	c := newCluster(t, 1, 10)
	c.start()
	fn := template("ns", "private")
	fn.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}, {Name: "other"}}
	c.pool.Consider(fn)
	c.waiting("ns", 1)
	p, err := c.pool.Take(t.Context(), fn, instance.Spec{}, func(string) {})
	if err != nil || p == nil || len(p.Spec.ImagePullSecrets) != 0 {
		t.Errorf("the copy is %v, %v", p, err)
	}
	without := template("ns", "private")
	if p, err := c.pool.Take(t.Context(), without, instance.Spec{}, func(string) {}); p != nil || err != nil {
		t.Errorf("without secrets: %v, %v", p, err)
	}
}

func TestResize(t *testing.T) {
	pending := corev1.PodCondition{Type: corev1.PodResizePending, Status: "True", Reason: corev1.PodReasonInfeasible, Message: "the node is too small"}
	allocated := func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "function", AllocatedResources: p.Spec.Containers[0].Resources.Requests}}
	}
	for name, test := range map[string]struct {
		resize func(*corev1.Pod) error
		want   string
	}{
		"allocated":  {func(p *corev1.Pod) error { allocated(p); return nil }, ""},
		"infeasible": {func(p *corev1.Pod) error { p.Status.Conditions = []corev1.PodCondition{pending}; return nil }, "the node is too small"},
		"refused":    {func(*corev1.Pod) error { return errors.New("over the quota") }, "over the quota"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, 10)
			c.resize = test.resize
			c.start()
			fn := template("ns", "alone")
			fn.Template.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"memory": resource.MustParse("1Gi")}
			c.pool.Consider(fn)
			c.waiting("ns", 2)
			p, err := c.pool.Take(t.Context(), fn, instance.Spec{}, func(string) {})
			if test.want == "" {
				if err != nil || p == nil {
					t.Fatal(p, err)
				}
				got := &corev1.Pod{}
				if err := c.Get(t.Context(), client.ObjectKeyFromObject(p), got); err != nil {
					t.Fatal(err)
				}
				if r := got.Spec.Containers[0].Resources; r.Limits.Memory().String() != "1Gi" || r.Requests.Cpu().String() != "50m" {
					t.Errorf("it has %v", r)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
			c.waiting("ns", 2)
			if p, err := c.pool.Take(t.Context(), fn, instance.Spec{}, func(string) { t.Error("another pod is spent on it") }); p != nil || err != nil {
				t.Errorf("the next time: %v, %v", p, err)
			}
		})
	}
}

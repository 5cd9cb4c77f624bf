package pool_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/pods"
	"github.com/openfunction/ofn/internal/instance/drivers/pods/pool"
)

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

// TestRefused: a namespace without room is asked now and then, and the others have their pods.
func TestRefused(t *testing.T) {
	c := newCluster(t, 2, 10)
	c.start()
	c.pool.Consider(template(refusing, "alone"))
	c.pool.Consider(template("ns", "alone"))
	c.waiting("ns", 2)
	began := time.Now()
	for range 20 { // each finds the pool at work
		p, err := c.pool.Take(t.Context(), template("ns", "alone"), instance.Spec{}, func(string) {})
		if err != nil || p == nil {
			t.Fatal(p, err)
		}
		c.waiting("ns", 2)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if most := 2 + int(time.Since(began)/(4*time.Second)); c.refused < 1 || c.refused > most {
		t.Errorf("%d pods were tried where none can be made, want 1 to %d", c.refused, most)
	}
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

package pods_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/pods"
)

// node plays the cluster: what it does to a new pod is the test's.
type node struct {
	client.Client
	driver *pods.Driver
	mu     sync.Mutex
	made   func(*corev1.Pod) error
	graces []int64
}

func newNode(t *testing.T, o pods.Options) *node {
	t.Helper()
	n := &node{}
	n.Client = fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, x client.Object, opts ...client.CreateOption) error {
			if p, ok := x.(*corev1.Pod); ok && n.made != nil {
				if err := n.made(p); err != nil {
					return err
				}
			}
			if err := c.Create(ctx, x, opts...); err != nil {
				return err
			}
			n.driver.Seen(x.DeepCopyObject().(*corev1.Pod))
			return nil
		},
		Delete: func(ctx context.Context, c client.WithWatch, x client.Object, opts ...client.DeleteOption) error {
			o := (&client.DeleteOptions{}).ApplyOptions(opts)
			n.mu.Lock()
			n.graces = append(n.graces, *o.GracePeriodSeconds)
			n.mu.Unlock()
			if err := c.Delete(ctx, x); err != nil {
				return err
			}
			n.driver.Gone(x.GetNamespace(), x.GetName())
			return nil
		},
	}).Build()
	o.Client, o.Container, o.Log = n.Client, "function", slog.New(slog.DiscardHandler)
	o.Template = func(_ context.Context, namespace, revision string) (*corev1.PodTemplate, error) {
		if revision != "fn-1" {
			return nil, nil
		}
		t := &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: revision, UID: "of-the-template"}}
		t.Template.Labels = map[string]string{"openfunction.io/engine": "pods"}
		t.Template.Spec.Containers = []corev1.Container{{Name: "function", Image: "image"}}
		return t, nil
	}
	n.driver = pods.New(o)
	t.Cleanup(func() {
		if err := n.driver.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func spec(id string) instance.Spec {
	return instance.Spec{ID: id, Namespace: "ns", Revision: "fn-1", Listen: instance.Listen{Port: 8080}, Log: io.Discard}
}

func (n *node) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := n.List(context.Background(), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func running(p *corev1.Pod) error { p.Status.PodIP = "127.0.0.1"; return nil }

func isDone(i instance.Instance) bool {
	select {
	case <-i.Done():
		return true
	default:
		return false
	}
}

func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, pods.Options{})
		n.made = running
		i, err := n.driver.Start(t.Context(), spec("fn-1-a"))
		if err != nil {
			t.Fatal(err)
		}
		there := n.pods(t)
		if len(there) != 1 || there[0].Name != "fn-1-a" || there[0].Labels[pods.LabelRevision] != "fn-1" || there[0].Labels["openfunction.io/engine"] != "pods" {
			t.Fatalf("the pods are %+v", there)
		}
		if own := metav1.GetControllerOf(&there[0]); own == nil || own.UID != "of-the-template" {
			t.Errorf("the pod's owner is %+v", own)
		}
		if isDone(i) {
			t.Error("it has ended already")
		}
		i.Stop(7 * time.Second)
		<-i.Done()
		if !i.Exit().Requested || len(n.pods(t)) != 0 || n.graces[0] != 7 {
			t.Errorf("exit %+v, pods %v, graces %v", i.Exit(), n.pods(t), n.graces)
		}
	})
}

func TestHowItEnds(t *testing.T) {
	terminated := func(code int32, reason, words string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "beside"}, {Name: "function",
				State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: words}}}}
		}
	}
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		want   instance.Exit
		cause  string
		log    string
	}{
		"crash":         {terminated(3, "Error", "panic: so"), instance.Exit{Code: 3}, "", "panic: so"},
		"out of memory": {terminated(137, "OOMKilled", ""), instance.Exit{Code: 137, OutOfMemory: true}, "", ""},
		"evicted": {func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", "no disk"
		}, instance.Exit{Code: -1}, "Evicted: pod fn-1-a is Failed (no disk)", ""},
		"an image that is not there, after the address": {func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "function", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "404"}}}}
		}, instance.Exit{Code: -1}, "ImagePullFailed: container function of pod fn-1-a: ErrImagePull: 404", ""},
		"deleted by others": {func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }, instance.Exit{Requested: true}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, pods.Options{})
				n.made = running
				var log strings.Builder
				s := spec("fn-1-a")
				s.Log = &log
				i, err := n.driver.Start(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				p := n.pods(t)[0]
				test.change(&p)
				n.driver.Seen(&p)
				if !isDone(i) {
					t.Fatal("it has not ended")
				}
				got := i.Exit()
				cause := ""
				var r interface {
					error
					Reason() string
				}
				if errors.As(got.Cause, &r) {
					cause = r.Reason() + ": " + r.Error()
				}
				got.At, got.Cause = time.Time{}, nil
				if got != test.want || cause != test.cause || log.String() != test.log {
					t.Errorf("got %+v, cause %q, log %q", got, cause, log.String())
				}
				synctest.Wait()
				if left := len(n.pods(t)); p.DeletionTimestamp == nil && left != 0 {
					t.Error("what ended by itself is not cleared away")
				}
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	waiting := func(reason string) func(*corev1.Pod) error {
		return func(p *corev1.Pod) error {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "function", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "words"}}}}
			return nil
		}
	}
	for name, test := range map[string]struct {
		made     func(*corev1.Pod) error
		revision string
		reason   string
		text     string
	}{
		"no image":  {waiting("ErrImagePull"), "fn-1", "ImagePullFailed", "words"},
		"no secret": {waiting("CreateContainerConfigError"), "fn-1", "InvalidContainer", "words"},
		"quota": {func(*corev1.Pod) error {
			return apierrors.NewForbidden(corev1.Resource("pods"), "x", errors.New("exceeded quota"))
		}, "fn-1", "Forbidden", "exceeded quota"},
		"no revision": {running, "fn-2", "", "no more"},
		"no node in time": {func(p *corev1.Pod) error {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes"}}
			return nil
		}, "fn-1", "", "Unschedulable: 0/1 nodes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, pods.Options{})
				n.made = test.made
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				s := spec("x-1")
				s.Revision = test.revision
				_, err := n.driver.Start(ctx, s)
				if err == nil || !strings.Contains(err.Error(), test.text) {
					t.Fatalf("the error is %v", err)
				}
				var r interface{ Reason() string }
				if errors.As(err, &r); (r == nil) != (test.reason == "") || r != nil && r.Reason() != test.reason {
					t.Errorf("the error %v has not the reason %q", err, test.reason)
				}
				synctest.Wait()
				if left := n.pods(t); len(left) != 0 {
					t.Errorf("there is still %s", left[0].Name)
				}
			})
		})
	}
}

// A gateway that begins finds the pods of the one before.
func TestPodsThatAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, pods.Options{Unwanted: time.Minute})
		n.made = running
		for _, name := range []string{"left", "dead", "too-many"} {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{pods.LabelRevision: "fn-1"}}}
			if name == "dead" {
				p.Status.Phase = corev1.PodFailed
			}
			if err := n.Create(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		i, err := n.driver.Start(t.Context(), spec("fn-1-a"))
		if err != nil || len(n.pods(t)) != 3 || i.ID() != "fn-1-a" {
			t.Fatalf("another pod was made, or none: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		swept := make(chan struct{})
		go func() { defer close(swept); n.driver.Sweep(ctx) }()
		time.Sleep(2*time.Minute + time.Second)
		synctest.Wait()
		if left := n.pods(t); len(left) != 1 || left[0].Name == "dead" {
			t.Errorf("after the sweep there are %d pods", len(left))
		}
		cancel()
		<-swept
		n.driver.Leave()
		i.Stop(0)
		<-i.Done()
		if len(n.pods(t)) != 1 {
			t.Error("a gateway that ends takes its copies with it")
		}
	})
}

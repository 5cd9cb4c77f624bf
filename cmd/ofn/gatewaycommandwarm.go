package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	alone "github.com/openfunction/ofn/internal/image/program"
	driver "github.com/openfunction/ofn/internal/instance/drivers/pods"
	"github.com/openfunction/ofn/internal/instance/drivers/pods/holder"
	"github.com/openfunction/ofn/internal/instance/drivers/pods/pool"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
	"github.com/openfunction/ofn/internal/run/pods"
)

// What programs of warm pods may take on the gateway's disk, in bytes.
const (
	mostProgram  = 256 << 20
	mostPrograms = 2 << 30
)

// warmSettings are those of the pool of warm pods.
type warmSettings struct {
	size, most  int
	image       string
	ownPod      string
	cpu, memory string
	cache       string
	insecure    []string
}

func (s *warmSettings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.image, "warm-image", "", "image of warm pods: one with ofn at /ofn (default: that of --own-pod)")
	f.StringVar(&s.ownPod, "own-pod", "", "name of the gateway's own pod; without it and --warm-image there are no warm pods")
	f.IntVar(&s.size, "warm-pods", 2, "warm pods in each namespace with functions that can use them")
	f.IntVar(&s.most, "most-warm-pods", 50, "warm pods in all namespaces together")
	f.StringVar(&s.cpu, "warm-cpu", "50m", "CPU that each warm pod requests")
	f.StringVar(&s.memory, "warm-memory", "64Mi", "memory that each warm pod requests")
	f.StringVar(&s.cache, "cache-dir", filepath.Join(os.TempDir(), "ofn-programs"), "folder for the programs that warm pods are given")
	f.StringSliceVar(&s.insecure, "insecure-registry", nil, "registry host that is spoken to without TLS; repeatable")
}

// warmth is what copies are made of without making pods; without a pool it does nothing.
type warmth struct {
	of       *pool.Pool
	programs *alone.Cache
}

func newWarmth(c client.Client, s *gatewaySettings, log *slog.Logger) (*warmth, error) {
	w := &warmth{}
	if s.warm.image == "" {
		return w, nil
	}
	requests := corev1.ResourceList{}
	for name, text := range map[corev1.ResourceName]string{corev1.ResourceCPU: s.warm.cpu, corev1.ResourceMemory: s.warm.memory} {
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return nil, fmt.Errorf("--warm-%s is %q: %w", name, text, err)
		}
		requests[name] = q
	}
	var err error
	w.programs, err = alone.OpenCache(alone.CacheOptions{Dir: s.warm.cache, Insecure: s.warm.insecure, Most: mostProgram, Total: mostPrograms, Log: log})
	if err != nil {
		return nil, err
	}
	w.of = pool.New(pool.Options{Client: c, Programs: w, Image: s.warm.image, Command: []string{"/ofn", "gateway", "hold"}, Size: s.warm.size, Most: s.warm.most,
		Resources: corev1.ResourceRequirements{Requests: requests}, Labels: pods.Selector(), Container: v1beta2.FunctionContainer, Port: holder.Port, Log: log})
	return w, nil
}

// ownImage is that of the gateway's own pod.
func ownImage(ctx context.Context, config *rest.Config, s *gatewaySettings) (string, error) {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("finding the image of warm pods: %w", err)
	}
	p, err := c.CoreV1().Pods(s.ownNamespace).Get(ctx, s.warm.ownPod, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("finding the image of warm pods: %w; give it with --warm-image, or leave out --own-pod", err)
	}
	return p.Spec.Containers[0].Image, nil
}

// users are the ways in which images name the user that warm pods have.
var users = []string{"65532", "65532:65532", "nonroot", "nonroot:nonroot"} //nolint:gochecknoglobals // a table

// Program implements pool.Programs.
func (w *warmth) Program(image string) *pool.Program {
	p := w.programs.Get(image)
	if p == nil || !slices.Contains(users, p.User) {
		return nil
	}
	return &pool.Program{File: p.File, Size: p.Size, Args: p.Args, Env: p.Env, Dir: p.Dir}
}

// pool is what the driver takes warm pods from; nil for none.
func (w *warmth) pool() driver.Warm {
	if w.of == nil {
		return nil
	}
	return w.of
}

func (w *warmth) seen(p *corev1.Pod) {
	if w.of != nil {
		w.of.Seen(p)
	}
}

func (w *warmth) gone(p *corev1.Pod) {
	if w.of != nil {
		w.of.Gone(p.Namespace, p.Name)
	}
}

// revision tells of a PodTemplate as it is, or was when gone.
func (w *warmth) revision(t *corev1.PodTemplate, gone bool) {
	if w.of == nil {
		return
	}
	if r, err := pods.Revision(t); gone || err != nil || !r.Reachable {
		w.of.Forget(t.Namespace, t.Name)
		return
	}
	w.of.Consider(t)
}

// run keeps the pool until ctx ends.
func (w *warmth) run(ctx context.Context) {
	if w.of == nil {
		return
	}
	w.of.Run(ctx)
	w.programs.Close()
}

// Root implements node.Images. Nodes of the cluster have the images; what runs in them is not the gateway's to know.
func (w *warmth) Root(context.Context, string, *run.Credentials) (node.Root, error) {
	return node.Root{Config: node.Config{Entrypoint: []string{"as the image says"}}}, nil
}

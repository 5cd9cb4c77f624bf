package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/secret"
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
	images      []string // IMAGE of plain ones, KIND=IMAGE of others
	image       string   // of plain ones
	kinds       map[string]string
	ownPod      string
	cpu, memory string
	cache       string
	insecure    []string
}

func (s *warmSettings) bind(f *pflag.FlagSet) {
	f.StringArrayVar(&s.images, "warm-image", nil, "image of warm pods, one with ofn at /ofn (default: that of --own-pod); with a name, such as python=IMAGE, of those for functions over the same layers (`ofn image --onto`); repeatable")
	f.StringVar(&s.ownPod, "own-pod", "", "name of the gateway's own pod; without it and --warm-image there are no warm pods")
	f.IntVar(&s.size, "warm-pods", 2, "warm pods of each kind in each namespace with functions that can use them")
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

func newWarmth(c client.Client, live client.Reader, s *gatewaySettings, resize bool, log *slog.Logger) (*warmth, error) {
	w, kinds := &warmth{}, s.warm.kinds
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
	o := pool.Options{Client: c, Programs: w, Image: s.warm.image, Kinds: kinds, Command: []string{"/ofn", "gateway", "hold"}, Size: s.warm.size, Most: s.warm.most, Resize: resize,
		Resources: corev1.ResourceRequirements{Requests: requests}, Labels: pods.Selector(), Container: v1beta2.FunctionContainer, Port: holder.Port, Log: log}
	w.of = pool.New(o)
	known := alone.CacheOptions{Dir: s.warm.cache, Insecure: s.warm.insecure, Most: mostProgram, Total: mostPrograms, Log: log,
		Rooms: pool.Rooms(), Login: loginOf(live), Changed: w.of.Poke}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		known.Bases = append(known.Bases, alone.Base{Name: name, Image: kinds[name]})
	}
	var err error
	w.programs, err = alone.OpenCache(known)
	return w, err
}

// parse takes the images apart.
func (s *warmSettings) parse() error {
	s.kinds = map[string]string{}
	for _, text := range s.images {
		name, image, named := strings.Cut(text, "=")
		switch {
		case !named && s.image == "" && text != "":
			s.image = text
		case !named || name == "" || image == "" || s.kinds[name] != "":
			return fmt.Errorf("--warm-image is %q: give IMAGE once, or NAME=IMAGE with each NAME once", text)
		default:
			s.kinds[name] = image
		}
	}
	if len(s.kinds) > 0 && s.image == "" && s.ownPod == "" {
		return errors.New("--warm-image NAME=IMAGE needs --own-pod, or --warm-image IMAGE, too")
	}
	return nil
}

// loginOf reads what secrets of a namespace say of a registry; the first that knows it counts. The gateway may read those that a
// namespace lets it read, by a RoleBinding to the ClusterRole ofn-gateway-pull.
func loginOf(live client.Reader) func(context.Context, string, []string, string) (authn.Authenticator, error) {
	return func(ctx context.Context, namespace string, names []string, registry string) (authn.Authenticator, error) {
		var missing *secret.Missing
		for _, name := range names {
			s, err := secret.Read(ctx, live, namespace, name)
			if apierrors.IsForbidden(err) {
				return nil, fmt.Errorf("%w; let it with: kubectl create rolebinding ofn-gateway-pull -n %s --clusterrole ofn-gateway-pull --serviceaccount NAMESPACE:ofn-gateway", err, namespace)
			}
			var l secret.Login
			if err == nil {
				l, err = secret.LoginFor(s, registry)
			}
			if err == nil {
				return authn.FromConfig(authn.AuthConfig{Username: l.Username, Password: l.Password, RegistryToken: l.Token}), nil
			}
			if !errors.As(err, &missing) {
				return nil, err
			}
		}
		return authn.Anonymous, nil // as the kubelet does
	}
}

// prepareWarmth finds out which image warm pods have, and whether the cluster can resize them.
func prepareWarmth(ctx context.Context, config *rest.Config, s *gatewaySettings) (resize bool, err error) {
	if err := s.warm.parse(); err != nil {
		return false, err
	}
	if s.warm.image == "" && s.warm.ownPod != "" {
		if s.warm.image, err = ownImage(ctx, config, s); err != nil {
			return false, err
		}
	}
	if s.warm.image == "" {
		return false, nil
	}
	return resizes(config)
}

// resizes is whether the cluster can give pods other resources while they run.
func resizes(config *rest.Config) (bool, error) {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return false, fmt.Errorf("asking what the cluster can do: %w", err)
	}
	list, err := c.Discovery().ServerResourcesForGroupVersion("v1")
	if err != nil {
		return false, fmt.Errorf("asking what the cluster can do: %w", err)
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == "pods/resize" }), nil
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
func (w *warmth) Program(namespace, image string, secrets []string) *pool.Program {
	p := w.programs.Get(alone.Image{Name: image, Namespace: namespace, Secrets: secrets})
	if p == nil || !slices.Contains(users, p.User) {
		return nil
	}
	return &pool.Program{Kind: p.Base, Drop: p.Drop, File: p.File, Size: p.Size, Args: p.Args, Env: p.Env, Dir: p.Dir}
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

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/openfunction/ofn/internal/image/assemble"
)

const (
	namespace = "bench"
	own       = "openfunction"
	address   = "127.0.0.1:18090" // of the gateway
	patience  = 3 * time.Minute

	knativeImage = "dev.local/hello:bench" // of which it does not ask a registry for the digest
)

// world is the cluster with ofn's operator and gateway on it, which run beside it.
type world struct {
	settings
	children sync.WaitGroup
	image    string
}

func (w *world) prepare(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "bench-cluster")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	host, err := w.registry(ctx)
	if err != nil {
		return err
	}
	if err := w.images(ctx, dir, host); err != nil {
		return err
	}
	if err := w.install(ctx); err != nil {
		return err
	}
	common := []string{"--own-namespace", own, "--metrics-address", "0"}
	if err := w.child(ctx, append([]string{"operator", "--health-address", "0", "--webhooks=false"}, common...)); err != nil {
		return err
	}
	return w.child(ctx, []string{"gateway", "--own-namespace", own, "--metrics-address", "", "--health-address", "0", "--address", address,
		"--warm-image", "dev.local/ofn:bench", "--insecure-registry", host, "--log-level", "warn"})
}

// registry serves the image of the function for the gateway. Nodes have it already.
func (w *world) registry(ctx context.Context) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: registry.New(), ReadHeaderTimeout: time.Minute}
	w.children.Go(func() { _ = s.Serve(l) })
	context.AfterFunc(ctx, func() { s.Close() })
	return l.Addr().String(), nil
}

// images makes those of the function and of ofn, and gives them to the node.
func (w *world) images(ctx context.Context, dir, host string) error {
	binary := filepath.Join(dir, "hello")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "github.com/openfunction/ofn/bench/cluster/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling the function: %w\n%s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	base, err := assemble.Base(nil)
	if err != nil {
		return err
	}
	layer, err := assemble.Layer([]assemble.File{{Path: "app/hello", Mode: 0o755, Data: program}})
	if err != nil {
		return err
	}
	img, err := assemble.Image(assemble.Spec{Layers: []v1.Layer{base, layer}, Entrypoint: []string{"/app/hello"}, User: "65532", Port: 8080})
	if err != nil {
		return err
	}
	ref, err := name.NewTag(host+"/hello:1", name.Insecure)
	if err != nil {
		return err
	}
	w.image = ref.String()
	if err := remote.Write(ref, img, remote.WithContext(ctx)); err != nil {
		return err
	}
	archives := []string{filepath.Join(dir, "hello.tar"), filepath.Join(dir, "ofn.tar")}
	local, err := name.NewTag(knativeImage)
	if err != nil {
		return err
	}
	if err := tarball.MultiRefWriteToFile(archives[0], map[name.Reference]v1.Image{ref: img, local: img}); err != nil {
		return err
	}
	if _, err := output(ctx, nil, w.ofn, "image", "--output", archives[1], "--tag", "dev.local/ofn:bench"); err != nil {
		return err
	}
	for _, a := range archives {
		if _, err := output(ctx, nil, w.cluster, "load", "--dir", w.dir, a); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) install(ctx context.Context) error {
	for _, n := range []string{namespace, own} {
		if _, err := w.kubectl(ctx, "get", "namespace", n); err != nil {
			if _, err := w.kubectl(ctx, "create", "namespace", n); err != nil {
				return err
			}
		}
	}
	definitions, err := filepath.Glob("config/crd/*openfunction.io_*.yaml")
	if err != nil || len(definitions) == 0 {
		return errors.Join(err, errors.New("run it in the folder of the module: config/crd is not here"))
	}
	for _, file := range definitions {
		if _, err := w.kubectl(ctx, "apply", "--server-side", "-f", file); err != nil {
			return err
		}
	}
	return nil
}

// child runs ofn until ctx ends.
func (w *world) child(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, w.ofn, args...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Start(); err != nil {
		return err
	}
	w.children.Go(func() { _ = cmd.Wait() })
	return nil
}

const manifests = `
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: warm, namespace: bench}
spec: {image: "IMAGE", serving: {triggers: {http: {engine: pods, port: 8080}}, scaleOptions: {knative: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 0s}},
  template: {automountServiceAccountToken: false, containers: [{name: function, imagePullPolicy: IfNotPresent}]}}}
---
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: cold, namespace: bench}
spec: {image: "IMAGE", serving: {triggers: {http: {engine: pods, port: 8080}}, scaleOptions: {knative: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 0s}},
  template: {automountServiceAccountToken: false, containers: [{name: function, imagePullPolicy: IfNotPresent, resources: {limits: {memory: 1Gi}}}]}}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: knative, namespace: bench}
spec: {template: {metadata: {name: knative-00001, annotations: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 0s}},
  spec: {containers: [{image: "KNATIVE", imagePullPolicy: IfNotPresent, ports: [{containerPort: 8080}]}]}}}
`

// functions applies them and waits until all have answered.
func (w *world) functions(ctx context.Context) ([]*way, error) {
	text := strings.NewReplacer("IMAGE", w.image, "KNATIVE", knativeImage).Replace(manifests)
	if _, err := output(ctx, strings.NewReader(text), w.cluster, "kubectl", "apply", "-f", "-"); err != nil {
		return nil, err
	}
	activator, err := w.kubectl(ctx, "get", "service", "-n", "knative-serving", "activator-service", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return nil, fmt.Errorf("finding Knative: %w; install it with: cluster addons knative", err)
	}
	all := []*way{
		{name: "pods, warm pool", url: "http://" + address, host: "warm." + namespace, pods: "openfunction.io/function=warm"},
		{name: "pods, without", url: "http://" + address, host: "cold." + namespace, pods: "openfunction.io/function=cold"},
		{name: "Knative's activator", url: "http://" + activator, host: "knative." + namespace, pods: "serving.knative.dev/service=knative",
			headers: map[string]string{"Knative-Serving-Namespace": namespace, "Knative-Serving-Revision": "knative-00001"}},
	}
	for _, to := range all {
		if err := w.eventually(ctx, to.name+" answers", func() error { return to.call(ctx, http.DefaultClient) }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// zero waits until a function has no pod, and the pool is full.
func (w *world) zero(ctx context.Context, to *way) error {
	return w.eventually(ctx, to.name+" is at zero", func() error {
		left, err := w.kubectl(ctx, "get", "pods", "-l", to.pods, "-o", "name")
		if err == nil && left != "" {
			err = errors.New("there still is " + left)
		}
		if err != nil {
			return err
		}
		waiting, err := w.kubectl(ctx, "get", "pods", "-l", "openfunction.io/warm", "--field-selector", "status.phase=Running", "-o", "name")
		if err == nil && strings.Count(waiting, "pod/") < 2 {
			err = errors.New("the warm pool is not full")
		}
		return err
	})
}

func (w *world) eventually(ctx context.Context, what string, try func() error) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %v it is still not so that %s: %w", patience, what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *world) kubectl(ctx context.Context, args ...string) (string, error) {
	return output(ctx, nil, w.cluster, append([]string{"kubectl", "-n", namespace}, args...)...)
}

func output(ctx context.Context, in *strings.Reader, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	if in != nil {
		cmd.Stdin = in
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

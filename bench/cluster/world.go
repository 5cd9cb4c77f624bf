package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
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

	host         = "127.0.0.1:18091" // of the registry
	image        = host + "/hello:1"
	ofnImage     = "dev.local/ofn:bench"
	knativeImage = "dev.local/hello:bench" // of which it does not ask a registry for the digest
)

// world is the cluster with ofn's operator and gateway on it, which run beside it.
type world struct {
	settings
	children sync.WaitGroup
}

// load makes the images of the function and of ofn in a folder and gives them to the node. It is done outside of the cluster's network.
func load(ctx context.Context, s settings, dir string) error {
	img, err := function(ctx, dir)
	if err != nil {
		return err
	}
	served, err := name.NewTag(image)
	if err != nil {
		return err
	}
	local, err := name.NewTag(knativeImage)
	if err != nil {
		return err
	}
	archives := []string{archive(dir), filepath.Join(dir, "ofn.tar")}
	if err := tarball.MultiRefWriteToFile(archives[0], map[name.Reference]v1.Image{served: img, local: img}); err != nil {
		return err
	}
	if _, err := output(ctx, nil, s.ofn, "image", "--output", archives[1], "--tag", ofnImage); err != nil {
		return err
	}
	for _, a := range archives {
		if _, err := output(ctx, nil, s.cluster, "load", "--dir", s.dir, a); err != nil {
			return err
		}
	}
	return nil
}

func archive(dir string) string { return filepath.Join(dir, "hello.tar") }

// function compiles the function and makes its image.
func function(ctx context.Context, dir string) (v1.Image, error) {
	binary := filepath.Join(dir, "hello")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "github.com/openfunction/ofn/bench/cluster/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling the function: %w\n%s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	base, err := assemble.Base(nil)
	if err != nil {
		return nil, err
	}
	layer, err := assemble.Layer([]assemble.File{{Path: "app/hello", Mode: 0o755, Data: program}})
	if err != nil {
		return nil, err
	}
	return assemble.Image(assemble.Spec{Layers: []v1.Layer{base, layer}, Entrypoint: []string{"/app/hello"}, User: "65532", Port: 8080})
}

func (w *world) prepare(ctx context.Context) error {
	if err := w.registry(ctx); err != nil {
		return err
	}
	if err := w.install(ctx); err != nil {
		return err
	}
	err := w.child(ctx, []string{"operator", "--own-namespace", own, "--metrics-address", "0", "--health-address", "0", "--webhooks=false", "--log-level", "warn"})
	if err != nil {
		return err
	}
	return w.child(ctx, []string{"gateway", "--own-namespace", own, "--metrics-address", "", "--health-address", "0", "--address", address,
		"--warm-image", ofnImage, "--insecure-registry", host, "--log-level", "warn"})
}

// registry serves the image of the function for the gateway. Nodes have it already.
func (w *world) registry(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", host)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), ReadHeaderTimeout: time.Minute}
	w.children.Go(func() { _ = s.Serve(l) })
	context.AfterFunc(ctx, func() { s.Close() })
	ref, err := name.NewTag(image)
	if err != nil {
		return err
	}
	img, err := tarball.ImageFromPath(archive(w.inside), &ref)
	if err != nil {
		return err
	}
	return remote.Write(ref, img, remote.WithContext(ctx))
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
metadata: {name: grown, namespace: bench}
spec: {image: "IMAGE", serving: {triggers: {http: {engine: pods, port: 8080}}, scaleOptions: {knative: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 0s}},
  template: {automountServiceAccountToken: false, containers: [{name: function, imagePullPolicy: IfNotPresent, resources: {limits: {memory: 1Gi}}}]}}}
---
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: cold, namespace: bench}
spec: {image: "IMAGE", serving: {triggers: {http: {engine: pods, port: 8080}}, scaleOptions: {knative: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 0s}},
  template: {automountServiceAccountToken: false, containers: [{name: function, imagePullPolicy: IfNotPresent, env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]}]}}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: knative, namespace: bench}
spec: {template: {metadata: {name: knative-00001, annotations: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 0s}},
  spec: {containers: [{image: "KNATIVE", imagePullPolicy: IfNotPresent, ports: [{containerPort: 8080}]}]}}}
`

// functions applies them and waits until all have answered.
func (w *world) functions(ctx context.Context) ([]*way, error) {
	text := strings.NewReplacer("IMAGE", image, "KNATIVE", knativeImage).Replace(manifests)
	if _, err := output(ctx, strings.NewReader(text), w.cluster, "kubectl", "apply", "-f", "-"); err != nil {
		return nil, err
	}
	activator, err := w.kubectl(ctx, "get", "service", "-n", "knative-serving", "activator-service", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return nil, fmt.Errorf("finding Knative: %w; install it with: cluster addons knative", err)
	}
	all := []*way{
		{name: "pods, warm pool", url: "http://" + address, host: "warm." + namespace, pods: "openfunction.io/function=warm"},
		{name: "pods, warm, memory limit", url: "http://" + address, host: "grown." + namespace, pods: "openfunction.io/function=grown"},
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

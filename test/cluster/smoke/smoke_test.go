// Package smoke_test proves, from inside a test cluster, that the cluster is whole: make test-cluster runs it.
package smoke_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is for a machine that compiles beside the tests.
const patience = 2 * time.Minute

var (
	program = flag.String("cluster", "", "the cluster program; without it there is no cluster to test")
	_       = flag.String("ofn", "", "not used: one command runs these tests and those of ofn")
	dns     = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "10.123.0.1:53")
	}}
)

func TestPodAndService(t *testing.T) {
	k := start(t, "plain")
	k.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello}
spec:
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: hello, image: dev.local/hello:1, readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: hello}
spec: {selector: {app: hello}, ports: [{port: 80, targetPort: 8080}]}
`)
	k.run("rollout", "status", "deployment/hello", "--timeout=120s")
	ips := eventually(t, func() ([]string, error) { return dns.LookupHost(t.Context(), "hello.plain.svc.cluster.local") })
	if len(ips) != 1 || ips[0] != k.run("get", "service", "hello", "-o", "jsonpath={.spec.clusterIP}") {
		t.Errorf("the name of the Service leads to %v", ips)
	}
	body := eventually(t, func() (string, error) { return get("http://"+ips[0]+"/", "") })
	if !strings.HasPrefix(body, "hello from hello-") {
		t.Errorf("the Service answered %q", body)
	}
}

func TestNamesThatDoNotExist(t *testing.T) {
	start(t, "names")
	_, err := dns.LookupHost(t.Context(), "nothing.names.svc.cluster.local")
	var failed *net.DNSError
	if !errors.As(err, &failed) || !failed.IsNotFound {
		t.Errorf("want that the name does not exist, got %v", err)
	}
}

func TestKnativeFromZero(t *testing.T) {
	k := start(t, "serverless")
	if k.run("get", "crd", "--ignore-not-found", "services.serving.knative.dev") == "" {
		t.Skip("Knative Serving is not installed: cluster addons knative")
	}
	k.apply(`
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/window: 6s, autoscaling.knative.dev/scale-to-zero-pod-retention-period: 0s}}
    spec: {containers: [{image: "dev.local/hello:1"}]}
`)
	k.run("wait", "ksvc/hello", "--for=condition=Ready", "--timeout=120s")
	eventually(t, func() (string, error) {
		if pods := k.run("get", "pods", "-o", "name"); pods != "" {
			return "", fmt.Errorf("not at zero yet: %s", pods)
		}
		return "", nil
	})
	begin := time.Now()
	body := eventually(t, func() (string, error) { return get("http://10.123.0.1/", "hello.serverless.fn.test") })
	if !strings.HasPrefix(body, "hello from hello-") {
		t.Errorf("the function answered %q", body)
	}
	t.Logf("from zero: %s", time.Since(begin).Round(time.Millisecond))
}

// kubectl works in one namespace.
type kubectl struct {
	t         *testing.T
	namespace string
}

// start loads the image of hello and makes a namespace that goes with the test.
func start(t *testing.T, namespace string) kubectl {
	t.Helper()
	if *program == "" {
		t.Skip("no cluster: run this with make test-cluster")
	}
	k := kubectl{t, namespace}
	k.run("create", "namespace", namespace)
	t.Cleanup(func() {
		cmd := exec.Command(*program, "kubectl", "delete", "namespace", namespace, "--wait=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("deleting the namespace: %v: %s", err, out)
		}
	})
	eventually(t, func() (string, error) { // pods need it, and it follows its namespace
		if account := k.run("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name"); account == "" {
			return "", errors.New("the namespace has no account yet")
		}
		return "", nil
	})
	return k
}

func (k kubectl) run(args ...string) string {
	k.t.Helper()
	return k.feed(nil, args...)
}

func (k kubectl) apply(manifest string) {
	k.t.Helper()
	k.feed(strings.NewReader(manifest), "apply", "-f", "-")
}

func (k kubectl) feed(stdin io.Reader, args ...string) string {
	k.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(k.t.Context(), *program, append([]string{"kubectl", "-n", k.namespace}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		k.t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

func get(url, host string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Host = host
	client := &http.Client{Timeout: patience}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", res.StatusCode, body)
	}
	return string(body), nil
}

// eventually returns what try does as soon as it succeeds.
func eventually[T any](t *testing.T, try func() (T, error)) T {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; {
		v, err := try()
		if err == nil {
			return v
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s still: %v", patience, err)
		}
		<-tick.C
	}
}

// TestMain puts the image of hello into the node.
func TestMain(m *testing.M) {
	flag.Parse()
	if *program != "" {
		if err := loadHello(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func loadHello() error {
	dir, err := os.MkdirTemp("", "cluster-hello-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "hello")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./testdata/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling hello: %w: %s", err, out)
	}
	archive, err := exec.Command(*program, "image", "dev.local/hello:1", binary).Output()
	if err != nil {
		return fmt.Errorf("making the image of hello: %w", err)
	}
	load := exec.Command("ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io", "images", "import", "-")
	load.Stdin = bytes.NewReader(archive)
	if out, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("loading the image of hello: %w: %s", err, out)
	}
	return nil
}

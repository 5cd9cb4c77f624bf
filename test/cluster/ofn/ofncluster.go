// Package ofncluster is what the tests of ofn on the test cluster share: it installs ofn as a user does, by `ofn image` and
// `ofn install`, gives each test a namespace of its own, applies manifests, waits for conditions, calls functions from inside the
// cluster, says what the cluster looked like when a test failed, and takes everything away.
//
// A package of tests installs ofn once, in its TestMain:
//
//	func TestMain(m *testing.M) {
//		os.Exit(ofncluster.Main(m, ofncluster.Setup{Needs: []string{"scaledobjects.keda.sh"}}))
//	}
//
//	func TestHello(t *testing.T) {
//		n := ofncluster.New(t, "hello")
//		n.Apply(manifest)
//		n.Ready("function/hello")
//		if got := n.Get("hello", "/World"); got != "Hello, World!\n" { ... }
//	}
//
// Tests run inside the cluster's network, in one package after the other because there is one installation on a cluster:
//
//	cluster inside --dir D go test -p 1 -count=1 -v ./keda ./dapr -cluster $CLUSTER [-ofn OFN] [-keep]
//
// Without -cluster they skip.
package ofncluster

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// System is the namespace in which ofn is.
const System = "openfunction"

var (
	patience = flag.Duration("patience", 3*time.Minute, "how long anything may take; a machine may compile beside the tests")

	program = flag.String("cluster", "", "the cluster program; without it there is no cluster to test")
	given   = flag.String("ofn", "", "the static binary of ofn to test instead of that of this source")
	keep    = flag.Bool("keep", false, "leave ofn, and an ofn of the same binary as it is, on the cluster: for whoever works on the tests")
)

// Setup is what a package of tests wants.
type Setup struct {
	// Needs are resources, such as "services.serving.knative.dev", without which all tests skip: the engine is not installed.
	Needs []string
	// Install are more flags of `ofn install`.
	Install []string
	// Operator and Gateway are more flags of the two Deployments.
	Operator, Gateway []string
	// NotInstalled leaves the installing to the tests; Ofn, Image and LoadOfn are there for them.
	NotInstalled bool
}

// suite is what TestMain has prepared: the binary and the image of ofn, and clients of the cluster. It is written once, before any test.
var suite struct {
	binary, image string
	skip          string // why no test can run
	installed     time.Duration
	typed         kubernetes.Interface
	dynamic       dynamic.Interface
	mapper        *restmapper.DeferredDiscoveryRESTMapper
}

// Main installs ofn, runs the tests and removes ofn with all functions. It returns the exit code.
func Main(m *testing.M, s Setup) int {
	flag.Parse()
	if *program == "" {
		suite.skip = "no cluster: run this with make test-cluster"
		return m.Run()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := prepare(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "preparing the tests:", err)
		return 1
	}
	if suite.skip != "" {
		return m.Run()
	}
	code := m.Run()
	if *keep || s.NotInstalled {
		return code
	}
	if err := uninstall(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "removing ofn:", err)
		return max(code, 1)
	}
	return code
}

func prepare(ctx context.Context, s Setup) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("no cluster here; run this with `cluster inside`: %w", err)
	}
	config.QPS, config.Burst = -1, -1
	if suite.typed, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if suite.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	suite.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(suite.typed.Discovery()))
	for _, need := range s.Needs {
		if _, err := resource(need); err != nil {
			suite.skip = fmt.Sprintf("the cluster has no %s: install the engine with `cluster addons`", need)
			return nil
		}
	}
	dir, err := os.MkdirTemp("", "ofncluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(ctx); err != nil {
		return err
	}
	if suite.image, err = loadOfn(ctx, suite.binary, dir); err != nil {
		return err
	}
	if s.NotInstalled {
		return nil
	}
	return install(ctx, s)
}

// install is timed: from the command to the operator and the gateway being available.
func install(ctx context.Context, s Setup) error {
	begin := time.Now()
	out, err := ofn(ctx, append([]string{"install", "--image", suite.image, "--upgrade"}, s.Install...)...)
	suite.installed = time.Since(begin)
	fmt.Fprint(os.Stderr, out)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, Dump(ctx, System))
	}
	for name, flags := range map[string][]string{"ofn-operator": s.Operator, "ofn-gateway": s.Gateway} {
		if err := addFlags(ctx, name, flags); err != nil {
			return err
		}
	}
	return nil
}

// addFlags adds flags to the container of a Deployment and waits until it runs with them.
func addFlags(ctx context.Context, name string, flags []string) error {
	if len(flags) == 0 {
		return nil
	}
	var ops []string
	for _, f := range flags {
		ops = append(ops, fmt.Sprintf(`{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":%q}`, f))
	}
	patch := "[" + strings.Join(ops, ",") + "]"
	if _, err := kubectl(ctx, nil, "-n", System, "patch", "deployment", name, "--type=json", "-p", patch); err != nil {
		return err
	}
	_, err := kubectl(ctx, nil, "-n", System, "rollout", "status", "deployment/"+name, "--timeout="+patience.String())
	return err
}

func uninstall(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, *patience)
	defer cancel()
	out, err := ofn(ctx, "uninstall", "--purge", "--yes")
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	_, err = kubectl(ctx, nil, "delete", "namespace", System, "--ignore-not-found", "--wait", "--timeout="+patience.String())
	return err
}

// Purge removes ofn with its kinds and all functions.
func Purge(t testing.TB) {
	t.Helper()
	if err := uninstall(context.Background()); err != nil { // the test's own context has ended where it cleans up
		t.Error(err)
	}
}

// Need skips a test where there is no cluster, or not the engine that it wants.
func Need(t testing.TB) {
	t.Helper()
	if suite.skip != "" {
		t.Skip(suite.skip)
	}
}

// Installed is how long `ofn install` took until the operator and the gateway were available.
func Installed() time.Duration { return suite.installed }

// Image is the name of ofn's image on the node.
func Image() string { return suite.image }

// Cluster is the path of the cluster program.
func Cluster() string { return *program }

// Program is the path of ofn's binary.
func Program() string { return suite.binary }

// Ofn runs ofn against the cluster and returns what it printed; the test ends when it fails.
func Ofn(t testing.TB, args ...string) string {
	t.Helper()
	out, err := ofn(t.Context(), args...)
	if err != nil {
		t.Fatalf("ofn %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// OfnFails runs ofn, which must fail, and returns what it printed.
func OfnFails(t testing.TB, args ...string) string {
	t.Helper()
	out, err := ofn(t.Context(), args...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("ofn %s: want that it fails, got %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func ofn(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, suite.binary, args...).CombinedOutput()
	return string(out), err
}

func kubectl(ctx context.Context, stdin []byte, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, *program, append([]string{"kubectl"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

package ofncluster_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

// TestAPIServerRestart: the API server is killed; functions answer meanwhile, and changes are taken up when it is back.
func TestAPIServerRestart(t *testing.T) {
	onEach(t, "restart", func(n *ofncluster.Namespace, engine string) {
		n.Apply(greeter(engine, "calm"))
		n.Ready("function/hello")
		says(n, "hello", "calm")
		address := n.Address("hello")
		kill(n.T, "kube-apiserver", "--etcd-servers")
		if got, err := ofncluster.Fetch(n.T.Context(), address+"/World", ""); err != nil {
			n.T.Errorf("without the API server: %v, %q", err, got)
		}
		n.Eventually("the API server takes a change", func() error { return n.TryApply(greeter(engine, "brisk")) })
		says(n, "hello", "brisk")
		n.Ready("function/hello")
	})
}

// TestLeader: the operator that leads is killed, without a goodbye; the other one takes over.
func TestLeader(t *testing.T) {
	n := ofncluster.New(t, "leader")
	ofncluster.Load(t, "./testdata/greeter", "dev.local/greeter:1")
	was := leader(n)
	pod, _, _ := strings.Cut(was, "_")
	kill(t, "operator", "--own-namespace="+ofncluster.System, "HOSTNAME="+pod)
	began := time.Now()
	// Its webhook stays among those that are asked until it is found unready.
	n.Eventually("a function is taken", func() error { return n.TryApply(greeter("pods", "calm")) })
	n.Eventually("another one leads", func() error {
		if now := leader(n); now == was || now == "" {
			return fmt.Errorf("it is %s", now)
		}
		return nil
	})
	n.Ready("function/hello")
	t.Logf("another operator led, and the function was ready, after %s", time.Since(began).Round(100*time.Millisecond))
	says(n, "hello", "calm")
}

func leader(n *ofncluster.Namespace) string {
	return n.Kubectl("-n", ofncluster.System, "get", "lease", "ofn-operator.openfunction.io", "-o", "jsonpath={.spec.holderIdentity}")
}

// kill ends the one process whose command line has these words, and whose environment those of the form NAME=VALUE that begin in capitals.
func kill(t testing.TB, words ...string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, file := range all {
		cmdline, _ := os.ReadFile(file) // it may have ended
		environ, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "environ"))
		text := "\x00" + string(cmdline) + "\x00" + string(environ)
		matches := true
		for _, w := range words {
			matches = matches && strings.Contains(text, "\x00"+w+"\x00")
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && matches && pid != os.Getpid() {
			found = append(found, pid)
		}
	}
	if len(found) != 1 {
		t.Fatalf("want one process with %q, got %v", words, found)
	}
	if err := syscall.Kill(found[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestNamespaceDeleted: a namespace with functions goes, whatever is in it, and nothing is made anew in it.
func TestNamespaceDeleted(t *testing.T) {
	onEach(t, "doomed", func(n *ofncluster.Namespace, engine string) {
		n.Apply(greeter(engine, "calm"))
		n.Ready("function/hello")
		// Kubernetes lets pods go first and looks again after half of their grace period, which on Knative is 300 seconds.
		n.Kubectl("delete", "namespace", n.Name, "--timeout=10m")
	})
}

// TestTrouble: what Kubernetes refuses or cannot do is in the conditions, and the function serves when it has been put right.
func TestTrouble(t *testing.T) {
	onEach(t, "trouble", func(n *ofncluster.Namespace, engine string) {
		n.Apply(strings.ReplaceAll(greeter(engine, "calm"), "dev.local/greeter:1", "dev.local/nowhere:1"))
		n.Condition("function/hello", "Ready", "False", "ImagePullFailed")

		n.Kubectl("create", "quota", "none", "--hard=pods=0")
		n.Apply(greeter(engine, "brisk"))
		n.Condition("function/hello", "Ready", "False", "QuotaExceeded")
		n.Kubectl("delete", "quota", "none")
		says(n, "hello", "brisk")
		n.Ready("function/hello")
	})
}

// TestDrain: with its node cordoned a function says why nothing takes it; what a drain removes comes back when the node does.
func TestDrain(t *testing.T) {
	onEach(t, "drain", func(n *ofncluster.Namespace, engine string) {
		always := strings.Replace(greeter(engine, "calm"), "minReplicas: 0", "minReplicas: 1", 1)
		n.Apply(always)
		n.Ready("function/hello")
		node := n.Kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
		n.Kubectl("cordon", node)
		n.T.Cleanup(func() { uncordon(n.T, node) })
		n.Kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--disable-eviction=false",
			"--pod-selector=openfunction.io/function=hello", "--timeout=2m")
		n.Eventually("its next pod waits for a node", func() error {
			for _, p := range n.Objects("pods", "openfunction.io/function=hello") {
				if p.GetDeletionTimestamp() == nil && strings.Contains(fmt.Sprint(p.Object["status"]), "Unschedulable") {
					return nil
				}
			}
			return errors.New("there is none")
		})
		uncordon(n.T, node)
		says(n, "hello", "calm")
		n.Ready("function/hello")
	})
}

func uncordon(t testing.TB, node string) {
	if out, err := exec.Command(ofncluster.Cluster(), "kubectl", "uncordon", node).CombinedOutput(); err != nil {
		t.Errorf("uncordon: %v: %s", err, out)
	}
}

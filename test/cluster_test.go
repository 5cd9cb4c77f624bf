package test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// A cluster that has ofn, of $KUBECONFIG, for the scripts that one machine's ofn runs otherwise.
var (
	clusterGateway  = flag.String("cluster-gateway", "", "address of ofn's gateway, which serves functions as FUNCTION.NAMESPACE.localhost: run the shared scripts on the cluster of $KUBECONFIG")
	clusterGit      = flag.String("cluster-git", "", "address at which scripts' git repositories are to be served for that cluster")
	clusterRegistry = flag.String("cluster-registry", "", "host of a registry without TLS for images of scripts, from which that cluster pulls")
)

// clusterPatience is how many times longer anything may take on a cluster, whose builds begin in pods of their own.
const clusterPatience = 3

// cluster is what of a cluster is asked beside the command line.
type cluster struct {
	kubeconfig string
	client     kubernetes.Interface
}

// onCluster runs the shared scripts on a cluster, and prints which of them ran.
func (w *world) onCluster(t *testing.T) {
	c := &cluster{kubeconfig: os.Getenv("KUBECONFIG")}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	s := &server{program: filepath.Join(w.programs, "ofn"), data: filepath.Join(w.dir, "none"), registry: w.registry,
		loads: map[string]*traffic{}, gateway: *clusterGateway, cluster: c}
	if err := serveGit(t, *clusterGit); err != nil {
		t.Fatal(err)
	}
	w.outcomes = &outcomes{of: map[string]string{}}
	t.Run("shared", func(t *testing.T) {
		w.run(t, func(env *testscript.Env) (*server, error) { return s, prepareNamespace(env, s) })
	})
	w.outcomes.print(t)
}

// serveGit serves all repositories below the directories of scripts.
func serveGit(t *testing.T, address string) error {
	dir, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return fmt.Errorf("asking git where its programs are: %w", err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(dir)), "git-http-backend"),
		Stderr: io.Discard, Env: []string{"GIT_PROJECT_ROOT=" + os.TempDir(), "GIT_HTTP_EXPORT_ALL=1"}}}
	var work sync.WaitGroup
	work.Go(func() { _ = s.Serve(l) }) // until Close
	t.Cleanup(func() {
		_ = s.Close()
		work.Wait()
	})
	return nil
}

// sources is where git finds what lies in a directory of a script.
func (s *server) sources(dir string) string {
	if s.cluster == nil {
		return "file://" + dir
	}
	return "http://" + *clusterGit + strings.TrimPrefix(dir, os.TempDir())
}

// images is where what is built may go without the host of a registry in its name, which machines have and clusters have not.
func (s *server) images() string {
	if s.cluster == nil {
		return "openfunction"
	}
	return s.registry + "/openfunction"
}

// prepare waits until pods may be made in a namespace, which goes with the script.
func (c *cluster) prepare(ctx context.Context, env *testscript.Env, namespace string) error {
	env.Defer(func() {
		_ = c.client.CoreV1().Namespaces().Delete(context.Background(), namespace, metav1.DeleteOptions{}) // the script may have done so
	})
	var err error
	if !until(time.Minute, func() bool {
		_, err = c.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err == nil
	}) {
		return fmt.Errorf("waiting for the account of pods in namespace %s: %w", namespace, err)
	}
	return nil
}

// scrape reads what the gateways measure.
func (c *cluster) scrape() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	pods := c.client.CoreV1().Pods("openfunction")
	all, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=ofn-gateway"})
	if err != nil {
		return "", fmt.Errorf("looking for the gateways: %w", err)
	}
	var out strings.Builder
	var failed error
	for _, p := range all.Items {
		text, err := pods.ProxyGet("http", p.Name, "9464", "/metrics", nil).DoRaw(ctx)
		failed = errors.Join(failed, err)
		out.Write(text)
	}
	return out.String(), failed
}

// ran is the outcome of a script of which nothing more is known.
const ran = "ran"

// outcomes say what became of scripts.
type outcomes struct {
	mu sync.Mutex
	of map[string]string
}

func (o *outcomes) set(script, what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if what != ran || o.of[script] == "" {
		o.of[script] = what
	}
}

// print writes a table of all scripts, those that only one machine runs as well.
func (o *outcomes) print(t *testing.T) {
	alone, err := filepath.Glob("testdata/alone/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range alone {
		o.set("alone/"+strings.TrimSuffix(filepath.Base(script), ".txtar"), "not run: it starts, kills and restarts an `ofn up` of its own")
	}
	var names []string
	for name := range o.of {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Println("| script | on the cluster |\n|---|---|")
	for _, name := range names {
		fmt.Printf("| %s | %s |\n", name, o.of[name])
	}
}

// scriptT is the test of a script, which tells what became of it.
type scriptT struct {
	*testing.T
	outcomes *outcomes
}

// Run implements testscript.T.
func (t scriptT) Run(name string, run func(testscript.T)) {
	t.T.Run(name, func(one *testing.T) { run(scriptT{one, t.outcomes}) })
}

// Verbose implements testscript.T.
func (scriptT) Verbose() bool { return testing.Verbose() }

// Skip implements testscript.T.
func (t scriptT) Skip(args ...any) {
	t.Helper()
	t.note("skipped: " + fmt.Sprint(args...))
	t.T.Skip(args...)
}

// FailNow implements testscript.T.
func (t scriptT) FailNow() {
	t.Helper()
	t.note("FAILED")
	t.T.FailNow()
}

// Fatal implements testscript.T.
func (t scriptT) Fatal(args ...any) {
	t.Helper()
	t.note("FAILED")
	t.T.Fatal(args...)
}

var stopped = regexp.MustCompile(`(?m)^> .*\bstop '(.*)'$`)

// Log implements testscript.T: it is told what the script did, at its end.
func (t scriptT) Log(args ...any) {
	t.Helper()
	if found := stopped.FindStringSubmatch(fmt.Sprint(args...)); found != nil {
		t.note("ran in part: " + found[1])
	} else {
		t.note(ran)
	}
	t.T.Log(args...)
}

func (t scriptT) note(what string) {
	_, script, _ := strings.Cut(t.Name(), "/")
	t.outcomes.set(script, what)
}

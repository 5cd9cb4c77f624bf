// Package build_test builds functions with the real Tekton and Shipwright, and with Jobs, on a test cluster: the tests serve the
// registry and the sources.
package build_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

// patience is for a compiler with empty caches on a machine that has other work.
const patience = 15 * time.Minute

var prepared = flag.Bool("prepared", false, "ofn and the builder image of an earlier run with -keep are on the cluster: for whoever works on the tests")

func TestMain(m *testing.M) {
	flag.Parse()
	code := ofncluster.Main(m, ofncluster.Setup{
		NotInstalled: *prepared,
		Operator:     []string{"--builder-image=" + ofncluster.BuilderImage, "--insecure-registry=" + registryHost},
		Gateway:      []string{"--insecure-registry=" + registryHost},
	})
	if world.services != nil {
		world.services.close()
		_ = os.RemoveAll(world.services.repositories)
	}
	os.Exit(code)
}

// world is what all tests share, made by the first that runs.
var world struct {
	once     sync.Once
	err      error
	services *services
	sources  source
}

// source is the repository of functions: hello, one with a mistake in the code, and the same behind a login.
type source struct{ url, commit, private string }

// start makes a namespace, and the rest of the world for the first test. It skips where the kind called engine is not on the cluster.
func start(t *testing.T, namespace, engine string) *ofncluster.Namespace {
	t.Helper()
	n := ofncluster.New(t, namespace)
	if kinds := n.Kubectl("api-resources", "-o", "name"); engine != "" && !strings.Contains(kinds, engine) {
		t.Skipf("the cluster has no %s: install the engine with `cluster addons`", engine)
	}
	world.once.Do(func() { world.err = prepare(t.Context()) })
	if world.err != nil {
		t.Fatal(world.err)
	}
	return n
}

func prepare(ctx context.Context) error {
	if !*prepared {
		if err := ofncluster.LoadBuilder(ctx); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "cluster-git-")
	if err != nil {
		return err
	}
	if world.services, err = serve(dir); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join("testdata", "hello", "main.go"))
	if err != nil {
		return err
	}
	files := map[string]string{"hello/go.mod": "module example.com/hello\n\ngo 1.24\n", "hello/main.go": string(text),
		"broken/go.mod": "module example.com/broken\n\ngo 1.24\n", "broken/main.go": "package main\n\nfunc main() {\n\tmissing()\n}\n"}
	s := &world.sources
	if s.url, s.commit, err = world.services.repository(ctx, "public/functions", files); err != nil {
		return err
	}
	s.private, _, err = world.services.repository(ctx, "private/functions", files)
	return err
}

// fn is a Function that is built.
type fn struct {
	name, engine string
	url, path    string // the source
	login        string // the Secret for it
	image        string
	build        string // more lines of spec.build, with its indentation
	spec         string // more lines of spec
	serving      bool
}

func (f fn) manifest() string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: core.openfunction.io/v1beta2\nkind: Function\nmetadata:\n  name: %s\n", f.name)
	if f.engine != "" {
		fmt.Fprintf(&b, "  annotations: {openfunction.io/build-engine: %s}\n", f.engine)
	}
	fmt.Fprintf(&b, "spec:\n  image: %s\n%s  build:\n%s    srcRepo: {url: %q, sourceSubPath: %s", f.image, f.spec, f.build, f.url, f.path)
	if f.login != "" {
		fmt.Fprintf(&b, ", credentials: {name: %s}", f.login)
	}
	b.WriteString("}\n")
	if f.serving {
		b.WriteString("  serving:\n    triggers: {http: {engine: pods, port: 8080}}\n")
	}
	return b.String()
}

// builders are those of a function, the oldest first.
func builders(n *ofncluster.Namespace, function string) []unstructured.Unstructured {
	n.T.Helper()
	all := n.Objects("builders.core.openfunction.io", "openfunction.io/function="+function)
	slices.SortFunc(all, func(a, b unstructured.Unstructured) int {
		return a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time)
	})
	return all
}

// text is a field of an object; it is empty where there is none.
func text(o unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(o.Object, path...)
	return s
}

// ended waits until the newest builder of a function has ended, at least the nth there ever was, and returns it.
func ended(n *ofncluster.Namespace, function string) unstructured.Unstructured {
	n.T.Helper()
	return when(n, function, func(b unstructured.Unstructured) bool {
		return !slices.Contains([]string{"", "Created", "Building"}, text(b, "status", "state"))
	})
}

// when waits until is is true of the newest builder of a function.
func when(n *ofncluster.Namespace, function string, is func(unstructured.Unstructured) bool) unstructured.Unstructured {
	n.T.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	last := "there is no builder"
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		all := builders(n, function)
		if len(all) == 0 {
			continue
		}
		b := all[len(all)-1]
		if is(b) {
			return b
		}
		last = fmt.Sprintf("%s is %s, %s: %s", b.GetName(), text(b, "status", "state"), text(b, "status", "reason"), text(b, "status", "message"))
	}
	n.T.Fatalf("waiting for the build of %s: %s", function, last)
	return unstructured.Unstructured{}
}

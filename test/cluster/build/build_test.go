package build_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

// engine is one way to build on a cluster.
type engine struct {
	name string // as the annotation says
	kind string // what it makes for a Builder, and what must be on the cluster
	ref  string // as which the Builder has it
	make string // what is done before
	// build is what spec.build says.
	build string
}

func engines() []engine {
	return []engine{
		{name: "job", kind: "jobs.batch", ref: "batch/job", build: "    builder: openfunction/builder-go:latest\n"},
		{name: "tekton", kind: "taskruns.tekton.dev", ref: "tekton.dev/taskRun", build: "    builder: openfunction/builder-go:latest\n"},
		{name: "shipwright", kind: "buildruns.shipwright.io", ref: "shipwright.io/buildRun", make: strategy,
			build: "    builder: " + ofncluster.BuilderImage + "\n    shipwright: {strategy: {name: tests-go}}\n"},
	}
}

// strategy compiles a main package with the builder image and leaves an archive, which Shipwright pushes.
const strategy = `
apiVersion: shipwright.io/v1beta1
kind: ClusterBuildStrategy
metadata: {name: tests-go}
spec:
  parameters:
  - {name: builder-image, type: string, description: the builder image}
  securityContext: {runAsUser: 1000, runAsGroup: 1000}
  volumes:
  - {name: caches, emptyDir: {}}
  steps:
  - name: build
    image: $(params.builder-image)
    workingDir: $(params.shp-source-root)
    volumeMounts:
    - {name: caches, mountPath: /caches}
    env:
    - {name: HOME, value: /caches}
    - {name: GOCACHE, value: /caches/build}
    - {name: GOFLAGS, value: -buildvcs=false}
    - {name: CGO_ENABLED, value: "0"}
    - {name: OFN_CONTEXT, value: $(params.shp-source-context)}
    - {name: OFN_OUTPUT, value: $(params.shp-output-directory)}
    command: [/bin/sh, -c]
    args:
    - |
      set -eu
      cd "$OFN_CONTEXT"
      go build -o /caches/function .
      ofn image --binary /caches/function --output "$OFN_OUTPUT/image.tar"
`

// each runs a test with each engine that the cluster has, side by side: most of it is waiting.
func each(t *testing.T, prefix string, test func(*ofncluster.Namespace, engine)) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			n := start(t, prefix+"-"+e.name, e.kind)
			if e.make != "" {
				n.Apply(e.make)
			}
			test(n, e)
		})
	}
}

func imageOf(n *ofncluster.Namespace, name string) string {
	return fmt.Sprintf("%s/%s/%s:1", registryHost, n.Name, name)
}

func TestBuiltAndServed(t *testing.T) {
	each(t, "built", func(n *ofncluster.Namespace, e engine) {
		t := n.T.(*testing.T)
		f := fn{name: "hello", engine: e.name, url: world.sources.url, path: "hello", image: imageOf(n, "hello"), build: e.build, serving: true}
		n.Apply(f.manifest())
		b := ended(n, "hello")
		if state := text(b, "status", "state"); state != "Succeeded" {
			t.Fatalf("the build is %s, %s: %s", state, text(b, "status", "reason"), text(b, "status", "message"))
		}
		if made := text(b, "status", "resourceRef", e.ref); made != b.GetName() {
			t.Errorf("the builder refers to %q as its %s", made, e.ref)
		}
		digest, err := pushed(t, f.image).Digest()
		if err != nil {
			t.Fatal(err)
		}
		if got := text(b, "status", "output", "digest"); got != digest.String() {
			t.Errorf("the builder says the digest %q, the registry has %s", got, digest)
		}
		sources, _, _ := unstructured.NestedSlice(b.Object, "status", "sources")
		if got := fmt.Sprint(sources); !strings.Contains(got, world.sources.commit) || !strings.Contains(got, "Ada") {
			t.Errorf("the sources are %s, want commit %s by Ada", got, world.sources.commit)
		}
		n.Ready("function/hello")
		if got := n.Get("hello", "/"); got != "hello from a build\n" {
			t.Errorf("the function answered %q", got)
		}
		quiet(n, "builders.core.openfunction.io/"+b.GetName())
	})
}

// quiet asks whether an object is left alone for a while.
func quiet(n *ofncluster.Namespace, which string) {
	n.T.Helper()
	before := n.Object(which).GetResourceVersion()
	time.Sleep(2 * time.Second) // nothing tells that nothing happens
	if after := n.Object(which).GetResourceVersion(); after != before {
		n.T.Errorf("%s is still being written: %s, then %s", which, before, after)
	}
}

func TestMistakeInTheCode(t *testing.T) {
	each(t, "mistake", func(n *ofncluster.Namespace, e engine) {
		f := fn{name: "broken", engine: e.name, url: world.sources.url, path: "broken", image: imageOf(n, "broken"), build: e.build}
		n.Apply(f.manifest())
		b := ended(n, "broken")
		reason, message := text(b, "status", "reason"), text(b, "status", "message")
		if text(b, "status", "state") != "Failed" || reason == "" {
			n.T.Errorf("the build is %s, %s: %s", text(b, "status", "state"), reason, message)
		}
		if e.name != "shipwright" && !strings.Contains(message, "main.go:4") { // there it is the strategy that says
			n.T.Errorf("the message does not say where: %s: %s", reason, message)
		}
		n.Condition("function/broken", "Built", "False", "")
	})
}

func TestNoSuchRevision(t *testing.T) {
	each(t, "revision", func(n *ofncluster.Namespace, e engine) {
		f := fn{name: "lost", engine: e.name, url: world.sources.url, path: "hello, revision: no-such-branch", image: imageOf(n, "lost"), build: e.build,
			spec: ""}
		f.build += "    failedBuildsHistoryLimit: 1\n"
		n.Apply(f.manifest())
		b := ended(n, "lost")
		reason, message := text(b, "status", "reason"), text(b, "status", "message")
		if told := strings.Contains(message, "no-such-branch") || e.name == "shipwright" && reason == "GitRevisionNotFound"; !told || text(b, "status", "state") != "Failed" {
			n.T.Errorf("the build is %s, %s: %s", text(b, "status", "state"), reason, message)
		}
		kept(n, f, e)
	})
}

// kept builds what fails again, twice, and sees that beside the current one of them is kept, with what was made for it.
func kept(n *ofncluster.Namespace, f fn, e engine) {
	n.T.Helper()
	for i := range 2 {
		last := builders(n, f.name)
		f.build = strings.TrimSuffix(f.build, fmt.Sprintf("    env: {TRY: \"%d\"}\n", i)) + fmt.Sprintf("    env: {TRY: \"%d\"}\n", i+1)
		n.Apply(f.manifest())
		when(n, f.name, func(b unstructured.Unstructured) bool {
			return b.GetName() != last[len(last)-1].GetName() && text(b, "status", "state") == "Failed"
		})
	}
	n.Eventually("one more failed build is kept, with what was made for it", func() error {
		all := builders(n, f.name)
		if len(all) != 2 {
			return fmt.Errorf("there are %d builders", len(all))
		}
		if made := n.Objects(e.kind, "openfunction.io/builder"); len(made) != 2 {
			return fmt.Errorf("there are %d %s", len(made), e.kind)
		}
		return nil
	})
}

func TestCancelled(t *testing.T) {
	each(t, "cancel", func(n *ofncluster.Namespace, e engine) {
		f := fn{name: "slow", engine: e.name, url: slowSource, path: "hello", image: imageOf(n, "slow"), build: e.build}
		n.Apply(f.manifest())
		b := when(n, "slow", func(b unstructured.Unstructured) bool { return running(n, b.GetName()) })
		n.Kubectl("patch", "builder", b.GetName(), "--type=merge", "-p", `{"spec":{"state":"Cancelled"}}`)
		b = ended(n, "slow")
		if state, reason := text(b, "status", "state"), text(b, "status", "reason"); state != "Canceled" || reason != "Cancelled" {
			n.T.Errorf("the build is %s, %s: %s", state, reason, text(b, "status", "message"))
		}
		n.Eventually("its pod has ended", func() error {
			if running(n, b.GetName()) {
				return errors.New("it runs")
			}
			return nil
		})
	})
}

// running is whether a pod of a builder runs.
func running(n *ofncluster.Namespace, builder string) bool {
	for _, label := range []string{"openfunction.io/builder=", "buildrun.shipwright.io/name="} {
		for _, p := range n.Objects("pods", label+builder) {
			if text(p, "status", "phase") == "Running" {
				return true
			}
		}
	}
	return false
}

func TestTimeout(t *testing.T) {
	each(t, "timeout", func(n *ofncluster.Namespace, e engine) {
		f := fn{name: "slow", engine: e.name, url: slowSource, path: "hello", image: imageOf(n, "slow"),
			build: e.build + "    timeout: 10s\n"}
		n.Apply(f.manifest())
		b := ended(n, "slow")
		if state, reason := text(b, "status", "state"), text(b, "status", "reason"); state != "Timeout" || reason != "BuildTimeout" {
			n.T.Errorf("the build is %s, %s: %s", state, reason, text(b, "status", "message"))
		}
	})
}

func TestRegistryDown(t *testing.T) {
	t.Cleanup(func() { down.Store(false) }) // after those that run side by side
	down.Store(true)
	each(t, "down", func(n *ofncluster.Namespace, e engine) {
		f := fn{name: "hello", engine: e.name, url: world.sources.url, path: "hello", image: imageOf(n, "hello"), build: e.build}
		n.Apply(f.manifest())
		b := ended(n, "hello")
		if message := text(b, "status", "message"); text(b, "status", "state") != "Failed" || !strings.Contains(message, registryHost) && e.name != "shipwright" {
			n.T.Errorf("the build is %s, %s: %s", text(b, "status", "state"), text(b, "status", "reason"), message)
		}
	})
}

func TestSecrets(t *testing.T) {
	each(t, "secret", func(n *ofncluster.Namespace, e engine) {
		f := fn{name: "closed", engine: e.name, url: world.sources.private, path: "hello", login: "git-login",
			image: fmt.Sprintf("%s/private/%s:1", registryHost, n.Name), build: e.build, spec: "  imageCredentials: {name: push}\n", serving: true}
		if e.name == "shipwright" { // it sends no password without TLS, which the git server of this test has not
			f.url, f.login = world.sources.url, ""
		}
		n.Kubectl("create", "secret", "docker-registry", "push", "--docker-server="+registryHost, "--docker-username="+user, "--docker-password="+password)
		n.Kubectl("create", "secret", "generic", "git-login", "--type=kubernetes.io/basic-auth", "--from-literal=username="+user, "--from-literal=password="+password)
		n.Apply(f.manifest())
		b := ended(n, "closed")
		if state := text(b, "status", "state"); state != "Succeeded" {
			n.T.Fatalf("the build is %s, %s: %s", state, text(b, "status", "reason"), text(b, "status", "message"))
		}
		pushed(n.T.(*testing.T), f.image, remote.WithAuth(&authn.Basic{Username: user, Password: password}))
		n.Ready("function/closed")
		if got := n.Get("closed", "/"); got != "hello from a build\n" {
			n.T.Errorf("the function answered %q", got)
		}
	})
}

func TestSecretsThatAreWrong(t *testing.T) {
	each(t, "wrong", func(n *ofncluster.Namespace, e engine) {
		n.Kubectl("create", "secret", "generic", "git-login", "--type=kubernetes.io/basic-auth", "--from-literal=username="+user, "--from-literal=password=other")
		f := fn{name: "closed", engine: e.name, url: world.sources.private, path: "hello", login: "git-login", image: imageOf(n, "closed"), build: e.build}
		n.Apply(f.manifest())
		f.name, f.login = "missing", "no-such-secret"
		n.Apply(f.manifest())
		for _, name := range []string{"closed", "missing"} {
			b := ended(n, name)
			if text(b, "status", "state") != "Failed" {
				n.T.Errorf("%s: the build is %s, %s: %s", name, text(b, "status", "state"), text(b, "status", "reason"), text(b, "status", "message"))
			}
			n.T.Logf("%s: %s: %s", name, text(b, "status", "reason"), text(b, "status", "message"))
		}
	})
}

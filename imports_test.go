package ofn_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/openfunction/ofn"

// rule says what the packages under a prefix must never depend on, even indirectly. Prefixes beginning with "./" are of
// this module. A package whose path equals or lies under an entry of except is allowed although it matches never. Packages under
// an entry of but have rules of their own.
type rule struct {
	under  string
	never  []string
	except []string
	but    []string
}

var rules = []rule{
	{under: ".", never: []string{"./cmd/"}},
	{under: "./api", never: []string{"./internal/", "knative.dev/", "github.com/kedacore/", "github.com/dapr/", "sigs.k8s.io/controller-runtime/pkg/manager"}},
	{under: "./internal/instance", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"}, except: []string{"./internal/instance"}, but: []string{"./internal/instance/drivers/pods"}},
	{under: "./internal/instance/drivers/pods", never: []string{"./internal/", "./api/"}, except: []string{"./internal/instance"}},
	{under: "./internal/activator", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"}, except: []string{"./internal/activator", "./internal/instance"}},
	{under: "./internal/gateway", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"}, except: []string{"./internal/gateway", "./internal/activator", "./internal/instance"}},
	{under: "./internal/scale", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/", "net/http"}, except: []string{"./internal/scale"}},
	{under: "./internal/build", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"}, except: []string{"./internal/build"}, but: []string{"./internal/build/shipwright", "./internal/build/pod", "./internal/build/job", "./internal/build/tekton", "./internal/build/enginetest"}},
	// Engines of a cluster speak its API, and no Go package of the engine.
	{under: "./internal/build/shipwright", never: []string{"./internal/", "github.com/shipwright-io/", "github.com/tektoncd/"}, except: []string{"./internal/build", "./internal/drift"}},
	{under: "./internal/build/tekton", never: []string{"./internal/", "github.com/tektoncd/"}, except: []string{"./internal/build", "./internal/drift"}},
	{under: "./internal/build/job", never: []string{"./internal/"}, except: []string{"./internal/build", "./internal/drift"}},
	{under: "./internal/build/pod", never: []string{"./internal/"}, except: []string{"./internal/build", "./internal/drift"}},
	{under: "./internal/run/cluster", never: []string{"./internal/", "sigs.k8s.io/controller-runtime"}, except: []string{"./internal/run"}},
	{under: "./internal/run/podspec", never: []string{"./internal/"}, except: []string{"./internal/run"}},
	{under: "./internal/run/podstatus", never: []string{"./internal/"}, except: []string{"./internal/run"}},
	{under: "./internal/run/kedahttp", never: []string{"./internal/", "github.com/kedacore/"}, except: []string{"./internal/run", "./internal/drift"}},
	{under: "./internal/run/knative", never: []string{"./internal/", "knative.dev/"}, except: []string{"./internal/run", "./internal/drift"}},
	{under: "./internal/run/pods", never: []string{"./internal/"}, except: []string{"./internal/run", "./internal/drift"}},
	{under: "./internal/run/dapr", never: []string{"./internal/", "github.com/dapr/", "github.com/kedacore/"}, except: []string{"./internal/run", "./internal/drift"}},
	{under: "./internal/drift", never: []string{"./internal/"}, except: []string{"./internal/drift"}},
	{under: "./internal/lease", never: []string{"./internal/"}, except: []string{"./internal/lease"}},
	{under: "./framework", never: []string{"./internal/", "./api/", "k8s.io/"}},
	{under: "./internal/image", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"}, except: []string{"./internal/image"}},
	{under: "./internal/run", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"}, except: []string{"./internal/run", "./internal/instance", "./internal/activator", "./internal/scale"},
		but: []string{"./internal/run/cluster", "./internal/run/podspec", "./internal/run/kedahttp", "./internal/run/podstatus", "./internal/run/knative", "./internal/run/dapr", "./internal/run/pods"}},
	{under: "./internal/lag", never: []string{"./internal/", "github.com/kedacore/"}, except: []string{"./internal/lag", "./internal/run", "./internal/scale", "./internal/compile"}},
	{under: "./internal/compile", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"}, except: []string{"./internal/compile"}},
	{under: "./internal/kubeapi", never: []string{"./internal/"}, except: []string{"./internal/kubeapi"}},
	{under: "./internal/control", never: []string{"./internal/", "knative.dev/", "github.com/dapr/", "github.com/kedacore/", "k8s.io/kubernetes/", "go.etcd.io/"},
		except: []string{"./internal/control", "./internal/run", "./internal/build", "./internal/route", "./internal/event", "./internal/drift"}},
	{under: "./internal/route", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"}, except: []string{"./internal/route", "./internal/gateway", "./internal/activator"},
		but: []string{"./internal/route/cluster", "./internal/route/gatewayapi"}},
	{under: "./internal/route/cluster", never: []string{"./internal/", "sigs.k8s.io/controller-runtime"}, except: []string{"./internal/route"}},
	{under: "./internal/route/gatewayapi", never: []string{"./internal/", "sigs.k8s.io/gateway-api"}, except: []string{"./internal/route", "./internal/drift"}},
	{under: "./internal/nodeapi", never: []string{"./internal/", "k8s.io/", "github.com/nats-io/"}, except: []string{"./internal/nodeapi", "./internal/bus"}},
	{under: "./internal/calls", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/", "github.com/dapr/"}, except: []string{"./internal/calls"}},
	{under: "./internal/dev", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"}, except: []string{"./internal/dev", "./internal/build", "./internal/image"}},
	{under: "./internal/doctor", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"}, except: []string{"./internal/doctor"}},
	{under: "./internal/install", never: []string{"./internal/", "./config/crd", "knative.dev/", "github.com/dapr/", "github.com/kedacore/", "k8s.io/kubernetes/", "go.etcd.io/", "sigs.k8s.io/controller-runtime/pkg/envtest"},
		except: []string{"./internal/install", "./internal/control/engines", "./internal/doctor", "./internal/image/assemble"}},
	{under: "./internal/cli", never: []string{"./internal/", "knative.dev/", "github.com/dapr/", "github.com/kedacore/", "k8s.io/kubernetes/", "go.etcd.io/", "sigs.k8s.io/controller-runtime/pkg/manager"},
		except: []string{"./internal/cli", "./internal/image", "./internal/export", "go.etcd.io/bbolt"}}, // the names of images come with the registry and its file
	{under: "./internal/export", never: []string{"./internal/", "knative.dev/", "github.com/dapr/", "github.com/kedacore/", "k8s.io/kubernetes/", "sigs.k8s.io/controller-runtime/pkg/manager"},
		except: []string{"./internal/export", "./internal/image"}},
	{under: "./internal/bus", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/", "github.com/dapr/"}, except: []string{"./internal/bus"}},
	{under: "./internal/event", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/", "github.com/dapr/"}, except: []string{"./internal/event", "./internal/bus"},
		but: []string{"./internal/event/cluster"}},
	{under: "./internal/event/cluster", never: []string{"./internal/", "github.com/nats-io/", "github.com/dapr/", "github.com/kedacore/"},
		except: []string{"./internal/event", "./internal/run/podstatus", "./internal/run", "./internal/drift"}},
	{under: "./internal/event/trigger", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/", "github.com/dapr/"}, except: []string{"./internal/event", "./internal/bus"}},
	{under: "./internal/event/source", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/", "github.com/dapr/"}, except: []string{"./internal/event/source", "./internal/event/cloudevent"}},
	{under: "./internal/event/deliver", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/", "github.com/dapr/"}, except: []string{"./internal/event", "./internal/bus"}},
	{under: "./internal/event/embedded", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/", "github.com/dapr/"}, except: []string{"./internal/event", "./internal/bus"}},
	// What of Kubernetes is named here, components-contrib brings: clocks, quantities and a JSON reader, no client.
	{under: "./internal/dapr", never: []string{"./internal/", "k8s.io/", "sigs.k8s.io/"},
		except: []string{"./internal/dapr", "./internal/event", "k8s.io/utils/clock", "k8s.io/apimachinery/pkg/api/resource", "k8s.io/apimachinery/pkg/runtime/serializer/cbor", "sigs.k8s.io/json"}},
	{under: "./internal/dapr/components", never: []string{"./internal/dapr"}, except: []string{"./internal/dapr/components"}},
	{under: "./internal/dapr/runtime", never: []string{"./internal/dapr"}, except: []string{"./internal/dapr/runtime", "./internal/dapr/components"}},
	{under: "./internal/telemetry", never: []string{"./internal/", "k8s.io/"}, except: []string{"./internal/telemetry"}},
}

// siblings lists folders whose direct children must never import one another: engines behind one seam.
var siblings = []string{"./internal/run/", "./internal/instance/drivers/", "./internal/build/", "./internal/build/native/", "./internal/route/", "./internal/bus/", "./internal/event/source/"}

// shared are children of a sibling folder that the siblings are built on: seams, conformance suites and sources.
var shared = map[string]bool{"runtest": true, "cluster": true, "podspec": true, "podstatus": true, "buildtest": true, "pod": true, "bustest": true, "source": true, "sourcetest": true, "lang": true, "langtest": true, "system": true}

func TestImports(t *testing.T) {
	for p, deps := range packages(t) {
		for _, r := range rules {
			if !under(p, r.under) || matches(p, r.but) {
				continue
			}
			for _, dep := range deps {
				if matches(dep, r.never) && !matches(dep, r.except) {
					t.Errorf("%s must not depend on %s (rule for %s)", p, dep, r.under)
				}
			}
		}
		for _, s := range siblings {
			own, ok := child(p, s)
			if !ok || shared[own] || strings.HasSuffix(p, "test") { // what tests have in common may wire siblings together
				continue
			}
			for _, dep := range deps {
				if other, ok := child(dep, s); ok && other != own && !shared[other] {
					t.Errorf("%s must not depend on its sibling %s", p, dep)
				}
			}
		}
	}
}

func packages(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string][]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Deps       []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for i, d := range p.Deps {
			p.Deps[i] = local(d)
		}
		all[local(p.ImportPath)] = p.Deps
	}
	if len(all) < 10 {
		t.Fatalf("go list found only %d packages: the rules would check nothing", len(all))
	}
	return all
}

func local(path string) string {
	if path == module {
		return "."
	}
	if rest, ok := strings.CutPrefix(path, module+"/"); ok {
		return "./" + rest
	}
	return path
}

func under(p, prefix string) bool {
	return prefix == "." || p == prefix || strings.HasPrefix(p, prefix+"/")
}

func matches(p string, list []string) bool {
	for _, m := range list {
		if strings.HasPrefix(p+"/", strings.TrimSuffix(m, "/")+"/") {
			return true
		}
	}
	return false
}

func child(p, folder string) (string, bool) {
	rest, ok := strings.CutPrefix(p, folder)
	if !ok || rest == "" {
		return "", false
	}
	name, _, _ := strings.Cut(rest, "/")
	return name, true
}

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

type object = map[string]any

// fakeAPI is a control plane in memory: objects by their path, watches, and what a machine serves beside.
type fakeAPI struct {
	*httptest.Server
	version  string
	noSource bool // without a registry
	noSchema bool // without OpenAPI

	mu      sync.Mutex
	objects map[string]object
	count   int
	watches []chan object
	// changed is called without the lock after each write of a client.
	changed func(path string)
	// podLog serves the logs of pods.
	podLog http.HandlerFunc
	// extra serves what is below /ofn/.
	extra http.Handler
}

func newFakeAPI(t *testing.T) *fakeAPI {
	t.Helper()
	f := &fakeAPI{version: "v1.36.3+ofn", objects: map[string]object{}, extra: http.NotFoundHandler()}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	mux := http.NewServeMux()
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, object{"gitVersion": f.version, "major": "1", "minor": "36"})
	})
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		if f.noSource {
			http.NotFound(w, r)
			return
		}
		images.ServeHTTP(w, r)
	})
	mux.HandleFunc("/ofn/", func(w http.ResponseWriter, r *http.Request) { f.extra.ServeHTTP(w, r) })
	mux.HandleFunc("/apis/", f.serve)
	mux.HandleFunc("/api/", f.serve)
	mux.HandleFunc("/api/v1/namespaces/{namespace}/pods/{name}/log", func(w http.ResponseWriter, r *http.Request) { f.podLog(w, r) })
	mux.HandleFunc("/openapi/v3/apis/core.openfunction.io/v1beta2", func(w http.ResponseWriter, _ *http.Request) {
		if f.noSchema {
			answer(w, http.StatusForbidden, failure(403, "forbidden"))
			return
		}
		_, _ = io.WriteString(w, functionSchema)
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.end)
	return f
}

func (f *fakeAPI) end() {
	f.mu.Lock()
	for _, w := range f.watches {
		close(w)
	}
	f.watches = nil
	f.mu.Unlock()
	f.Close()
}

// environment is one whose only control plane is f.
func (f *fakeAPI) environment(t *testing.T, in string) (Environment, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: f.URL}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c"}},
		CurrentContext: "c",
	}, path)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	return Environment{Version: "test", Kubeconfig: path, Home: t.TempDir(), In: strings.NewReader(in), Out: &out, Err: &errs}, &out, &errs
}

// run is one command line against f.
func (f *fakeAPI) run(t *testing.T, args ...string) (out, errs string, err error) {
	t.Helper()
	return f.runWith(t, "", args...)
}

func (f *fakeAPI) runWith(t *testing.T, in string, args ...string) (out, errs string, err error) {
	t.Helper()
	env, o, e := f.environment(t, in)
	root := New(env)
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

// put stores an object given as YAML and tells the watches.
func (f *fakeAPI) put(t *testing.T, text string) object {
	t.Helper()
	var o object
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return f.store(pathOf(o), o)
}

func pathOf(o object) string {
	base := "/apis/"
	if !strings.Contains(o["apiVersion"].(string), "/") {
		base = "/api/"
	}
	m := o["metadata"].(object)
	namespace, ok := m["namespace"].(string)
	if !ok {
		namespace = "default"
	}
	return base + o["apiVersion"].(string) + "/namespaces/" + namespace + "/" + strings.ToLower(o["kind"].(string)) + "s/" + m["name"].(string)
}

func (f *fakeAPI) store(path string, o object) object {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	m, _ := o["metadata"].(object)
	if m == nil {
		m = object{}
	}
	old := f.objects[path]
	o["metadata"] = m
	m["resourceVersion"] = fmt.Sprint(f.count)
	if m["namespace"] == nil {
		m["namespace"] = "default"
	}
	if m["uid"] == nil {
		m["uid"] = "uid-" + fmt.Sprint(m["name"])
	}
	if m["generation"] == nil {
		m["generation"] = int64(1)
	}
	if old != nil {
		m["generation"] = old["metadata"].(object)["generation"]
		if !reflect.DeepEqual(normal(old["spec"]), normal(o["spec"])) {
			m["generation"] = int64(normal(m["generation"]).(float64)) + 1
		}
	}
	f.objects[path] = copyOf(o)
	for _, w := range f.watches {
		w <- object{"type": "MODIFIED", "object": copyOf(o)}
	}
	return o
}

// normal makes values comparable whatever they were decoded with.
func normal(v any) (out any) {
	data, _ := json.Marshal(v)
	_ = json.Unmarshal(data, &out)
	return out
}

func copyOf(o object) object { return normal(o).(object) }

// get is a stored object; nil when there is none.
func (f *fakeAPI) get(path string) object {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.objects[path]; o != nil {
		return copyOf(o)
	}
	return nil
}

// functionSchema is what the server publishes of Function.
const functionSchema = `{"components": {"schemas": {"Function": {"type": "object",
	"x-kubernetes-group-version-kind": [{"group": "core.openfunction.io", "version": "v1beta2", "kind": "Function"}],
	"properties": {"apiVersion": {}, "kind": {}, "metadata": {}, "spec": {"type": "object", "properties": {
		"image": {}, "build": {}, "serving": {}, "order": {}, "version": {}, "port": {}}}}}}}}`

// files writes a directory named "my-function".
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "my-function")
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

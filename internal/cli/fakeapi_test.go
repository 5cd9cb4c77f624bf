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
	"slices"
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

func (f *fakeAPI) serve(w http.ResponseWriter, r *http.Request) {
	path, body := r.URL.Path, object{}
	if data, _ := io.ReadAll(r.Body); len(data) > 0 {
		if err := yaml.Unmarshal(data, &body); err != nil {
			answer(w, http.StatusBadRequest, failure(400, err.Error()))
			return
		}
	}
	dry := r.URL.Query().Get("dryRun") != ""
	switch old := f.get(path); r.Method {
	case http.MethodGet:
		f.read(w, r, old)
	case http.MethodPost:
		path += "/" + body["metadata"].(object)["name"].(string)
		if f.get(path) != nil {
			answer(w, http.StatusConflict, failure(409, "already exists"))
			return
		}
		f.write(w, r, path, body)
	case http.MethodPatch:
		if old == nil && !strings.Contains(r.Header.Get("Content-Type"), "apply-patch") {
			answer(w, http.StatusNotFound, failure(404, "not found"))
			return
		}
		if meta, _ := body["metadata"].(object); old == nil && meta["uid"] != nil {
			answer(w, http.StatusConflict, failure(409, "uid mismatch: no existing object was found"))
			return
		}
		f.write(w, r, path, merge(old, body))
	case http.MethodDelete:
		if old == nil {
			answer(w, http.StatusNotFound, failure(404, filepath.Base(path)+" not found"))
			return
		}
		f.mu.Lock()
		if !dry {
			delete(f.objects, path)
		}
		f.mu.Unlock()
		answer(w, http.StatusOK, old)
	}
}

func (f *fakeAPI) write(w http.ResponseWriter, r *http.Request, path string, o object) {
	dry := r.URL.Query().Get("dryRun") != ""
	spec, _ := o["spec"].(object)
	if spec["image"] == "refused" {
		answer(w, http.StatusUnprocessableEntity, failure(422, `Function "x" is invalid: spec.image: Invalid value`))
		return
	}
	switch validation := r.URL.Query().Get("fieldValidation"); {
	case spec["odd"] == nil:
	case r.Method == http.MethodPatch: // as server-side apply of Kubernetes does, whatever it is told
		answer(w, http.StatusInternalServerError, failure(500, "failed to create typed patch object: .spec.odd: field not declared in schema"))
		return
	case validation == "Strict":
		answer(w, http.StatusBadRequest, failure(400, `strict decoding error: unknown field "spec.odd"`))
		return
	default:
		w.Header().Set("Warning", `299 - "unknown field \"spec.odd\""`)
	}
	if !dry {
		o = f.store(path, o)
	}
	answer(w, http.StatusOK, o)
	if f.changed != nil && !dry {
		f.changed(path)
	}
}

// functionSchema is what the server publishes of Function.
const functionSchema = `{"components": {"schemas": {"Function": {"type": "object",
	"x-kubernetes-group-version-kind": [{"group": "core.openfunction.io", "version": "v1beta2", "kind": "Function"}],
	"properties": {"apiVersion": {}, "kind": {}, "metadata": {}, "spec": {"type": "object", "properties": {
		"image": {}, "build": {}, "serving": {}, "order": {}, "version": {}, "port": {}}}}}}}}`

func (f *fakeAPI) read(w http.ResponseWriter, r *http.Request, one object) {
	isTable := strings.Contains(r.Header.Get("Accept"), "as=Table")
	isCollection := (len(strings.Split(strings.Trim(r.URL.Path, "/"), "/"))%2 == 0) == strings.HasPrefix(r.URL.Path, "/apis/")
	switch {
	case r.URL.Query().Get("watch") != "":
		f.watch(w, r, isTable)
	case one != nil && isTable:
		answer(w, http.StatusOK, asTable(one))
	case one != nil:
		answer(w, http.StatusOK, one)
	case !isCollection:
		answer(w, http.StatusNotFound, failure(404, filepath.Base(r.URL.Path)+" not found"))
	case isTable:
		answer(w, http.StatusOK, asTable(f.list(r)...))
	default:
		answer(w, http.StatusOK, object{"apiVersion": apiVersion(r.URL.Path), "kind": listKind(r.URL.Path), "metadata": object{"resourceVersion": "1"}, "items": f.list(r)})
	}
}

func apiVersion(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if parts[0] == "api" {
		return parts[1]
	}
	return parts[1] + "/" + parts[2]
}

func listKind(path string) string {
	plural := path[strings.LastIndexByte(path, '/')+1:]
	return strings.ToUpper(plural[:1]) + strings.TrimSuffix(plural[1:], "s") + "List"
}

// list knows label selectors of the form k=v.
func (f *fakeAPI) list(r *http.Request) []object {
	f.mu.Lock()
	defer f.mu.Unlock()
	prefix, plural := r.URL.Path+"/", ""
	if !strings.Contains(r.URL.Path, "/namespaces/") { // of all namespaces
		i := strings.LastIndexByte(r.URL.Path, '/')
		prefix, plural = r.URL.Path[:i+1]+"namespaces/", "/"+r.URL.Path[i+1:]+"/"
	}
	key, value, labelled := strings.Cut(r.URL.Query().Get("labelSelector"), "=")
	out := []object{}
	for path, o := range f.objects {
		labels, _ := o["metadata"].(object)["labels"].(object)
		if strings.HasPrefix(path, prefix) && strings.Contains(path, plural) && (!labelled || labels[key] == value) {
			out = append(out, copyOf(o))
		}
	}
	slices.SortFunc(out, func(a, b object) int { return strings.Compare(pathOf(a), pathOf(b)) })
	return out
}

func (f *fakeAPI) watch(w http.ResponseWriter, r *http.Request, isTable bool) {
	events := make(chan object, 100)
	f.mu.Lock()
	// What was written since the version asked for must not be missed: everything is told once more.
	for path, o := range f.objects {
		if strings.HasPrefix(path, r.URL.Path) && fmt.Sprint(o["metadata"].(object)["resourceVersion"]) != r.URL.Query().Get("resourceVersion") {
			events <- object{"type": "MODIFIED", "object": copyOf(o)}
		}
	}
	f.watches = append(f.watches, events)
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			if isTable {
				e["object"] = asTable(e["object"].(object))
			}
			_ = json.NewEncoder(w).Encode(e)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func asTable(items ...object) object {
	columns := []object{{"name": "Name", "type": "string"}, {"name": "BuildState", "type": "string"}, {"name": "Secret", "type": "string", "priority": 1}}
	rows := []object{}
	for _, o := range items {
		build := any(nil)
		if s, ok := o["status"].(object); ok {
			if b, ok := s["build"].(object); ok {
				build = b["state"]
			}
		}
		rows = append(rows, object{"cells": []any{o["metadata"].(object)["name"], build, "wide"}, "object": o})
	}
	return object{"apiVersion": "meta.k8s.io/v1", "kind": "Table", "metadata": object{"resourceVersion": "1"}, "columnDefinitions": columns, "rows": rows}
}

// merge is a JSON merge patch.
func merge(old, change object) object {
	out := object{}
	for k, v := range old {
		out[k] = v
	}
	for k, v := range change {
		sub, isObject := v.(object)
		before, _ := out[k].(object)
		switch {
		case v == nil:
			delete(out, k)
		case isObject:
			out[k] = merge(before, sub)
		default:
			out[k] = v
		}
	}
	return out
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func failure(code int, message string) object {
	reason := map[int]string{404: "NotFound", 409: "AlreadyExists", 422: "Invalid", 403: "Forbidden"}[code]
	return object{"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
}

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

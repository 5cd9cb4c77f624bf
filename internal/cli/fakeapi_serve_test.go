package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

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

func (f *fakeAPI) read(w http.ResponseWriter, r *http.Request, one object) {
	isTable := strings.Contains(r.Header.Get("Accept"), "as=Table")
	isCollection := (len(strings.Split(strings.Trim(r.URL.Path, "/"), "/"))%2 == 0) == strings.HasPrefix(r.URL.Path, "/apis/")
	switch {
	case strings.Count(strings.Trim(r.URL.Path, "/"), "/") == 0: // what kinds there are is not told
		answer(w, http.StatusNotFound, failure(404, "not found"))
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

// selects knows label selectors of the forms k=v and k.
func selects(selector string, labels object) bool {
	for part := range strings.SplitSeq(selector, ",") {
		key, value, equal := strings.Cut(part, "=")
		if labels[key] == nil && part != "" || equal && labels[key] != value {
			return false
		}
	}
	return true
}

func (f *fakeAPI) list(r *http.Request) []object {
	f.mu.Lock()
	defer f.mu.Unlock()
	prefix, plural := r.URL.Path+"/", ""
	if !strings.Contains(r.URL.Path, "/namespaces/") { // of all namespaces
		i := strings.LastIndexByte(r.URL.Path, '/')
		prefix, plural = r.URL.Path[:i+1]+"namespaces/", "/"+r.URL.Path[i+1:]+"/"
	}
	out := []object{}
	for path, o := range f.objects {
		labels, _ := o["metadata"].(object)["labels"].(object)
		if strings.HasPrefix(path, prefix) && strings.Contains(path, plural) && selects(r.URL.Query().Get("labelSelector"), labels) {
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

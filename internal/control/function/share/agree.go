package share

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// What selects one function of an application: at its start, and in its build.
const (
	envTarget = "FUNCTION_TARGET"
	envName   = "FUNC_NAME"
)

// target is the name by which the application has registered the function.
func target(fn *v1beta2.Function) string {
	if s := fn.Spec.Serving; s != nil && s.Params[envTarget] != "" {
		return s.Params[envTarget]
	}
	if b := fn.Spec.Build; b != nil && b.Env[envName] != "" {
		return b.Env[envName]
	}
	return fn.Name
}

// place is the path at which the application serves the function. Requests are sent there and nowhere else.
func place(fn *v1beta2.Function, known []v1beta2.BuiltFunction) (string, error) {
	if path := fn.Annotations[v1beta2.AnnotationSharePath]; path != "" {
		if !strings.HasPrefix(path, "/") {
			return "", fmt.Errorf("the annotation %s is %q: a path begins with /", v1beta2.AnnotationSharePath, path)
		}
		return path, nil
	}
	name := target(fn)
	var names []string
	for _, f := range known {
		names = append(names, f.Name)
		switch {
		case f.Name != name:
		case strings.Contains(f.Path, "{"):
			return "", fmt.Errorf("the path %s of its function %s has variables, so that no single path leads to it", f.Path, name)
		case f.Path == "":
			return "/", nil
		default:
			return f.Path, nil
		}
	}
	if len(names) == 0 {
		return "", fmt.Errorf("the build does not tell which functions the application has: give the path of %s in the annotation %s", name, v1beta2.AnnotationSharePath)
	}
	return "", fmt.Errorf("the application has no function %s; it has %s. Name one in build.env.%s, or its path in the annotation %s",
		name, strings.Join(names, ", "), envName, v1beta2.AnnotationSharePath)
}

// Difference is the first field in which two Functions differ that makes their copies differ; empty when one could serve for
// the other. What divides traffic, keeps a history, names a host or selects one function of the application does not count.
func Difference(a, b *v1beta2.Function) string {
	left, err1 := essence(a)
	right, err2 := essence(b)
	if err1 != nil || err2 != nil {
		return "what cannot be compared"
	}
	return differing("spec", left, right)
}

// essence is what of a specification makes a copy what it is.
func essence(fn *v1beta2.Function) (any, error) {
	spec := fn.Spec.DeepCopy()
	if b := spec.Build; b != nil {
		spec.Image, spec.ImageCredentials, spec.Version = "", nil, nil // where a build goes makes no difference to what it is
		delete(b.Env, envName)
		if len(b.Env) == 0 {
			b.Env = nil
		}
		b.Timeout, b.SuccessfulBuildsHistoryLimit, b.FailedBuildsHistoryLimit, b.BuilderMaxAge = nil, nil, nil, nil
		if r := b.SrcRepo; r != nil && r.BundleContainer != nil {
			if _, digest, pinned := strings.Cut(r.BundleContainer.Image, "@"); pinned {
				r.BundleContainer.Image = digest
			}
		}
	}
	if s := spec.Serving; s != nil {
		delete(s.Params, envTarget)
		delete(s.Params, envName)
		if len(s.Params) == 0 {
			s.Params = nil
		}
		s.Traffic, s.RevisionHistoryLimit = nil, nil
		if s.Triggers != nil && s.Triggers.HTTP != nil {
			s.Triggers.HTTP.Route = nil
		}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var out any
	return out, json.Unmarshal(text, &out)
}

// differing is the path of the first difference between two JSON values.
func differing(path string, a, b any) string {
	left, ok1 := a.(map[string]any)
	right, ok2 := b.(map[string]any)
	if !ok1 || !ok2 {
		if reflect.DeepEqual(a, b) {
			return ""
		}
		return path
	}
	keys := maps.Clone(left)
	maps.Copy(keys, right)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if d := differing(path+"."+k, left[k], right[k]); d != "" {
			return d
		}
	}
	return ""
}

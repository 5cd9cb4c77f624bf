package v1beta1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// absent stands for a field that is not there.
type absent struct{}

// merge is ours with the difference from base to theirs carried over.
func merge[T any](base, ours, theirs T) (T, error) {
	var out T
	var trees [3]any
	for i, v := range []T{base, ours, theirs} {
		data, err := json.Marshal(v)
		if err != nil {
			return out, fmt.Errorf("merging versions: %w", err)
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&trees[i]); err != nil {
			return out, fmt.Errorf("merging versions: %w", err)
		}
	}
	data, err := json.Marshal(mergeTrees(trees[0], trees[1], trees[2]))
	if err != nil {
		return out, fmt.Errorf("merging versions: %w", err)
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("merging versions: %w", err)
	}
	return out, nil
}

func mergeTrees(base, ours, theirs any) any {
	if reflect.DeepEqual(base, theirs) {
		return ours
	}
	switch t := theirs.(type) {
	case map[string]any:
		if o, ok := ours.(map[string]any); ok {
			b, _ := base.(map[string]any)
			return mergeMaps(b, o, t)
		}
	case []any:
		b, okB := byName(base)
		o, okO := byName(ours)
		_, okT := byName(theirs)
		if okB && okO && okT {
			return mergeLists(b, o, ours.([]any), t)
		}
	}
	return theirs
}

func mergeMaps(base, ours, theirs map[string]any) map[string]any {
	out := map[string]any{}
	put := func(key string) {
		if v := mergeTrees(get(base, key), get(ours, key), get(theirs, key)); v != (absent{}) {
			out[key] = v
		}
	}
	for key := range ours {
		put(key)
	}
	for key := range theirs {
		if _, done := ours[key]; !done {
			put(key)
		}
	}
	return out
}

// mergeLists merges lists whose elements have names: in the order of theirs, then those only we know.
func mergeLists(base, ours map[string]any, order, theirs []any) []any {
	out, done := []any{}, map[string]bool{}
	for _, element := range theirs {
		name := nameOf(element)
		done[name] = true
		if v := mergeTrees(get(base, name), get(ours, name), element); v != (absent{}) {
			out = append(out, v)
		}
	}
	for _, element := range order {
		name := nameOf(element)
		if _, removed := base[name]; !removed && !done[name] {
			out = append(out, element)
		}
	}
	return out
}

func get(m map[string]any, key string) any {
	if v, ok := m[key]; ok {
		return v
	}
	return absent{}
}

// byName indexes a list whose elements all have different names. No list at all is an empty one.
func byName(v any) (map[string]any, bool) {
	if v == (absent{}) {
		return map[string]any{}, true
	}
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	out := map[string]any{}
	for _, element := range list {
		name := nameOf(element)
		if _, again := out[name]; again || name == "" {
			return nil, false
		}
		out[name] = element
	}
	return out, true
}

// nameOf is the name of an element of a list, or that of the Dapr component it is about.
func nameOf(element any) string {
	m, ok := element.(map[string]any)
	if !ok {
		return ""
	}
	if name, ok := m["name"].(string); ok {
		return name
	}
	return nameOf(m["dapr"])
}

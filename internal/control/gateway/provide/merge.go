package provide

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
)

// injected are the listeners that were put into a Gateway, by the namespace/name of whom they are for.
type injected struct {
	of map[string][]string
	// legacy is whether OpenFunction wrote it: a list of listeners, whose names are then everybody's.
	legacy bool
	names  []string
}

func readInjected(u *unstructured.Unstructured) injected {
	said := []byte(u.GetAnnotations()[networking.AnnotationInjectedListeners])
	out := injected{of: map[string][]string{}}
	var list []struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(said, &list) == nil && len(list) > 0 {
		out.legacy = true
		for _, l := range list {
			out.names = append(out.names, l.Name)
		}
		return out
	}
	if json.Unmarshal(said, &out.of) != nil || out.of == nil {
		out.of = map[string][]string{}
	}
	return out
}

// has is whether a listener was put there for somebody.
func (i *injected) has(name, who string) bool {
	return slices.Contains(i.of[who], name) || i.legacy && slices.Contains(i.names, name)
}

// claim writes down that listeners are there for a Gateway; none is the end of that.
func claim(u *unstructured.Unstructured, g *networking.Gateway, listeners []any) error {
	were := readInjected(u)
	names := make([]string, 0, len(listeners))
	for _, l := range listeners {
		names = append(names, nameOf(l))
	}
	were.of[key(g)] = names
	if len(names) == 0 {
		delete(were.of, key(g))
	}
	annotations := maps.Clone(u.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	delete(annotations, networking.AnnotationInjectedListeners)
	if len(were.of) > 0 {
		data, err := json.Marshal(were.of)
		if err != nil {
			return fmt.Errorf("encoding annotation %s: %w", networking.AnnotationInjectedListeners, err)
		}
		annotations[networking.AnnotationInjectedListeners] = string(data)
	}
	u.SetAnnotations(annotations)
	return nil
}

// merge puts listeners into a Gateway, in its order and after what is there, and takes out those that were put there for the same
// and are wanted no longer. A listener of that name which is the same may have several owners; one that is another, and is somebody
// else's, is an error.
func merge(u *unstructured.Unstructured, g *networking.Gateway, wanted []any) error {
	there, _, err := unstructured.NestedSlice(u.Object, "spec", "listeners")
	if err != nil {
		return fmt.Errorf("reading the listeners of Gateway %s: %w", u.GetName(), err)
	}
	were := readInjected(u)
	byName := map[string]any{}
	for _, l := range wanted {
		byName[nameOf(l)] = l
	}
	var out, ours []any
	for _, l := range there {
		name := nameOf(l)
		want, is := byName[name]
		delete(byName, name)
		mine, others := were.has(name, key(g)), were.others(name, key(g))
		next := overlaid(l, want)
		switch {
		case !is && mine && !others:
			continue
		case is && !equal(next, l) && (others || !mine):
			return &refused{"ListenerTaken", fmt.Sprintf("Gateway %s/%s has a listener %q of somebody else, which is another: give it another name here or there", u.GetNamespace(), u.GetName(), name)}
		case is:
			l = next
		}
		out = append(out, l)
		if is && (mine || others) {
			ours = append(ours, l)
		}
	}
	for _, l := range wanted {
		if _, missing := byName[nameOf(l)]; missing {
			out, ours = append(out, l), append(ours, l)
		}
	}
	if err := unstructured.SetNestedSlice(u.Object, out, "spec", "listeners"); err != nil {
		return fmt.Errorf("merging the listeners of Gateway %s: %w", u.GetName(), err)
	}
	return claim(u, g, ours)
}

// others is whether a listener is there for anybody but one.
func (i *injected) others(name, but string) bool {
	for who, names := range i.of {
		if who != but && slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// overlaid is an object with what another says of its fields; fields that only it has, such as the API server's defaults, stay.
func overlaid(have, want any) any {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return want
		}
		out := maps.Clone(h)
		for k, v := range w {
			out[k] = overlaid(h[k], v)
		}
		return out
	case []any:
		h, ok := have.([]any)
		if !ok || len(h) != len(w) {
			return want
		}
		out := make([]any, len(w))
		for i := range w {
			out[i] = overlaid(h[i], w[i])
		}
		return out
	default:
		return want
	}
}

func nameOf(listener any) string {
	l, _ := listener.(map[string]any)
	name, _ := l["name"].(string)
	return name
}

// equal is whether two values are one JSON. Numbers of a cache and of a test are decoded differently.
func equal(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

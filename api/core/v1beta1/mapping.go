package v1beta1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// mapping converts a spec between the versions without loss. up and down say what each version can express of the other;
// the rest is remembered in an annotation:
//
//   - An object written in the old version is remembered as it was written, where the new version cannot say it all.
//   - An object shown in the old version carries the new one along, where the old version cannot say it all.
//
// Whoever then edits the object in either version changes just that: the edit (the difference between what was shown and
// what came back) is carried over to what is remembered.
type mapping[Old, New any] struct {
	kind string
	up   func(spec Old, annotations map[string]string) New
	down func(spec New) Old
}

// memory is the content of the annotation.
type memory[Old, New any] struct {
	// Kind of the object. Annotations are copied from Functions to Servings, where this one means nothing.
	Kind string `json:"kind"`
	// Old is the spec as it was last written in the old version.
	Old *Old `json:"v1beta1,omitempty"`
	// New is the spec that the old version shows in part.
	New *New `json:"v1beta2,omitempty"`
	// Annotations are those that up read when New was shown.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// maxMemory bounds the annotation: an object may have 256 KiB of them, and the user needs some.
const maxMemory = 128 << 10

// toNew converts a spec of the old version and its annotations.
func (m mapping[Old, New]) toNew(old Old, annotations map[string]string) (New, map[string]string, error) {
	kept, annotations := m.recall(annotations)
	out := m.up(old, annotations)
	if kept.New != nil {
		shown, err := m.show(*kept.New, kept.Old, kept.Annotations)
		if err != nil {
			return out, nil, err
		}
		if out, err = merge(m.up(shown, kept.Annotations), *kept.New, out); err != nil {
			return out, nil, err
		}
	}
	next := memory[Old, New]{Kind: m.kind}
	if !same(m.down(out), old) {
		next.Old = &old
	}
	annotations, err := next.remember(annotations)
	return out, annotations, err
}

// toOld converts a spec of the new version and its annotations.
func (m mapping[Old, New]) toOld(spec New, annotations map[string]string) (Old, map[string]string, error) {
	kept, annotations := m.recall(annotations)
	out, err := m.show(spec, kept.Old, annotations)
	if err != nil {
		return out, nil, err
	}
	next := memory[Old, New]{Kind: m.kind}
	if !same(m.up(out, annotations), spec) {
		next.Old, next.New, next.Annotations = kept.Old, &spec, read(annotations)
	}
	annotations, err = next.remember(annotations)
	return out, annotations, err
}

// show is how the old version shows a spec: as the user wrote it in that version, where that is remembered and still true.
func (m mapping[Old, New]) show(spec New, written *Old, annotations map[string]string) (Old, error) {
	plain := m.down(spec)
	if written == nil {
		return plain, nil
	}
	return merge(m.down(m.up(*written, annotations)), *written, plain)
}

// recall takes the memory out of the annotations. One that cannot be read, or is about another kind, is dropped.
func (m mapping[Old, New]) recall(annotations map[string]string) (memory[Old, New], map[string]string) {
	var out memory[Old, New]
	text, ok := annotations[v1beta2.AnnotationConversionData]
	if !ok {
		return out, annotations
	}
	if len(text) > maxMemory || json.Unmarshal([]byte(text), &out) != nil || out.Kind != m.kind {
		out = memory[Old, New]{}
	}
	annotations = maps.Clone(annotations)
	delete(annotations, v1beta2.AnnotationConversionData)
	if len(annotations) == 0 {
		annotations = nil
	}
	return out, annotations
}

// remember puts the memory, if there is any, into the annotations.
func (m memory[Old, New]) remember(annotations map[string]string) (map[string]string, error) {
	if m.Old == nil && m.New == nil {
		return annotations, nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("remembering what the other version cannot express: %w", err)
	}
	if len(text) > maxMemory {
		return annotations, nil
	}
	annotations = maps.Clone(annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1beta2.AnnotationConversionData] = string(text)
	return annotations, nil
}

// read is the part of the annotations that up reads.
func read(annotations map[string]string) map[string]string {
	var out map[string]string
	for _, name := range []string{v1beta2.AnnotationHooks, v1beta2.AnnotationTracing} {
		if v, ok := annotations[name]; ok {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = v
		}
	}
	return out
}

// same says that two values are written the same way.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

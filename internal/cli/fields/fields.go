// Package fields finds what an object has that its kind does not, by the schema that a server publishes, and guesses what
// was meant.
package fields

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Extensions of Kubernetes to OpenAPI.
const (
	extKind     = "x-kubernetes-group-version-kind"
	extPreserve = "x-kubernetes-preserve-unknown-fields"
	extEmbedded = "x-kubernetes-embedded-resource"
)

// Schemas are those of the kinds of one group and version.
type Schemas struct {
	models map[string]*spec.Schema
}

// Parse reads an OpenAPI 3 document as servers of Kubernetes publish it below /openapi/v3/.
func Parse(document []byte) (*Schemas, error) {
	var parsed spec3.OpenAPI
	if err := json.Unmarshal(document, &parsed); err != nil {
		return nil, fmt.Errorf("reading an OpenAPI document: %w", err)
	}
	if parsed.Components == nil {
		return &Schemas{}, nil
	}
	return &Schemas{models: parsed.Components.Schemas}, nil
}

// Unknown is a field that its kind does not have.
type Unknown struct {
	// Path leads to it: "spec.serving.trigers", "spec.rules[0].hots".
	Path string
	// Meant is the likely name, or the path of a field elsewhere that has this name; may be empty.
	Meant string
}

// String says it, and what was done about it.
func (u Unknown) String() string {
	if u.Meant == "" {
		return u.Path + ": unknown field, pruned"
	}
	return fmt.Sprintf("%s: unknown field, pruned; did you mean %s?", u.Path, u.Meant)
}

// Prune removes the fields that the kind of the object does not have, and tells them in the order of their paths. Of a
// kind without a schema nothing is known, and nothing removed.
func (s *Schemas) Prune(kind schema.GroupVersionKind, object map[string]any) []Unknown {
	root := s.kind(kind)
	if root == nil {
		return nil
	}
	p := &pruning{schemas: s, root: root}
	p.object("", object, root)
	slices.SortFunc(p.unknown, func(a, b Unknown) int { return strings.Compare(a.Path, b.Path) })
	return p.unknown
}

func (s *Schemas) kind(kind schema.GroupVersionKind) *spec.Schema {
	for _, model := range s.models {
		var kinds []schema.GroupVersionKind
		if model.Extensions.GetObject(extKind, &kinds) == nil && len(kinds) == 1 && kinds[0] == kind {
			return model
		}
	}
	return nil
}

// node is a schema with its references and conjunctions resolved.
type node struct {
	properties map[string]*spec.Schema
	values     *spec.Schema // of a map
	items      *spec.Schema // of a list
	open       bool         // other properties may be there too
}

// resolve follows references as deep as a document may reasonably nest them.
func (s *Schemas) resolve(from *spec.Schema) node {
	n := node{properties: map[string]*spec.Schema{}}
	s.collect(&n, from, 8)
	if len(n.properties) == 0 && n.values == nil {
		n.open = true // it says nothing of its fields
	}
	return n
}

func (s *Schemas) collect(n *node, from *spec.Schema, depth int) {
	if from == nil || depth == 0 {
		return
	}
	if ref := from.Ref.String(); ref != "" {
		s.collect(n, s.models[ref[strings.LastIndexByte(ref, '/')+1:]], depth-1)
	}
	for i := range from.AllOf {
		s.collect(n, &from.AllOf[i], depth-1)
	}
	for name := range from.Properties {
		property := from.Properties[name]
		n.properties[name] = &property
	}
	if a := from.AdditionalProperties; a != nil {
		n.values, n.open = a.Schema, n.open || a.Allows && a.Schema == nil
	}
	if from.Items != nil && from.Items.Schema != nil {
		n.items = from.Items.Schema
	}
	if preserved, ok := from.Extensions.GetBool(extPreserve); ok && preserved {
		n.open = true
	}
	if embedded, ok := from.Extensions.GetBool(extEmbedded); ok && embedded {
		for _, name := range []string{"apiVersion", "kind", "metadata"} {
			if n.properties[name] == nil {
				n.properties[name] = &spec.Schema{}
			}
		}
	}
}

// pruning is one walk over an object.
type pruning struct {
	schemas *Schemas
	root    *spec.Schema
	unknown []Unknown
}

func (p *pruning) value(path string, value any, from *spec.Schema) {
	switch value := value.(type) {
	case map[string]any:
		p.object(path, value, from)
	case []any:
		n := p.schemas.resolve(from)
		if n.items == nil {
			return
		}
		for i := range value {
			p.value(fmt.Sprintf("%s[%d]", path, i), value[i], n.items)
		}
	}
}

func (p *pruning) object(path string, object map[string]any, from *spec.Schema) {
	n := p.schemas.resolve(from)
	for name, value := range object {
		at := join(path, name)
		switch {
		case n.properties[name] != nil:
			p.value(at, value, n.properties[name])
		case n.values != nil:
			p.value(at, value, n.values)
		case !n.open:
			delete(object, name)
			p.unknown = append(p.unknown, Unknown{Path: at, Meant: p.guess(name, n)})
		}
	}
}

func join(path, name string) string {
	if strings.ContainsAny(name, ".[") {
		return fmt.Sprintf("%s[%s]", path, name)
	}
	return strings.TrimPrefix(path+"."+name, ".")
}

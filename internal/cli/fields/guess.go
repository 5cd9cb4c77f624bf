package fields

import (
	"maps"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// deepest is how far below the root a field of the same name is looked for.
const deepest = 6

// guess is what somebody who wrote name may have meant: a field that stands here and is written nearly the same, or one of
// the same name that belongs elsewhere.
func (p *pruning) guess(name string, here node) string {
	if near := Nearest(name, slices.Collect(maps.Keys(here.properties))); near != "" {
		return near
	}
	return p.schemas.elsewhere(name, p.root)
}

// Nearest is the one of the known names that differs least from what was written; empty when none is near.
func Nearest(written string, known []string) string {
	best, least := "", 2+len(written)/6
	if len(written) < 4 {
		least = 1
	}
	for _, name := range slices.Sorted(slices.Values(known)) {
		distance := levenshtein.Distance(strings.ToLower(written), strings.ToLower(name), nil)
		if distance < least || distance == least && best == "" {
			best, least = name, distance
		}
	}
	return best
}

// elsewhere is the path of the field of this name that is least deep. When there are several it is not clear which.
func (s *Schemas) elsewhere(name string, root *spec.Schema) string {
	type place struct {
		path string
		at   *spec.Schema
	}
	level := []place{{"", root}}
	for range deepest {
		var next []place
		var found []string
		for _, l := range level {
			for property, below := range s.resolve(l.at).properties {
				path := join(l.path, property)
				if path == "metadata" || path == "status" {
					continue // what a user writes is in neither
				}
				if strings.EqualFold(property, name) {
					found = append(found, path)
				}
				next = append(next, place{path, below})
			}
		}
		switch {
		case len(found) == 1:
			return found[0]
		case len(found) > 1:
			return ""
		}
		level = next
	}
	return ""
}

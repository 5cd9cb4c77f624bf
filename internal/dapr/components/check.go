package components

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dapr/components-contrib/metadata"

	"github.com/openfunction/ofn/internal/event"
)

// Invalid says that a component can never work as it is written.
type Invalid struct {
	Component event.Name
	Reason    string // CamelCase: UnknownType, UnknownVersion, UnknownMetadata, BadMetadata
	Message   string
}

func (e *Invalid) Error() string { return fmt.Sprintf("component %s: %s", e.Component, e.Message) }

// find is the constructor of a component, or why there is none.
func find(c event.Component) (constructor, error) {
	typ, version := Canonical(c.Type), c.Version
	if version == "" {
		version = "v1"
	}
	all := table()
	if made, ok := all[typ+"/"+version]; ok {
		return made, nil
	}
	if why, ok := gone[typ]; ok {
		return nil, &Invalid{c.Name, "UnknownType", fmt.Sprintf("type %q is not offered: %s", c.Type, why)}
	}
	var versions []string
	for k := range all {
		if v, ok := strings.CutPrefix(k, typ+"/"); ok {
			versions = append(versions, v)
		}
	}
	if len(versions) > 0 {
		slices.Sort(versions)
		return nil, &Invalid{c.Name, "UnknownVersion", fmt.Sprintf("type %q has no version %q: set spec.version to %s", c.Type, c.Version, strings.Join(versions, " or "))}
	}
	known := Types(category(typ))
	if len(known) == 0 || category(typ) == "" {
		return nil, &Invalid{c.Name, "UnknownType", fmt.Sprintf("type %q is not offered: it must begin with pubsub., bindings., state., secretstores. or configuration.", c.Type)}
	}
	hint := "known are " + strings.Join(known, ", ")
	if near := nearest(typ, known); near != "" {
		hint = fmt.Sprintf("did you mean %q? (%s)", near, hint)
	}
	return nil, &Invalid{c.Name, "UnknownType", fmt.Sprintf("type %q is not offered: %s", c.Type, hint)}
}

// builtIn are metadata that the runtime, not the component, reads, by category.
var builtIn = map[string][]string{
	"pubsub":   {"consumerID", "protectedTopics", "publishingScopes", "subscriptionScopes", "allowedTopics", "maxBulkPubBytes", "rawPayload"},
	"bindings": {"consumerID", "direction", "route", "rawPayload"},
	"state": {"keyPrefix", "actorStateStore", "primaryEncryptionKey", "secondaryEncryptionKey",
		"outboxPublishPubsub", "outboxPublishTopic", "outboxPubsub", "outboxDiscardWhenMissingState"},
}

// untold are metadata that a component reads and does not tell of, by its type.
var untold = map[string][]string{
	"bindings.kafka": {"topics", "publishTopic"},
}

// unknownKeys are metadata that the component does not read. A key that looks like a known one is an error: Dapr would drop
// it without a word, and the component would run with the default.
func unknownKeys(c event.Component, made any) ([]string, error) {
	told, ok := made.(interface{ GetComponentMetadata() metadata.MetadataMap })
	if !ok {
		return nil, nil
	}
	fields := told.GetComponentMetadata()
	if len(fields) == 0 {
		return nil, nil
	}
	var known []string
	for name, field := range fields {
		known = append(append(known, name), field.Aliases...)
	}
	slices.Sort(known)
	known = append(append(known, builtIn[category(c.Type)]...), untold[c.Type]...)
	var ignored []string
	for key := range c.Metadata {
		if slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, key) }) {
			continue
		}
		if near := nearest(key, known); near != "" {
			return nil, &Invalid{c.Name, "UnknownMetadata", fmt.Sprintf("metadata %q is not known to %s: did you mean %q?", key, c.Type, near)}
		}
		ignored = append(ignored, key)
	}
	slices.Sort(ignored)
	return ignored, nil
}

// nearest is the name that a misspelling most likely stands for: one letter more, less, other, or two that changed places; twice
// that in long words, never in words of three letters.
func nearest(word string, names []string) string {
	limit := 1
	switch {
	case len(word) < 4:
		return ""
	case len(word) >= 12:
		limit = 2
	}
	best, least := "", limit+1
	for _, n := range names {
		if d := distance(strings.ToLower(word), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is how many letters must be put in, taken out, changed or swapped with their neighbour (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := last[j-1]
			if a[i-1] != b[j-1] {
				cost++
			}
			row[j] = min(cost, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

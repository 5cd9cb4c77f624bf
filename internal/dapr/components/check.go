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
	if len(known) == 0 {
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
	known = append(known, builtIn[category(c.Type)]...)
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

// nearest is the name that a misspelling most likely stands for: one that differs by at most two letters, fewer in short words.
func nearest(word string, names []string) string {
	limit := min(2, len(word)/4)
	best := ""
	for _, n := range names {
		if d := distance(strings.ToLower(word), strings.ToLower(n), limit); d <= limit {
			best, limit = n, d-1
		}
		if limit < 1 {
			break
		}
	}
	return best
}

// distance is how many letters must be put in, taken out or changed (Levenshtein); any number over limit when it is more.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

package components

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/event"
)

// defaults are the metadata of a component with what makes it lose nothing where its author said nothing:
// a message whose handler failed comes again, and a reader that was away goes on where it was.
func defaults(c event.Component, consumer string) map[string]string {
	m := maps.Clone(c.Metadata)
	if m == nil {
		m = map[string]string{}
	}
	set := func(key, value string) {
		if _, ok := lookup(m, key); !ok && value != "" {
			m[key] = value
		}
	}
	switch Canonical(c.Type) {
	case "pubsub.rabbitmq":
		set("requeueInFailure", "true")
	case "bindings.kafka":
		set("consumeRetryEnabled", "true")
		set("consumerGroup", consumer)
	case "bindings.nats-jetstream", "pubsub.jetstream":
		if _, ok := lookup(m, "queueGroupName"); !ok {
			set("durableName", durable(consumer))
		}
	}
	if category(c.Type) == "pubsub" || Canonical(c.Type) == "bindings.mqtt3" {
		set("consumerID", consumer)
	}
	return m
}

func lookup(m map[string]string, key string) (string, bool) {
	for k, v := range m {
		if strings.EqualFold(k, key) {
			return v, true
		}
	}
	return "", false
}

// durable is a name that NATS takes for a consumer.
func durable(consumer string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(".*>/\\ \t", r) {
			return '-'
		}
		return r
	}, consumer)
}

// local are the types that work with files, and the metadata that names them.
var local = map[string]string{
	"bindings.localstorage":   "rootPath",
	"secretstores.local.file": "secretsFile",
	"state.sqlite":            "connectionString",
}

// abroad refuses metadata by which a component would reach files of the machine in a way that rebase does not move.
func abroad(c *event.Component) error {
	refuse := func(key, why string) error {
		return &Invalid{c.Name, "BadMetadata", fmt.Sprintf("metadata %s: %s", key, why)}
	}
	for k, v := range c.Metadata {
		switch typ := Canonical(c.Type); {
		case typ == "bindings.aws.s3" && strings.EqualFold(k, "filePath") && v != "":
			return refuse(k, "it is not offered: a component has no files in common with the platform")
		case strings.HasSuffix(typ, ".mysql") && strings.Contains(strings.ToLower(v), "allowallfiles"):
			return refuse(k, "allowAllFiles is not offered: the server could ask for any file of the machine")
		case typ == "state.sqlite" && strings.EqualFold(k, local[typ]) && strings.Contains(strings.SplitN(v, "?", 2)[0], "%"):
			return refuse(k, "a path may have no %") // SQLite would decode it
		}
	}
	return nil
}

// inMemory is whether a connection string of SQLite is of a database without a file.
func inMemory(dsn string) bool {
	path, _, _ := strings.Cut(strings.ToLower(dsn), "?")
	return path == ":memory:" || path == "file::memory:"
}

// ownMemory is a database without a file of one component: those without a name are one for the whole process.
func ownMemory(n event.Name) string {
	sum := sha256.Sum256([]byte(n.String()))
	return "file::memory:" + hex.EncodeToString(sum[:]) + "?mode=memory" // Dapr knows those that begin so
}

// rebase moves the path that a component names below its namespace's directory.
func (f *Factory) rebase(c *event.Component) error {
	if err := abroad(c); err != nil {
		return err
	}
	key, ok := local[Canonical(c.Type)]
	if !ok {
		return nil
	}
	for k, path := range c.Metadata {
		if !strings.EqualFold(k, key) || path == "" {
			continue
		}
		if Canonical(c.Type) == "state.sqlite" && inMemory(path) {
			c.Metadata[k] = ownMemory(c.Name)
			continue
		}
		if f.Files == "" {
			return &Invalid{c.Name, "NotOffered", fmt.Sprintf("type %s needs files of the machine, which this platform does not give to components", c.Type)}
		}
		scheme := ""
		if rest, ok := strings.CutPrefix(path, "file:"); ok {
			scheme, path = "file:", "/"+strings.TrimLeft(rest, "/")
		}
		path, query, found := strings.Cut(path, "?")
		path = filepath.Join(f.Files, c.Namespace, filepath.Join("/", path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("component %s: making the directory of metadata %s: %w", c.Name, k, err)
		}
		if found {
			path += "?" + query
		}
		c.Metadata[k] = scheme + path
	}
	return nil
}

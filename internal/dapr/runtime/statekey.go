package runtime

import (
	"fmt"
	"strings"

	"github.com/openfunction/ofn/internal/event"
)

// separator of Dapr's state keys.
const separator = "||"

// StateKey is the key that a state store has for the key of an app: Dapr's rules of metadata keyPrefix (appid, name, namespace,
// none, or a text).
func StateKey(store event.Component, app, key string) (string, error) {
	if strings.Contains(key, separator) {
		return "", fmt.Errorf("input key/keyPrefix '%s' can't contain '%s'", key, separator)
	}
	prefix := statePrefix(store, app)
	if prefix == "" {
		return key, nil
	}
	return prefix + separator + key, nil
}

// OriginalKey is what the app calls a key of the store.
func OriginalKey(key string) string {
	if _, own, ok := strings.Cut(key, separator); ok {
		return own
	}
	return key
}

func statePrefix(store event.Component, app string) string {
	prefix := ""
	for k, v := range store.Metadata {
		if strings.EqualFold(k, "keyPrefix") {
			prefix = v
		}
	}
	switch strings.ToLower(prefix) {
	case "", "appid":
		return app
	case "none":
		return ""
	case "name":
		return store.Name.Name
	case "namespace":
		return store.Namespace + "." + app
	}
	return prefix
}

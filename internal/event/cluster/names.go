package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/openfunction/ofn/internal/event"
)

// LabelEvents is on everything of this engine, pods included; its value tells what it belongs to.
const LabelEvents = "openfunction.io/events"

// labelComponent says for people what a pod is.
const labelComponent = "app.kubernetes.io/component"

// identity is the value of LabelEvents.
func identity(ref event.Ref) string {
	sum := sha256.Sum256([]byte(string(ref.Kind) + "\x00" + ref.Namespace + "\x00" + ref.Name.Name + "\x00" + ref.Event))
	return hex.EncodeToString(sum[:8])
}

// longest is how long a name may be that pods and their hosts are called by.
const longest = 50

// objectName is what the objects of something are called: NAME-EVENT-source, NAME-trigger, NAME-bus. Where that would be
// ambiguous, too long or no name of a Service, a hash is added.
func objectName(ref event.Ref) string {
	words := ref.Name.Name
	if ref.Event != "" {
		words += "-" + ref.Event
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, words)
	plain := clean == words && len(clean) <= longest && !strings.Contains(ref.Event, "-")
	clean = strings.TrimRight(clean[:min(len(clean), longest-9)], "-")
	if plain {
		clean = words
	}
	if clean == "" || clean[0] < 'a' || clean[0] > 'z' {
		clean = "e-" + strings.TrimLeft(clean, "-")
	}
	name := clean + "-" + strings.ToLower(string(ref.Kind))
	if !plain {
		name += "-" + identity(ref)[:8]
	}
	return name
}

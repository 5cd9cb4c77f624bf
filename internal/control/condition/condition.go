// Package condition sets metav1 conditions.
package condition

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// longest is the length the API allows a message, in bytes to be on the safe side of its characters.
const longest = 32768

// word is what the API takes as a reason.
var word = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// Get finds a condition by type; nil when it is not there.
func Get(list []metav1.Condition, kind string) *metav1.Condition {
	return meta.FindStatusCondition(list, kind)
}

// Set writes a condition; its transition time moves only with its status. Set it once per reconcile: writing one value and
// then another would move the time each time, and the status would never come to rest.
//
// Reasons and messages come from engines. What the API would refuse, and with it the whole status, is made acceptable: a
// reason that is none becomes one for the status, a message too long loses its middle.
func Set(list *[]metav1.Condition, generation int64, kind string, status metav1.ConditionStatus, reason, message string) {
	if len(reason) > 1024 || !word.MatchString(reason) {
		reason = unnamed(status)
	}
	meta.SetStatusCondition(list, metav1.Condition{Type: kind, Status: status, ObservedGeneration: generation, Reason: reason, Message: Shorten(message, longest)})
}

func unnamed(status metav1.ConditionStatus) string {
	switch status {
	case metav1.ConditionTrue:
		return "Ready"
	case metav1.ConditionFalse:
		return "NotReady"
	default:
		return "Progressing"
	}
}

// Shorten leaves out the middle of a text of more than limit bytes: what was wrong stands at its beginning, the last lines
// of a log at its end.
func Shorten(text string, limit int) string {
	const cut = " … "
	if len(text) <= limit {
		return text
	}
	half := (limit - len(cut)) / 2
	head, tail := text[:half], text[len(text)-half:]
	for !utf8.ValidString(head) && len(head) > half-utf8.UTFMax {
		head = head[:len(head)-1]
	}
	for len(tail) > 0 && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	return strings.ToValidUTF8(head, "") + cut + strings.ToValidUTF8(tail, "")
}

// Remove takes a condition away.
func Remove(list *[]metav1.Condition, kind string) { meta.RemoveStatusCondition(list, kind) }

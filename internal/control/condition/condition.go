// Package condition sets metav1 conditions.
package condition

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Get finds a condition by type; nil when it is not there.
func Get(list []metav1.Condition, kind string) *metav1.Condition {
	return meta.FindStatusCondition(list, kind)
}

// Set writes a condition; its transition time moves only with its status. An empty reason becomes the status.
func Set(list *[]metav1.Condition, generation int64, kind string, status metav1.ConditionStatus, reason, message string) {
	if reason == "" {
		reason = map[metav1.ConditionStatus]string{metav1.ConditionTrue: "Ready", metav1.ConditionFalse: "NotReady"}[status]
	}
	if reason == "" {
		reason = "Progressing"
	}
	meta.SetStatusCondition(list, metav1.Condition{Type: kind, Status: status, ObservedGeneration: generation, Reason: reason, Message: message})
}

// Remove takes a condition away.
func Remove(list *[]metav1.Condition, kind string) { meta.RemoveStatusCondition(list, kind) }

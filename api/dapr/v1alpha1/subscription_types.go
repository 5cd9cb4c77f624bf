package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BulkSubscribe hands several messages over at once.
type BulkSubscribe struct {
	// Enabled switches it on.
	Enabled bool `json:"enabled"`
	// MaxMessagesCount of one call.
	// +optional
	MaxMessagesCount int32 `json:"maxMessagesCount,omitempty"`
	// MaxAwaitDurationMs is how long a call waits for more, in milliseconds.
	// +optional
	MaxAwaitDurationMs int32 `json:"maxAwaitDurationMs,omitempty"`
}

// SubscriptionSpec sends the messages of a topic to one path.
type SubscriptionSpec struct {
	// Pubsubname is the component.
	Pubsubname string `json:"pubsubname"`
	// Topic of the component.
	Topic string `json:"topic"`
	// Metadata of the subscription.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
	// Route is the path that is called.
	Route string `json:"route"`
	// BulkSubscribe hands several messages over at once.
	// +optional
	BulkSubscribe BulkSubscribe `json:"bulkSubscribe,omitzero"`
	// DeadLetterTopic gets what cannot be handled.
	// +optional
	DeadLetterTopic string `json:"deadLetterTopic,omitempty"`
}

// Subscription sends the messages of a topic to functions. Version v2alpha1 is stored.
//
// +kubebuilder:object:root=true
type Subscription struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec SubscriptionSpec `json:"spec,omitempty"`
	// Scopes are the applications that are called; all of the namespace by default.
	// +optional
	Scopes []string `json:"scopes,omitempty"`
}

// SubscriptionList is a list of Subscriptions.
//
// +kubebuilder:object:root=true
type SubscriptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Subscription `json:"items"`
}

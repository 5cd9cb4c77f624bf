package v2alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/dapr/v1alpha1"
)

// Routes choose the path that is called.
type Routes struct {
	// Rules in order; the first that matches holds.
	// +optional
	Rules []Rule `json:"rules,omitempty"`
	// Default path of what no rule matches.
	// +optional
	Default string `json:"default,omitempty"`
}

// Rule sends matching messages to a path.
type Rule struct {
	// Match is CEL over the event, such as event.type == "order"; empty matches everything.
	Match string `json:"match"`
	// Path that is called.
	Path string `json:"path"`
}

// SubscriptionSpec sends the messages of a topic to paths.
type SubscriptionSpec struct {
	// Pubsubname is the component.
	Pubsubname string `json:"pubsubname"`
	// Topic of the component.
	Topic string `json:"topic"`
	// Metadata of the subscription.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
	// Routes choose the path.
	Routes Routes `json:"routes"`
	// DeadLetterTopic gets what cannot be handled.
	// +optional
	DeadLetterTopic string `json:"deadLetterTopic,omitempty"`
	// BulkSubscribe hands several messages over at once.
	// +optional
	BulkSubscribe v1alpha1.BulkSubscribe `json:"bulkSubscribe,omitzero"`
}

// Subscription sends the messages of a topic to functions.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Pubsub",type=string,JSONPath=`.spec.pubsubname`
// +kubebuilder:printcolumn:name="Topic",type=string,JSONPath=`.spec.topic`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Subscription struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

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

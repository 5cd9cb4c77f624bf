package v2alpha1

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/openfunction/ofn/api/dapr/v1alpha1"
)

// AnnotationRoutes keeps, on a Subscription that is shown in v1alpha1, the routes that version cannot say.
const AnnotationRoutes = "dapr.io/v2alpha1-routes"

// From reads a Subscription of v1alpha1.
func (s *Subscription) From(old *v1alpha1.Subscription) error {
	s.SetGroupVersionKind(GroupVersion.WithKind("Subscription"))
	s.ObjectMeta = *old.ObjectMeta.DeepCopy()
	s.Scopes = old.Scopes
	o := old.Spec
	s.Spec = SubscriptionSpec{Pubsubname: o.Pubsubname, Topic: o.Topic, Metadata: o.Metadata, Routes: Routes{Default: o.Route},
		DeadLetterTopic: o.DeadLetterTopic, BulkSubscribe: o.BulkSubscribe}
	text, ok := s.Annotations[AnnotationRoutes]
	if !ok {
		return nil
	}
	if delete(s.Annotations, AnnotationRoutes); len(s.Annotations) == 0 {
		s.Annotations = nil
	}
	var rules []Rule
	if json.Unmarshal([]byte(text), &rules) == nil { // somebody else's writing is dropped
		s.Spec.Routes.Rules = rules
	}
	return nil
}

// To shows the Subscription in v1alpha1.
func (s *Subscription) To(old *v1alpha1.Subscription) error {
	old.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Subscription"))
	old.ObjectMeta = *s.ObjectMeta.DeepCopy()
	old.Scopes = s.Scopes
	n := s.Spec
	old.Spec = v1alpha1.SubscriptionSpec{Pubsubname: n.Pubsubname, Topic: n.Topic, Metadata: n.Metadata, Route: n.Routes.Default,
		DeadLetterTopic: n.DeadLetterTopic, BulkSubscribe: n.BulkSubscribe}
	if len(n.Routes.Rules) == 0 {
		return nil
	}
	text, err := json.Marshal(n.Routes.Rules)
	if err != nil {
		return fmt.Errorf("remembering routes: %w", err)
	}
	if old.Annotations = maps.Clone(old.Annotations); old.Annotations == nil {
		old.Annotations = map[string]string{}
	}
	old.Annotations[AnnotationRoutes] = string(text)
	return nil
}

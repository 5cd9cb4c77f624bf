package v2alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate says why a Subscription cannot be accepted. Its rules are compiled by whoever delivers.
func (s *Subscription) Validate() (warnings []string, errs field.ErrorList) {
	spec := field.NewPath("spec")
	if s.Spec.Pubsubname == "" {
		errs = append(errs, field.Required(spec.Child("pubsubname"), "name the publish/subscribe component"))
	}
	if s.Spec.Topic == "" {
		errs = append(errs, field.Required(spec.Child("topic"), "name the topic"))
	}
	routes := spec.Child("routes")
	if len(s.Spec.Routes.Rules) == 0 && s.Spec.Routes.Default == "" {
		errs = append(errs, field.Required(routes, "give a default path, or rules"))
	}
	for i, r := range s.Spec.Routes.Rules {
		if r.Path == "" {
			errs = append(errs, field.Required(routes.Child("rules").Index(i).Child("path"), "say which path is called"))
		}
	}
	if b := s.Spec.BulkSubscribe; b.MaxMessagesCount < 0 || b.MaxAwaitDurationMs < 0 {
		errs = append(errs, field.Invalid(spec.Child("bulkSubscribe"), field.OmitValueType{}, "its numbers must not be negative"))
	}
	if d := s.Spec.Routes.Default; d != "" && !strings.HasPrefix(d, "/") {
		warnings = append(warnings, "spec.routes.default: is called as \"/"+d+"\"")
	}
	return warnings, errs
}

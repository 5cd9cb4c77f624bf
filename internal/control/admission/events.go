package admission

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	daprv2 "github.com/openfunction/ofn/api/dapr/v2alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	kedav1 "github.com/openfunction/ofn/api/keda/v1alpha1"
)

// Paths of the webhooks of events and of Dapr's and KEDA's kinds. They only validate: nothing is filled in.
const (
	PathValidateEventSource     = "/validate-events-openfunction-io-v1alpha1-eventsource"
	PathValidateEventBus        = "/validate-events-openfunction-io-v1alpha1-eventbus"
	PathValidateClusterEventBus = "/validate-events-openfunction-io-v1alpha1-clustereventbus"
	PathValidateTrigger         = "/validate-events-openfunction-io-v1alpha1-trigger"
	PathValidateComponent       = "/validate-dapr-io-v1alpha1-component"
	PathValidateSubscription    = "/validate-dapr-io-v2alpha1-subscription"
	PathValidateConfiguration   = "/validate-dapr-io-v1alpha1-configuration"
	PathValidateResiliency      = "/validate-dapr-io-v1alpha1-resiliency"
	PathValidateTriggerAuth     = "/validate-keda-sh-v1alpha1-triggerauthentication"
)

// registration is one validating webhook.
type registration struct {
	name, path               string
	group, version, resource string
	scope                    admissionregv1.ScopeType
}

func hooks() []registration {
	own, dapr, keda := events.GroupVersion, daprv1.GroupVersion, kedav1.GroupVersion
	return []registration{
		{"veventsources.of.io", PathValidateEventSource, own.Group, own.Version, "eventsources", admissionregv1.NamespacedScope},
		{"veventbuses.of.io", PathValidateEventBus, own.Group, own.Version, "eventbuses", admissionregv1.NamespacedScope},
		{"vclustereventbuses.of.io", PathValidateClusterEventBus, own.Group, own.Version, "clustereventbuses", admissionregv1.ClusterScope},
		{"vtriggers.of.io", PathValidateTrigger, own.Group, own.Version, "triggers", admissionregv1.NamespacedScope},
		{"vcomponents.of.io", PathValidateComponent, dapr.Group, dapr.Version, "components", admissionregv1.NamespacedScope},
		{"vsubscriptions.of.io", PathValidateSubscription, dapr.Group, daprv2.GroupVersion.Version, "subscriptions", admissionregv1.NamespacedScope},
		{"vconfigurations.of.io", PathValidateConfiguration, dapr.Group, dapr.Version, "configurations", admissionregv1.NamespacedScope},
		{"vresiliencies.of.io", PathValidateResiliency, dapr.Group, dapr.Version, "resiliencies", admissionregv1.NamespacedScope},
		{"vtriggerauthentications.of.io", PathValidateTriggerAuth, keda.Group, keda.Version, "triggerauthentications", admissionregv1.NamespacedScope},
	}
}

// events are the handlers of these paths.
func (o Options) events() map[string]http.Handler {
	return map[string]http.Handler{
		PathValidateEventSource:     hook(validate(o.eventSource)),
		PathValidateEventBus:        hook(validate(o.eventBus)),
		PathValidateClusterEventBus: hook(validate(o.clusterEventBus)),
		PathValidateTrigger:         hook(validate(o.trigger)),
		PathValidateComponent:       hook(validate(o.component)),
		PathValidateSubscription: hook(validate(func(_ context.Context, s, _ *daprv2.Subscription) ([]string, field.ErrorList) {
			return s.Validate()
		})),
		PathValidateTriggerAuth: hook(validate(func(_ context.Context, a, _ *kedav1.TriggerAuthentication) ([]string, field.ErrorList) {
			return a.Validate()
		})),
		PathValidateConfiguration: hook(validate(func(_ context.Context, c, _ *daprv1.Configuration) ([]string, field.ErrorList) {
			return []string{onlyASidecar("Configuration", c.Name)}, nil
		})),
		PathValidateResiliency: hook(validate(func(_ context.Context, r, _ *daprv1.Resiliency) ([]string, field.ErrorList) {
			return []string{onlyASidecar("Resiliency", r.Name) + "; retries of events are said by the retry of an EventSource or a subscriber"}, nil
		})),
	}
}

func onlyASidecar(kind, name string) string {
	return fmt.Sprintf("%s %q is kept, and read by a real daprd only, beside functions with openfunction.io/dapr-service-mode: sidecar", kind, name)
}

func (o Options) eventSource(ctx context.Context, s, _ *events.EventSource) ([]string, field.ErrorList) {
	warnings, errs := s.Validate()
	spec := field.NewPath("spec")
	for source := range s.Spec.Sources() {
		p := spec.Child(source.Kind).Key(source.Event)
		switch x := source.Spec.(type) {
		case *events.CronSpec:
			errs = append(errs, schedule(p, x)...)
		case *events.DaprSpec:
			warnings = append(warnings, o.described(ctx, p, s.Namespace, x.Component, x.Type, x.Version, x.Metadata)...)
		}
	}
	return warnings, errs
}

func (o Options) eventBus(ctx context.Context, b, _ *events.EventBus) ([]string, field.ErrorList) {
	warnings, errs := b.Validate()
	return append(warnings, o.bus(ctx, b.Namespace, &b.Spec)...), errs
}

func (o Options) clusterEventBus(ctx context.Context, b, _ *events.ClusterEventBus) ([]string, field.ErrorList) {
	warnings, errs := b.Validate()
	return append(warnings, o.bus(ctx, events.SystemNamespace, &b.Spec)...), errs
}

func (o Options) bus(ctx context.Context, namespace string, s *events.EventBusSpec) []string {
	if d := s.Dapr; d != nil {
		return o.described(ctx, field.NewPath("spec", "dapr"), namespace, d.Component, d.Type, d.Version, d.Metadata)
	}
	return nil
}

// described warns of a component that is named but not there, or described and not known.
func (o Options) described(ctx context.Context, p *field.Path, namespace, name, kind, version string, metadata []events.ComponentMetadata) []string {
	if name != "" {
		return o.undefined(ctx, p.Child("component"), namespace, name)
	}
	values := map[string]string{}
	for _, m := range metadata {
		values[m.Name] = m.Value.String()
	}
	return o.known(p, kind, version, values)
}

func (o Options) component(_ context.Context, c, _ *daprv1.Component) ([]string, field.ErrorList) {
	warnings, errs := c.Validate()
	values := map[string]string{}
	for _, m := range c.Spec.Metadata {
		values[m.Name] = m.Value.String()
	}
	return append(warnings, o.known(field.NewPath("spec"), c.Spec.Type, c.Spec.Version, values)...), errs
}

// function adds to the rules of a Function what is known of the components it uses, and of what its pods name.
func (o Options) function(ctx context.Context, f, old *v1beta2.Function) ([]string, field.ErrorList) {
	warnings, errs := f.Validate()
	more, absent := o.references(ctx, f, old)
	warnings, errs = append(warnings, more...), append(errs, absent...)
	if f.Spec.Serving == nil {
		return warnings, errs
	}
	s, serving := &f.Spec.Serving.ServingTemplate, field.NewPath("spec", "serving")
	warnings = append(warnings, o.unscaled(s)...)
	for _, group := range []struct {
		name string
		of   map[string]*v1beta2.Component
	}{{"bindings", s.Bindings}, {"pubsub", s.Pubsub}, {"states", states(s)}} {
		for _, name := range slices.Sorted(maps.Keys(group.of)) {
			if c := group.of[name]; c != nil {
				warnings = append(warnings, o.known(serving.Child(group.name).Key(name), c.Type, c.Version, settings(c))...)
			}
		}
	}
	for _, name := range s.ForeignComponents() {
		warnings = append(warnings, o.undefined(ctx, serving, f.Namespace, name)...)
	}
	if o.InProcess && s.Annotations[v1beta2.AnnotationDaprServiceMode] == v1beta2.DaprServiceModeSidecar && sleeps(s) {
		warnings = append(warnings, serving.Child("annotations").Key(v1beta2.AnnotationDaprServiceMode).String()+
			": the daprd of a copy reads its inputs, so that no event starts the first copy: set scaleOptions.minReplicas to 1 or more, or scaleOptions.keda.triggers")
	}
	return warnings, errs
}

// sleeps is whether a function with inputs can be without copies and has no trigger that would start one.
func sleeps(s *v1beta2.ServingTemplate) bool {
	if t := s.Triggers; t == nil || len(t.Dapr) == 0 {
		return false
	}
	o := s.ScaleOptions
	return o == nil || (o.MinReplicas == nil || *o.MinReplicas == 0) && (o.Keda == nil || len(o.Keda.Triggers) == 0)
}

func states(s *v1beta2.ServingTemplate) map[string]*v1beta2.Component {
	out := map[string]*v1beta2.Component{}
	for name, st := range s.States {
		if st != nil {
			out[name] = st.Spec
		}
	}
	return out
}

func settings(c *v1beta2.Component) map[string]string {
	out := map[string]string{}
	for _, m := range c.Metadata {
		out[m.Name] = m.Value.String()
	}
	return out
}

// undefined warns of a component that a namespace does not have, or may not have.
func (o Options) undefined(ctx context.Context, p *field.Path, namespace, name string) []string {
	defined, known := false, false
	if o.Defined != nil {
		defined, known = o.Defined(ctx, namespace, name)
	}
	switch {
	case defined:
		return nil
	case known:
		return []string{fmt.Sprintf("%s: component %q is nowhere defined: nothing works with it until namespace %q has a Component of that name", p, name, namespace)}
	default:
		return []string{fmt.Sprintf("%s: component %q must exist in namespace %q", p, name, namespace)}
	}
}

// known warns of types and metadata that no component has.
func (o Options) known(p *field.Path, kind, version string, metadata map[string]string) []string {
	if o.Components == nil || !strings.Contains(kind, ".") {
		return nil
	}
	var out []string
	for _, w := range o.Components.Check(kind, version, metadata) {
		out = append(out, p.String()+": "+w)
	}
	return out
}

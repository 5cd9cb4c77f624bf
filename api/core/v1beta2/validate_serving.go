package v1beta2

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
)

func (r *report) serving(p *field.Path, s *ServingTemplate) {
	r.scaleOptions(p.Child("scaleOptions"), s.ScaleOptions)
	r.template(p.Child("template"), s)
	if s.Triggers != nil {
		r.triggers(p.Child("triggers"), s)
	}
	for i, o := range s.Outputs {
		if o != nil && o.Dapr != nil {
			r.component(p.Child("outputs").Index(i).Child("dapr"), &o.Dapr.DaprComponentRef, s)
		}
	}
	for _, group := range []struct {
		name string
		of   map[string]*Component
	}{{"bindings", s.Bindings}, {"pubsub", s.Pubsub}} {
		for _, name := range slices.Sorted(maps.Keys(group.of)) {
			r.metadata(p.Child(group.name).Key(name), group.of[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.States)) {
		if s.States[name] != nil {
			r.metadata(p.Child("states").Key(name).Child("spec"), s.States[name].Spec)
		}
	}
	r.notNegative(p.Child("timeout"), s.Timeout)
	r.extras(p, s)
}

// extras warns of values outside the lists that OpenFunction never checked.
func (r *report) extras(p *field.Path, s *ServingTemplate) {
	switch s.WorkloadType {
	case "", WorkloadTypeDeployment:
	case WorkloadTypeStatefulSet, WorkloadTypeJob:
		if s.Triggers != nil && s.Triggers.HTTP != nil {
			r.warn(p.Child("workloadType"), "%q has no effect on a function with an http trigger", s.WorkloadType)
		}
	default:
		r.warn(p.Child("workloadType"), "%q is not known and treated as %s", s.WorkloadType, WorkloadTypeDeployment)
	}
	if s.Hooks != nil && s.Hooks.Policy != "" && s.Hooks.Policy != HookPolicyAppend && s.Hooks.Policy != HookPolicyOverride {
		r.warn(p.Child("hooks", "policy"), "%q is not known and treated as %s", s.Hooks.Policy, HookPolicyAppend)
	}
	if t := s.Tracing; t != nil && t.Provider != nil && t.Provider.Name != "skywalking" && t.Provider.Name != "opentelemetry" {
		r.warn(p.Child("tracing", "provider", "name"), "%q is neither skywalking nor opentelemetry, so nothing is traced", t.Provider.Name)
	}
}

func (r *report) template(p *field.Path, s *ServingTemplate) {
	if s.Template == nil {
		return
	}
	unknown, err := s.Template.Decode(&corev1.PodSpec{})
	if err != nil {
		r.invalid(p, field.OmitValueType{}, "is not a PodSpec: "+err.Error())
	}
	for _, u := range unknown {
		r.warn(p, "%v; it is ignored", u)
	}
}

func (r *report) triggers(p *field.Path, s *ServingTemplate) {
	if http := s.Triggers.HTTP; http != nil {
		p := p.Child("http")
		if http.Engine != nil {
			r.oneOf(p.Child("engine"), *http.Engine, EngineKnative, EngineKeda, EnginePods)
		}
		if port := http.Port; port != nil && (*port < 1 || *port > 65535) {
			r.invalid(p.Child("port"), *port, "must be between 1 and 65535")
		}
		r.route(p.Child("route"), http.Route)
		if len(s.Triggers.Dapr) > 0 {
			r.warn(p, "a function made with an older framework serves only its dapr triggers when both kinds are given")
		}
	}
	for i, d := range s.Triggers.Dapr {
		if d != nil {
			r.component(p.Child("dapr").Index(i), &d.DaprComponentRef, s)
			r.delivery(p.Child("dapr").Index(i), d, s)
		}
	}
	for i, in := range s.Triggers.Inputs {
		if in != nil && in.Dapr != nil {
			r.component(p.Child("inputs").Index(i).Child("dapr"), in.Dapr, s)
		}
	}
}

// component checks a reference to a Dapr component.
func (r *report) component(p *field.Path, c *DaprComponentRef, s *ServingTemplate) {
	if c.Name == "" {
		r.required(p.Child("name"), "name the Dapr component")
		return
	}
	kind := s.ComponentType(c)
	if strings.HasPrefix(kind, "pubsub.") && c.Topic == "" {
		r.warn(p.Child("topic"), "is missing: component %q is a publish/subscribe component", c.Name)
	}
}

// delivery checks what becomes of events that the function does not handle.
func (r *report) delivery(p *field.Path, d *DaprTrigger, s *ServingTemplate) {
	warnings, errs := events.ValidateDelivery(p, d.Retry, d.DeadLetterSink)
	r.warnings, r.errs = append(r.warnings, warnings...), append(r.errs, errs...)
	if kind := s.ComponentType(&d.DaprComponentRef); d.DeadLetterTopic != "" && strings.HasPrefix(kind, "bindings.") {
		r.invalid(p.Child("deadLetterTopic"), d.DeadLetterTopic, fmt.Sprintf("is for publish/subscribe components, and %q is a binding: give deadLetterSink", d.Name))
	}
	if d.DeadLetterTopic != "" && d.DeadLetterTopic == d.Topic {
		r.invalid(p.Child("deadLetterTopic"), d.DeadLetterTopic, "must not be the topic itself: its events would come again for ever")
	}
}

// ComponentType is the type of the component a reference means: the one it gives, or the one of this function's
// component of that name. Empty when it is a component of the namespace and no type is given.
func (t *ServingTemplate) ComponentType(ref *DaprComponentRef) string {
	if ref.Type != "" {
		return ref.Type
	}
	for _, group := range []map[string]*Component{t.Bindings, t.Pubsub} {
		if c := group[ref.Name]; c != nil {
			return c.Type
		}
	}
	return ""
}

// ForeignComponents are the names of the components that the function uses and does not define, in order.
func (t *ServingTemplate) ForeignComponents() []string {
	var names []string
	use := func(name string) {
		if name != "" && t.Bindings[name] == nil && t.Pubsub[name] == nil && (t.States[name] == nil || t.States[name].Spec == nil) {
			names = append(names, name)
		}
	}
	if t.Triggers != nil {
		for _, d := range t.Triggers.Dapr {
			if d != nil {
				use(d.Name)
			}
		}
		for _, in := range t.Triggers.Inputs {
			if in != nil && in.Dapr != nil {
				use(in.Dapr.Name)
			}
		}
	}
	for _, o := range t.Outputs {
		if o != nil && o.Dapr != nil {
			use(o.Dapr.Name)
		}
	}
	for name := range t.States {
		use(name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (r *report) metadata(p *field.Path, c *Component) {
	if c == nil {
		return
	}
	seen := map[string]bool{}
	for i := range c.Metadata {
		name := c.Metadata[i].Name
		if seen[name] {
			r.warn(p.Child("metadata").Index(i).Child("name"), "%q is given more than once; the last one holds", name)
		}
		seen[name] = true
	}
}

func (r *report) traffic(p *field.Path, s *FunctionServing) {
	r.least(p.Child("revisionHistoryLimit"), s.RevisionHistoryLimit, 0)
	if len(s.Traffic) == 0 {
		return
	}
	tags, sum := map[string]bool{}, int64(0)
	for i := range s.Traffic {
		t, p := &s.Traffic[i], p.Child("traffic").Index(i)
		latest := t.LatestRevision != nil && *t.LatestRevision
		switch {
		case latest && t.RevisionName != "":
			r.invalid(p.Child("latestRevision"), true, "cannot be given together with revisionName")
		case !latest && t.RevisionName == "":
			r.required(p.Child("revisionName"), "name a revision, or set latestRevision")
		}
		if t.Percent != nil {
			if *t.Percent < 0 || *t.Percent > 100 {
				r.invalid(p.Child("percent"), *t.Percent, "must be between 0 and 100")
			}
			sum += *t.Percent
		}
		r.tag(p.Child("tag"), t.Tag, tags)
	}
	if sum != 100 {
		r.invalid(p.Child("traffic"), sum, "the percents must add up to 100")
	}
}

func (r *report) tag(p *field.Path, tag string, seen map[string]bool) {
	if tag == "" {
		return
	}
	for _, problem := range validation.IsDNS1035Label(tag) {
		r.invalid(p, tag, problem)
	}
	if seen[tag] {
		r.errs = append(r.errs, field.Duplicate(p, tag))
	}
	seen[tag] = true
}

// sameJSON says that two values are written the same way.
func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

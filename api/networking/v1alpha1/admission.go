package v1alpha1

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/openfunction/ofn/api/opaque"
)

// Default fills in what the user left out and puts the listeners in order: one for requests from inside, which is added
// when it is missing, and all others for the Gateway's domain. It is idempotent.
func (g *Gateway) Default() error {
	s := &g.Spec
	fill(&s.ClusterDomain, DefaultClusterDomain)
	fill(&s.HostTemplate, DefaultHostTemplate)
	fill(&s.PathTemplate, DefaultPathTemplate)
	fill(&s.HTTPRouteLabelKey, DefaultHTTPRouteLabelKey)
	if s.GatewayDef != nil {
		fill(&s.GatewayDef.Name, g.Name)
	}
	if err := s.listeners(); err != nil {
		return err
	}
	if _, ok := g.Annotations[AnnotationLastApplied]; ok {
		return nil
	}
	spec, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("writing annotation %s: %w", AnnotationLastApplied, err)
	}
	if g.Annotations == nil {
		g.Annotations = map[string]string{}
	}
	g.Annotations[AnnotationLastApplied] = string(spec)
	return nil
}

// listeners sets the host names, and makes sure that there is an internal listener.
func (s *GatewaySpec) listeners() error {
	everybody, err := opaque.Of(map[string]any{"namespaces": map[string]any{"from": "All"}})
	if err != nil {
		return fmt.Errorf("making the internal listener: %w", err)
	}
	internal := Listener{
		Name: InternalListener, Hostname: new("*." + s.ClusterDomain), Port: InternalListenerPort, Protocol: "HTTP", AllowedRoutes: &everybody,
	}
	found := false
	for i := range s.GatewaySpec.Listeners {
		l := &s.GatewaySpec.Listeners[i]
		if l.Name != InternalListener {
			l.Hostname = new("*." + s.Domain)
			continue
		}
		internal.TLS = l.TLS
		*l, found = internal, true
	}
	if !found {
		s.GatewaySpec.Listeners = append(s.GatewaySpec.Listeners, internal)
	}
	return nil
}

// Validate says why a Gateway, after Default, cannot be accepted.
func (g *Gateway) Validate() (warnings []string, errs field.ErrorList) {
	spec := field.NewPath("spec")
	if g.Spec.Domain == "" {
		errs = append(errs, field.Required(spec.Child("domain"), "give the domain under which functions are reached"))
	}
	host, err := g.Host("name", "namespace")
	if err != nil {
		errs = append(errs, field.Invalid(spec.Child("hostTemplate"), g.Spec.HostTemplate, err.Error()))
	} else if problems := validation.IsDNS1123Subdomain(host); len(problems) > 0 && g.Spec.Domain != "" {
		warnings = append(warnings, fmt.Sprintf("spec.hostTemplate: makes %q, which is no host name: %s", host, problems[0]))
	}
	if _, err := g.Path("name", "namespace"); err != nil {
		errs = append(errs, field.Invalid(spec.Child("pathTemplate"), g.Spec.PathTemplate, err.Error()))
	}
	switch ref, def := g.Spec.GatewayRef, g.Spec.GatewayDef; {
	case ref == nil && def == nil:
		errs = append(errs, field.Required(spec, "give one of gatewayRef and gatewayDef"))
	case ref != nil && def != nil:
		errs = append(errs, field.Forbidden(spec.Child("gatewayDef"), "cannot be given together with gatewayRef"))
	}
	if len(g.Spec.GatewaySpec.Listeners) <= 1 {
		errs = append(errs, field.Required(spec.Child("gatewaySpec", "listeners"),
			fmt.Sprintf("give at least one listener besides %s", InternalListener)))
	}
	return warnings, errs
}

// fill sets a string that is empty.
func fill(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

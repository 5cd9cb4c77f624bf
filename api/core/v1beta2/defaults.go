package v1beta2

import (
	"fmt"
	"strings"
)

// Default fills in what the user left out, and says what it dropped. It is idempotent.
func (f *Function) Default() (warnings []string) {
	if f.Spec.Version == nil || *f.Spec.Version == "" {
		f.Spec.Version = new(DefaultVersion)
	}
	if f.Spec.Serving != nil {
		warnings = f.Spec.Serving.fill()
	}
	if w := f.fillWasm(); w != "" {
		warnings = append(warnings, w)
	}
	return warnings
}

// fill puts in a trigger, its port and its route, and says which revision a traffic target means.
func (s *FunctionServing) fill() (warnings []string) {
	if s.Runtime != "" {
		warnings = append(warnings, fmt.Sprintf("spec.serving.runtime: %q is ignored: in v1beta2 the triggers say how a function is called", s.Runtime))
		s.Runtime = ""
	}
	if s.Triggers == nil {
		s.Triggers = &Triggers{}
	}
	if len(s.Triggers.Dapr) == 0 && s.Triggers.HTTP == nil {
		s.Triggers.HTTP = &HTTPTrigger{}
	}
	if http := s.Triggers.HTTP; http != nil {
		http.fill()
	}
	for i := range s.Traffic {
		if t := &s.Traffic[i]; t.LatestRevision == nil {
			t.LatestRevision = new(t.RevisionName == "")
		}
	}
	return warnings
}

// fill puts in port and gateway.
func (h *HTTPTrigger) fill() {
	if h.Port == nil || *h.Port == 0 {
		h.Port = new(DefaultPort)
	}
	if h.Route == nil {
		h.Route = &Route{}
	}
	if h.Route.GatewayRef == nil {
		h.Route.GatewayRef = &GatewayRef{Name: DefaultGatewayName, Namespace: DefaultGatewayNamespace}
	}
}

// fillWasm gives a WebAssembly function its annotation, build strategy and runtime class. An annotation the user gave
// makes any function a WebAssembly one.
func (f *Function) fillWasm() (warning string) {
	variant, ok := f.Annotations[AnnotationWasmVariant]
	if !ok {
		if !strings.EqualFold(f.Spec.WorkloadRuntime, WorkloadRuntimeWasmEdge) {
			f.fillWasmBuild()
			return ""
		}
		variant = WasmVariant
		f.Annotations = with(f.Annotations, AnnotationWasmVariant, variant)
	}
	if f.Spec.Build != nil {
		f.setWasmStrategy()
	}
	s := f.Spec.Serving
	if s == nil {
		return ""
	}
	if _, ok := s.Annotations[AnnotationWasmVariant]; !ok {
		s.Annotations = with(s.Annotations, AnnotationWasmVariant, variant)
	}
	if s.Template == nil || s.Template.Has("runtimeClassName") {
		return ""
	}
	template, err := s.Template.With("runtimeClassName", WasmRuntimeClass)
	if err != nil {
		return fmt.Sprintf("spec.serving.template.runtimeClassName: no default was set: %v", err)
	}
	s.Template = &template
	return ""
}

// fillWasmBuild gives the build strategy to a function that only names the runtime class of this platform.
func (f *Function) fillWasmBuild() {
	if f.Spec.Build == nil || f.Spec.Serving == nil {
		return
	}
	pod, err := f.Spec.Serving.PodSpec()
	if err == nil && pod.RuntimeClassName != nil && *pod.RuntimeClassName == OwnWasmRuntimeClass {
		f.setWasmStrategy()
	}
}

func (f *Function) setWasmStrategy() {
	b := f.Spec.Build
	if b.Shipwright == nil {
		b.Shipwright = &ShipwrightEngine{}
	}
	if b.Shipwright.Strategy == nil {
		b.Shipwright.Strategy = &Strategy{Name: WasmBuildStrategy, Kind: new(ClusterBuildStrategy)}
	}
}

// with is m, made when nil, with one more entry.
func with(m map[string]string, key, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

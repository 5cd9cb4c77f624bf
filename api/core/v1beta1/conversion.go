package v1beta1

import (
	"maps"
	"slices"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// ConvertTo writes the function into the hub version. What the hub cannot say is remembered in an annotation.
func (f *Function) ConvertTo(hub *v1beta2.Function) error {
	src := f.DeepCopy()
	hub.ObjectMeta, hub.Status = src.ObjectMeta, src.Status
	hub.SetGroupVersionKind(v1beta2.GroupVersion.WithKind("Function"))
	var err error
	hub.Spec, hub.Annotations, err = functions().toNew(src.Spec, src.Annotations)
	return err
}

// ConvertFrom fills the function from the hub version. What this version cannot say is remembered in an annotation.
func (f *Function) ConvertFrom(hub *v1beta2.Function) error {
	src := hub.DeepCopy()
	f.ObjectMeta, f.Status = src.ObjectMeta, src.Status
	f.SetGroupVersionKind(GroupVersion.WithKind("Function"))
	var err error
	f.Spec, f.Annotations, err = functions().toOld(src.Spec, src.Annotations)
	return err
}

// ConvertTo writes the builder into the hub version. What the hub cannot say is remembered in an annotation.
func (b *Builder) ConvertTo(hub *v1beta2.Builder) error {
	src := b.DeepCopy()
	hub.ObjectMeta, hub.Status = src.ObjectMeta, src.Status
	hub.SetGroupVersionKind(v1beta2.GroupVersion.WithKind("Builder"))
	var err error
	hub.Spec, hub.Annotations, err = builders().toNew(src.Spec, src.Annotations)
	return err
}

// ConvertFrom fills the builder from the hub version. What this version cannot say is remembered in an annotation.
func (b *Builder) ConvertFrom(hub *v1beta2.Builder) error {
	src := hub.DeepCopy()
	b.ObjectMeta, b.Status = src.ObjectMeta, src.Status
	b.SetGroupVersionKind(GroupVersion.WithKind("Builder"))
	var err error
	b.Spec, b.Annotations, err = builders().toOld(src.Spec, src.Annotations)
	return err
}

// ConvertTo writes the serving into the hub version. What the hub cannot say is remembered in an annotation.
func (s *Serving) ConvertTo(hub *v1beta2.Serving) error {
	src := s.DeepCopy()
	hub.ObjectMeta, hub.Status = src.ObjectMeta, src.Status
	hub.SetGroupVersionKind(v1beta2.GroupVersion.WithKind("Serving"))
	var err error
	hub.Spec, hub.Annotations, err = servings().toNew(src.Spec, src.Annotations)
	return err
}

// ConvertFrom fills the serving from the hub version. What this version cannot say is remembered in an annotation.
func (s *Serving) ConvertFrom(hub *v1beta2.Serving) error {
	src := hub.DeepCopy()
	s.ObjectMeta, s.Status = src.ObjectMeta, src.Status
	s.SetGroupVersionKind(GroupVersion.WithKind("Serving"))
	var err error
	s.Spec, s.Annotations, err = servings().toOld(src.Spec, src.Annotations)
	return err
}

func functions() mapping[FunctionSpec, v1beta2.FunctionSpec] {
	return mapping[FunctionSpec, v1beta2.FunctionSpec]{
		kind: "Function",
		up: func(s FunctionSpec, annotations map[string]string) v1beta2.FunctionSpec {
			out := v1beta2.FunctionSpec{
				WorkloadRuntime: s.WorkloadRuntime, Version: s.Version, Image: s.Image, ImageCredentials: s.ImageCredentials,
			}
			if s.Build != nil {
				out.Build = new(upBuild(*s.Build))
			}
			if s.Serving != nil {
				out.Serving = &v1beta2.FunctionServing{ServingTemplate: upServing(*s.Serving, s.Port, s.Route, annotations)}
			}
			return out
		},
		down: func(s v1beta2.FunctionSpec) FunctionSpec {
			out := FunctionSpec{
				WorkloadRuntime: s.WorkloadRuntime, Version: s.Version, Image: s.Image, ImageCredentials: s.ImageCredentials,
			}
			if s.Build != nil {
				out.Build = new(downBuild(*s.Build))
			}
			if s.Serving != nil {
				out.Serving = new(downServing(s.Serving.ServingTemplate))
				if t := s.Serving.Triggers; t != nil && t.HTTP != nil {
					out.Port, out.Route = t.HTTP.Port, t.HTTP.Route
				}
			}
			return out
		},
	}
}

func builders() mapping[BuilderSpec, v1beta2.BuilderSpec] {
	return mapping[BuilderSpec, v1beta2.BuilderSpec]{
		kind: "Builder",
		up: func(s BuilderSpec, _ map[string]string) v1beta2.BuilderSpec {
			return v1beta2.BuilderSpec{
				BuildTemplate: upBuild(s.BuildTemplate), Image: s.Image, ImageCredentials: s.ImageCredentials, State: s.State,
			}
		},
		down: func(s v1beta2.BuilderSpec) BuilderSpec {
			return BuilderSpec{
				BuildTemplate: downBuild(s.BuildTemplate), Image: s.Image, ImageCredentials: s.ImageCredentials, State: s.State,
			}
		},
	}
}

func servings() mapping[ServingSpec, v1beta2.ServingSpec] {
	return mapping[ServingSpec, v1beta2.ServingSpec]{
		kind: "Serving",
		up: func(s ServingSpec, annotations map[string]string) v1beta2.ServingSpec {
			return v1beta2.ServingSpec{
				ServingTemplate: upServing(s.ServingTemplate, s.Port, nil, annotations),
				Image:           s.Image, Version: s.Version, ImageCredentials: s.ImageCredentials,
			}
		},
		down: func(s v1beta2.ServingSpec) ServingSpec {
			out := ServingSpec{
				ServingTemplate: downServing(s.ServingTemplate),
				Image:           s.Image, Version: s.Version, ImageCredentials: s.ImageCredentials,
			}
			if t := s.Triggers; t != nil && t.HTTP != nil {
				out.Port = t.HTTP.Port
			}
			return out
		},
	}
}

func upBuild(b BuildTemplate) v1beta2.BuildTemplate {
	out := v1beta2.BuildTemplate{
		Builder: b.Builder, BuilderCredentials: b.BuilderCredentials, Dockerfile: b.Dockerfile, Env: b.Env, SrcRepo: b.SrcRepo,
		Timeout: b.Timeout, SuccessfulBuildsHistoryLimit: b.SuccessfulBuildsHistoryLimit,
		FailedBuildsHistoryLimit: b.FailedBuildsHistoryLimit, BuilderMaxAge: b.BuilderMaxAge,
	}
	if s := b.Shipwright; s != nil {
		out.Shipwright = &v1beta2.ShipwrightEngine{Strategy: s.Strategy, Timeout: s.Timeout}
	}
	if len(b.Params) > 0 && out.Shipwright == nil {
		out.Shipwright = &v1beta2.ShipwrightEngine{}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Params)) {
		value := b.Params[name]
		out.Shipwright.Params = append(out.Shipwright.Params,
			&v1beta2.ParamValue{Name: name, SingleValue: v1beta2.SingleValue{Value: &value}})
	}
	return out
}

func downBuild(b v1beta2.BuildTemplate) BuildTemplate {
	out := BuildTemplate{
		Builder: b.Builder, BuilderCredentials: b.BuilderCredentials, Dockerfile: b.Dockerfile, Env: b.Env, SrcRepo: b.SrcRepo,
		Timeout: b.Timeout, SuccessfulBuildsHistoryLimit: b.SuccessfulBuildsHistoryLimit,
		FailedBuildsHistoryLimit: b.FailedBuildsHistoryLimit, BuilderMaxAge: b.BuilderMaxAge,
	}
	s := b.Shipwright
	if s == nil {
		return out
	}
	for _, p := range s.Params {
		if p == nil || p.Value == nil {
			continue
		}
		if out.Params == nil {
			out.Params = map[string]string{}
		}
		out.Params[p.Name] = *p.Value
	}
	if s.Strategy != nil || s.Timeout != nil {
		out.Shipwright = &ShipwrightEngine{Strategy: s.Strategy, Timeout: s.Timeout}
	}
	return out
}

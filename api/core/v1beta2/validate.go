package v1beta2

import (
	"fmt"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// minPollInterval keeps a typing error from asking a git server thousands of times an hour.
const minPollInterval = 1e9 // a second, in nanoseconds

// report collects what is wrong and what is only suspicious.
type report struct {
	errs     field.ErrorList
	warnings []string
}

func (r *report) invalid(p *field.Path, value any, detail string) {
	r.errs = append(r.errs, field.Invalid(p, value, detail))
}

func (r *report) required(p *field.Path, detail string) {
	r.errs = append(r.errs, field.Required(p, detail))
}

func (r *report) oneOf(p *field.Path, value string, valid ...string) {
	for _, v := range valid {
		if v == value {
			return
		}
	}
	r.errs = append(r.errs, field.NotSupported(p, value, valid))
}

func (r *report) warn(p *field.Path, format string, args ...any) {
	r.warnings = append(r.warnings, p.String()+": "+fmt.Sprintf(format, args...))
}

// Validate says why a function, after Default, cannot be accepted. Warnings name what OpenFunction accepted without a
// word although it has no effect, or not the one that was meant; they never refuse a manifest.
func (f *Function) Validate() (warnings []string, errs field.ErrorList) {
	r, spec := &report{}, field.NewPath("spec")
	r.name(f.Name)
	r.pause(field.NewPath("metadata", "annotations"), f.Annotations)
	r.image(spec.Child("image"), f.Spec.Image)
	if c := f.Spec.ImageCredentials; c != nil && f.Spec.Build != nil && c.Name == "" {
		r.required(spec.Child("imageCredentials", "name"), "name the secret that pushes the image")
	}
	if f.Spec.Build == nil && f.Spec.Serving == nil {
		r.required(spec, "give at least one of build and serving")
	}
	switch rt := f.Spec.WorkloadRuntime; {
	case rt == "", strings.EqualFold(rt, WorkloadRuntimeOCIContainer), strings.EqualFold(rt, WorkloadRuntimeWasmEdge):
	default:
		r.warn(spec.Child("workloadRuntime"), "%q is not known and treated as %s", rt, WorkloadRuntimeOCIContainer)
	}
	if f.Spec.Build != nil {
		r.build(spec.Child("build"), f.Spec.Build)
	}
	if f.Spec.Serving != nil {
		p := spec.Child("serving")
		r.serving(p, &f.Spec.Serving.ServingTemplate)
		r.traffic(p, f.Spec.Serving)
	}
	return r.warnings, r.errs
}

// ValidateUpdate says why a revision cannot be changed to the one given; see Serving.
func (s *Serving) ValidateUpdate(old *Serving) (warnings []string, errs field.ErrorList) {
	if !sameJSON(s.Spec, old.Spec) {
		errs = append(errs, field.Forbidden(field.NewPath("spec"),
			"a Serving is an immutable revision; change the Function, which makes a new one"))
	}
	return nil, errs
}

// image refuses what no registry takes, such as the placeholders of examples, before a build has run for it.
func (r *report) image(p *field.Path, image string) {
	_, err := name.ParseReference(image)
	switch {
	case image == "":
		r.required(p, "name the image that is built or run")
	case strings.ContainsAny(image, "<>"):
		r.invalid(p, image, "is a placeholder: write the name of your image, such as registry.example.com/me/hello:v1")
	case err != nil:
		r.invalid(p, image, "is no name of an image, [host/]repository[:tag][@digest]: "+err.Error())
	}
}

// name refuses names that are too long for the labels and names made from them, and warns of names that cannot be a label
// of a host name.
func (r *report) name(name string) {
	if name == "" {
		return // generateName
	}
	if len(name) > MaxFunctionName {
		r.errs = append(r.errs, field.TooLong(field.NewPath("metadata", "name"), name, MaxFunctionName))
		return
	}
	for _, problem := range validation.IsDNS1035Label(name) {
		r.warn(field.NewPath("metadata", "name"), "%q cannot be the first label of a host name, so the function has no address inside the cluster: %s", name, problem)
		return
	}
}

func (r *report) build(p *field.Path, b *BuildTemplate) {
	named := b.Shipwright != nil && b.Shipwright.Strategy != nil && b.Shipwright.Strategy.Name != ""
	if empty(b.Builder) && empty(b.Dockerfile) && !named { // strategies such as ko take neither
		r.required(p, "give one of builder and dockerfile, or the name of a strategy in shipwright.strategy")
	}
	r.source(p.Child("srcRepo"), b.SrcRepo)
	r.notNegative(p.Child("timeout"), b.Timeout)
	r.notNegative(p.Child("builderMaxAge"), b.BuilderMaxAge)
	r.least(p.Child("successfulBuildsHistoryLimit"), b.SuccessfulBuildsHistoryLimit, 0)
	r.least(p.Child("failedBuildsHistoryLimit"), b.FailedBuildsHistoryLimit, 0)
	if s := b.Shipwright; s != nil {
		r.shipwright(p.Child("shipwright"), s)
	}
}

func (r *report) shipwright(p *field.Path, s *ShipwrightEngine) {
	r.notNegative(p.Child("timeout"), s.Timeout)
	if s.Timeout != nil {
		r.warn(p.Child("timeout"), "has no effect; set build.timeout")
	}
	if st := s.Strategy; st != nil && st.Kind != nil {
		r.oneOf(p.Child("strategy", "kind"), *st.Kind, NamespacedBuildStrategy, ClusterBuildStrategy)
	}
	seen := map[string]bool{}
	for i, param := range s.Params {
		if param == nil {
			continue
		}
		if seen[param.Name] {
			r.warn(p.Child("params").Index(i).Child("name"), "%q is given more than once; the last one holds", param.Name)
		}
		seen[param.Name] = true
	}
}

func (r *report) source(p *field.Path, s *SourceRepo) {
	if s == nil {
		r.required(p, "say where the source is")
		return
	}
	if s.URL == "" && s.BundleContainer == nil {
		r.required(p, "give one of url and bundleContainer")
	}
	if s.URL != "" && s.BundleContainer != nil {
		r.warn(p.Child("url"), "is ignored because bundleContainer is given")
	}
	if s.BundleContainer != nil && s.BundleContainer.Image == "" {
		r.required(p.Child("bundleContainer", "image"), "name the image that holds the source")
	}
	if sub := s.SourceSubPath; sub != nil {
		if clean := path.Clean(*sub); clean == ".." || strings.HasPrefix(clean, "../") {
			r.invalid(p.Child("sourceSubPath"), *sub, "must stay inside the source")
		}
	}
	if d := s.PollInterval; d != nil && d.Duration != 0 && d.Duration < minPollInterval {
		r.invalid(p.Child("pollInterval"), d.Duration.String(), "must be 0 (never) or at least 1s")
	}
}

func (r *report) notNegative(p *field.Path, d *metav1.Duration) {
	if d != nil && d.Duration < 0 {
		r.invalid(p, d.Duration.String(), "must not be negative")
	}
}

func (r *report) least(p *field.Path, v *int32, least int32) {
	if v != nil && *v < least {
		r.invalid(p, *v, fmt.Sprintf("must be at least %d", least))
	}
}

func empty(s *string) bool { return s == nil || *s == "" }

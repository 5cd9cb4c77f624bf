package v1alpha1

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// word is what names of events, topics and streams are made of.
var word = regexp.MustCompile(`^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$`)

const longestName = 200

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

func (r *report) forbidden(p *field.Path, detail string) {
	r.errs = append(r.errs, field.Forbidden(p, detail))
}

func (r *report) warn(p *field.Path, format string, args ...any) {
	r.warnings = append(r.warnings, p.String()+": "+fmt.Sprintf(format, args...))
}

// name checks what becomes part of a topic.
func (r *report) name(p *field.Path, name string) {
	if len(name) > longestName || !word.MatchString(name) {
		r.invalid(p, name, "must be letters, digits, \"-\", \"_\" and \".\", beginning and ending with a letter or digit")
	}
}

func (r *report) positive(p *field.Path, d *metav1.Duration) {
	if d != nil && d.Duration <= 0 {
		r.invalid(p, d.Duration.String(), "must be more than 0")
	}
}

func (r *report) sink(p *field.Path, s *SinkSpec) {
	if s == nil {
		return
	}
	uri := s.URI != nil && *s.URI != ""
	switch {
	case uri && s.Ref != nil:
		r.forbidden(p.Child("ref"), "cannot be given together with uri")
	case s.Ref != nil:
		r.ref(p.Child("ref"), s.Ref)
	case !uri:
		r.required(p, "give one of uri and ref")
	default:
		r.url(p.Child("uri"), *s.URI, "http", "https")
	}
}

// url checks an address, of which several may be given separated by commas where the schemes are those of a broker.
func (r *report) url(p *field.Path, text string, schemes ...string) {
	u, err := url.Parse(text)
	if err != nil {
		r.invalid(p, field.OmitValueType{}, "is not a URL") // url.Error repeats the text, which may hold a password
		return
	}
	for _, s := range schemes {
		if strings.EqualFold(u.Scheme, s) && u.Host != "" {
			return
		}
	}
	r.invalid(p, field.OmitValueType{}, fmt.Sprintf("must be %s://HOST", strings.Join(schemes, ":// or ")))
}

func (r *report) ref(p *field.Path, ref *Reference) {
	if ref.Name == "" {
		r.required(p.Child("name"), "name the "+ref.Kind)
	}
	if ref.Path != "" && !strings.HasPrefix(ref.Path, "/") {
		r.invalid(p.Child("path"), ref.Path, "must begin with /")
	}
	if ref.Target() == TargetUnknown {
		r.invalid(p, ref.APIVersion+" "+ref.Kind, "must be a Function of core.openfunction.io/v1beta1 or v1beta2, a Service of serving.knative.dev/v1, or a Service of v1")
	}
	if ref.Port != 0 && ref.Target() != TargetService {
		r.warn(p.Child("port"), "has a meaning for a Service of v1 only")
	}
}

// Target is what a Reference names.
type Target int

// The targets.
const (
	TargetUnknown Target = iota
	TargetFunction
	TargetKnativeService
	TargetService
)

// Target says what the reference names. With the kind Function the version may be left out.
func (r *Reference) Target() Target {
	switch r.APIVersion + " " + r.Kind {
	case "core.openfunction.io/v1beta1 Function", "core.openfunction.io/v1beta2 Function", " Function":
		return TargetFunction
	case "serving.knative.dev/v1 Service":
		return TargetKnativeService
	case "v1 Service":
		return TargetService
	default:
		return TargetUnknown
	}
}

// ValidateDelivery says what is wrong with how events are tried and where dead letters go. Both may be nil; p is the object that has them as
// retry and deadLetterSink.
func ValidateDelivery(p *field.Path, retry *RetryPolicy, deadLetterSink *SinkSpec) (warnings []string, errs field.ErrorList) {
	r := &report{}
	r.retry(p.Child("retry"), retry)
	r.sink(p.Child("deadLetterSink"), deadLetterSink)
	return r.warnings, r.errs
}

func (r *report) retry(p *field.Path, policy *RetryPolicy) {
	if policy == nil {
		return
	}
	r.positive(p.Child("initialInterval"), policy.InitialInterval)
	r.positive(p.Child("maxInterval"), policy.MaxInterval)
	r.positive(p.Child("maxAge"), policy.MaxAge)
	if a, b := policy.InitialInterval, policy.MaxInterval; a != nil && b != nil && a.Duration > b.Duration {
		r.invalid(p.Child("initialInterval"), a.Duration.String(), "must not be more than maxInterval")
	}
}

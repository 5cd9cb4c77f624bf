package admission_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/openfunction/ofn/config/crd"
	"github.com/openfunction/ofn/internal/control/admission"
)

// server treats objects as the API server does: schema, conversion, admission in the order of a write.
type server struct {
	t        *testing.T
	url      string
	versions map[string]*apiextensionsv1.CustomResourceValidation // by apiVersion and kind
	storage  map[string]string                                    // apiVersion by kind
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, versions: map[string]*apiextensionsv1.CustomResourceValidation{}, storage: map[string]string{}}
	s.serve(t, admission.Options{})
	crds, err := crd.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range crds {
		for _, v := range c.Spec.Versions {
			apiVersion := c.Spec.Group + "/" + v.Name
			s.versions[apiVersion+" "+c.Spec.Names.Kind] = v.Schema
			if v.Storage {
				s.storage[c.Spec.Names.Kind] = apiVersion
			}
		}
	}
	return s
}

// serve asks webhooks of other options from now on.
func (s *server) serve(t *testing.T, o admission.Options) {
	t.Helper()
	listening := httptest.NewServer(admission.Handler("/below", o))
	t.Cleanup(listening.Close)
	s.url = listening.URL + "/below"
}

// outcome is what became of a write.
type outcome struct {
	Warnings []string       `json:"warnings,omitempty"`
	Refused  []string       `json:"refused,omitempty"`
	Stored   map[string]any `json:"stored,omitempty"`
}

// create writes an object, and checks that reading it in the version it was written in shows what was accepted.
func (s *server) create(object map[string]any) (out outcome) {
	s.t.Helper()
	asked, kind := object["apiVersion"].(string), object["kind"].(string)
	for _, path := range s.prune(object) {
		out.Warnings = append(out.Warnings, "unknown field "+path)
	}
	stored := s.convert(object, s.storage[kind])
	mutated := &admissionv1.AdmissionResponse{}
	if s.mutates(stored) {
		mutated = s.review("mutate", stored, nil)
	}
	out.Warnings = append(out.Warnings, mutated.Warnings...)
	object = s.convert(s.patch(stored, mutated.Patch), asked)
	if out.Refused = s.check(object); out.Refused != nil {
		return out
	}
	stored = s.convert(object, s.storage[kind])
	validated := s.review("validate", stored, nil)
	out.Warnings = append(out.Warnings, validated.Warnings...)
	if !validated.Allowed {
		for _, cause := range validated.Result.Details.Causes {
			out.Refused = append(out.Refused, cause.Field+": "+cause.Message)
		}
		return out
	}
	if unknown := s.prune(stored); unknown != nil {
		s.t.Errorf("conversion made fields that %s does not have: %v", s.storage[kind], unknown)
	}
	if problems := s.check(stored); problems != nil {
		s.t.Errorf("conversion made what %s does not allow: %v", s.storage[kind], problems)
	}
	if a, b := s.text(s.convert(stored, asked)), s.text(object); a != b {
		s.t.Errorf("is shown as\n%s, was accepted as\n%s", a, b)
	}
	out.Stored = stored
	if !s.mutates(stored) {
		return out
	}
	again := s.review("mutate", stored, nil)
	if patched := s.patch(stored, again.Patch); s.text(patched) != s.text(stored) {
		s.t.Errorf("a second write changes it: %s", again.Patch)
	}
	return out
}

// prune applies the defaults of the schema and takes out what it does not know.
func (s *server) prune(object map[string]any) []string {
	s.t.Helper()
	structural, err := schema.NewStructural(s.schema(object))
	if err != nil {
		s.t.Fatal(err)
	}
	unknown := pruning.PruneWithOptions(object, structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	defaulting.PruneNonNullableNullsWithoutDefaults(object, structural)
	defaulting.Default(object, structural)
	return unknown
}

func (s *server) check(object map[string]any) []string {
	s.t.Helper()
	validator, _, err := validation.NewSchemaValidator(s.schema(object))
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, problem := range validation.ValidateCustomResource(field.NewPath(""), object, validator) {
		out = append(out, problem.Error())
	}
	return out
}

func (s *server) schema(object map[string]any) *apiextensions.JSONSchemaProps {
	s.t.Helper()
	key := object["apiVersion"].(string) + " " + object["kind"].(string)
	version, ok := s.versions[key]
	if !ok {
		s.t.Fatalf("no definition of %s", key)
	}
	out := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.OpenAPIV3Schema.DeepCopy(), out, nil); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *server) convert(object map[string]any, version string) map[string]any {
	s.t.Helper()
	review := apiextensionsv1.ConversionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "ConversionReview"},
		Request:  &apiextensionsv1.ConversionRequest{UID: "1", DesiredAPIVersion: version, Objects: []runtime.RawExtension{{Raw: []byte(s.text(object))}}},
	}
	s.post(admission.PathConvert, &review)
	if review.Response.Result.Status != metav1.StatusSuccess || len(review.Response.ConvertedObjects) != 1 {
		s.t.Fatalf("conversion to %s: %+v", version, review.Response)
	}
	return s.object(review.Response.ConvertedObjects[0].Raw)
}

// review asks the webhook of a verb about an object in the version that is stored.
func (s *server) review(verb string, object, old map[string]any) *admissionv1.AdmissionResponse {
	s.t.Helper()
	group, version, _ := strings.Cut(object["apiVersion"].(string), "/")
	kind := object["kind"].(string)
	request := &admissionv1.AdmissionRequest{
		UID: "1", Operation: admissionv1.Create, Kind: metav1.GroupVersionKind{Group: group, Version: version, Kind: kind},
		Object: runtime.RawExtension{Raw: []byte(s.text(object))},
	}
	if old != nil {
		request.Operation, request.OldObject.Raw = admissionv1.Update, []byte(s.text(old))
	}
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request,
	}
	s.post(path(verb, group, version, kind), &review)
	return review.Response
}

func path(verb, group, version, kind string) string {
	return "/" + verb + "-" + strings.ReplaceAll(group, ".", "-") + "-" + version + "-" + strings.ToLower(kind)
}

// mutates says whether anything is filled in into objects of this kind.
func (s *server) mutates(object map[string]any) bool {
	group, version, _ := strings.Cut(object["apiVersion"].(string), "/")
	_, ok := admission.Handlers(admission.Options{})[path("mutate", group, version, object["kind"].(string))]
	return ok
}

func (s *server) post(path string, review any) {
	s.t.Helper()
	s.postText(path, s.text(review), review)
}

func (s *server) postText(path, request string, review any) {
	s.t.Helper()
	res, err := http.Post(s.url+path, "application/json", strings.NewReader(request))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %s %v", path, res.Status, body, err)
	}
	if err := json.Unmarshal(body, review); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) patch(object map[string]any, patch []byte) map[string]any {
	s.t.Helper()
	if len(patch) == 0 {
		return object
	}
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := p.Apply([]byte(s.text(object)))
	if err != nil {
		s.t.Fatalf("applying %s: %v", patch, err)
	}
	return s.object(out)
}

func (s *server) text(v any) string {
	s.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

// object reads JSON as the API server holds it: whole numbers are int64.
func (s *server) object(data []byte) map[string]any {
	s.t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		s.t.Fatal(err)
	}
	return whole(out).(map[string]any)
}

func whole(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			v[key] = whole(child)
		}
	case []any:
		for i, child := range v {
			v[i] = whole(child)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

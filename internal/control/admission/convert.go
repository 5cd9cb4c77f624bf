package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"github.com/openfunction/ofn/api/core/v1beta1"
	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	daprv2 "github.com/openfunction/ofn/api/dapr/v2alpha1"
)

// maxConversion bounds one request: the API server sends every object of a list at once.
const maxConversion = 256 << 20

// convert answers a ConversionReview.
func convert(w http.ResponseWriter, r *http.Request) {
	review := apiextensionsv1.ConversionReview{}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxConversion)).Decode(&review); err != nil {
		code := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			code = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "reading ConversionReview: "+err.Error(), code)
		return
	}
	if review.Request == nil {
		http.Error(w, "reading ConversionReview: it has no request", http.StatusBadRequest)
		return
	}
	review.Response = convertAll(review.Request)
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	// An error here means that the API server has gone away; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(review)
}

func convertAll(req *apiextensionsv1.ConversionRequest) *apiextensionsv1.ConversionResponse {
	res := &apiextensionsv1.ConversionResponse{UID: req.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
	for i, object := range req.Objects {
		out, err := convertOne(object.Raw, req.DesiredAPIVersion)
		if err != nil {
			res.ConvertedObjects = nil
			res.Result = metav1.Status{Status: metav1.StatusFailure, Message: fmt.Sprintf("converting objects[%d]: %v", i, err)}
			return res
		}
		res.ConvertedObjects = append(res.ConvertedObjects, runtime.RawExtension{Raw: out})
	}
	return res
}

// convertOne converts an object to a version; one that has it already is returned as it is.
func convertOne(raw []byte, version string) ([]byte, error) {
	var head metav1.TypeMeta
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, err
	}
	if head.APIVersion == version {
		return raw, nil
	}
	from, to := head.GroupVersionKind(), schema.FromAPIVersionAndKind(version, head.Kind)
	step, ok := conversions()[direction{head.Kind, from.GroupVersion(), to.GroupVersion()}]
	if !ok {
		return nil, fmt.Errorf("%s cannot be converted from %q to %q", head.Kind, head.APIVersion, version)
	}
	out, err := step(raw)
	if err != nil {
		return nil, fmt.Errorf("%s from %q to %q: %w", head.Kind, head.APIVersion, version, err)
	}
	return out, nil
}

// direction is a kind and the versions it is converted between.
type direction struct {
	kind     string
	from, to schema.GroupVersion
}

func conversions() map[direction]func([]byte) ([]byte, error) {
	older, hub := v1beta1.GroupVersion, v1beta2.GroupVersion
	subscription, newer := daprv1.GroupVersion, daprv2.GroupVersion
	return map[direction]func([]byte) ([]byte, error){
		{"Function", older, hub}: through((*v1beta1.Function).ConvertTo),
		{"Function", hub, older}: back((*v1beta1.Function).ConvertFrom),
		{"Builder", older, hub}:  through((*v1beta1.Builder).ConvertTo),
		{"Builder", hub, older}:  back((*v1beta1.Builder).ConvertFrom),
		{"Serving", older, hub}:  through((*v1beta1.Serving).ConvertTo),
		{"Serving", hub, older}:  back((*v1beta1.Serving).ConvertFrom),

		{"Subscription", subscription, newer}: back((*daprv2.Subscription).From),
		{"Subscription", newer, subscription}: through((*daprv2.Subscription).To),
	}
}

// through reads the older object, and writes what convert makes of it.
func through[Old, New any](convert func(*Old, *New) error) func([]byte) ([]byte, error) {
	return func(raw []byte) ([]byte, error) {
		from, to := new(Old), new(New)
		if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, from); err != nil {
			return nil, err
		}
		if err := convert(from, to); err != nil {
			return nil, err
		}
		return json.Marshal(to)
	}
}

// back is through with the roles of the arguments exchanged.
func back[Old, New any](convert func(*Old, *New) error) func([]byte) ([]byte, error) {
	return through(func(from *New, to *Old) error { return convert(to, from) })
}

// Package admission stands between the API server and the rules of the API types: it fills in defaults, refuses what
// cannot work, warns of what will not do what was meant, and converts between versions. The rules themselves are in api/.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	kjson "sigs.k8s.io/json"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
)

// Paths of the webhooks.
const (
	PathMutateFunction  = "/mutate-core-openfunction-io-v1beta2-function"
	PathMutateServing   = "/mutate-core-openfunction-io-v1beta2-serving"
	PathMutateGateway   = "/mutate-networking-openfunction-io-v1alpha1-gateway"
	PathValidateFunc    = "/validate-core-openfunction-io-v1beta2-function"
	PathValidateServing = "/validate-core-openfunction-io-v1beta2-serving"
	PathValidateGateway = "/validate-networking-openfunction-io-v1alpha1-gateway"
	PathConvert         = "/convert"
)

// Options say what admission can ask beyond the object it is shown.
type Options struct {
	// Components knows the types of Dapr's components. Nil: they are not looked at.
	Components Components
	// Defined says whether a namespace has a Component of a name, and whether that could be found out. Nil: it never can.
	Defined func(ctx context.Context, namespace, name string) (defined, known bool)
	// InProcess is whether events start copies of functions by themselves, but of those with a daprd of their own.
	InProcess bool
	// Cluster reads runtime classes, priority classes, service accounts and the names of pull secrets of a cluster with pods. Nil: they
	// are not looked for.
	Cluster client.Reader
}

// Components knows the types of Dapr's components.
type Components interface {
	// Check says what a person should know of a component of this type and version with these metadata: nothing, that there is
	// no such type, that metadata are not known. It connects to nothing. The values may be absent.
	Check(kind, version string, metadata map[string]string) (warnings []string)
}

// Handlers are all webhooks by path, ready for the Register method of controller-runtime's webhook server, or for any
// other HTTPS server.
func Handlers(o Options) map[string]http.Handler {
	handlers := map[string]http.Handler{
		PathMutateFunction: hook(mutate(func(f *v1beta2.Function) ([]string, error) { return f.Default(), nil })),
		PathMutateServing:  hook(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") }),
		PathMutateGateway:  hook(mutate(func(g *networking.Gateway) ([]string, error) { return nil, g.Default() })),
		PathValidateFunc:   hook(validate(o.function)),
		PathValidateServing: hook(validate(func(_ context.Context, s, old *v1beta2.Serving) ([]string, field.ErrorList) {
			if old == nil {
				return nil, nil
			}
			return s.ValidateUpdate(old)
		})),
		PathValidateGateway: hook(validate(func(_ context.Context, g, _ *networking.Gateway) ([]string, field.ErrorList) {
			return g.Validate()
		})),
		PathConvert: http.HandlerFunc(convert),
	}
	maps.Copy(handlers, o.events())
	return handlers
}

// Handler serves all webhooks below a prefix ("/ofn/admission", or empty) of a server that has other paths too.
func Handler(prefix string, o Options) http.Handler {
	mux := http.NewServeMux()
	for path, handler := range Handlers(o) {
		mux.Handle(prefix+path, handler)
	}
	return mux
}

func hook(f admission.HandlerFunc) http.Handler { return &admission.Webhook{Handler: f} }

// mutate answers with the patch that apply makes of an object. Fields that the type does not have stay as they are, and an
// object that the type cannot hold goes on to the check against the schema, which names the field and what it should be.
func mutate[T any](apply func(*T) ([]string, error)) admission.HandlerFunc {
	return func(_ context.Context, req admission.Request) admission.Response {
		object := new(T)
		before, err := read(req.Object.Raw, object)
		switch {
		case err != nil && json.Valid(req.Object.Raw):
			return admission.Allowed("")
		case err != nil:
			return admission.Errored(http.StatusBadRequest, err)
		}
		warnings, err := apply(object)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, err)
		}
		after, err := json.Marshal(object)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, err)
		}
		return admission.PatchResponseFromRaw(before, after).WithWarnings(warnings...)
	}
}

// validate answers with the problems that check finds. On creation there is no old object. An object that is going away
// is not looked at, so that nothing can keep its finalizers from being removed.
func validate[T any, P interface {
	*T
	metav1.Object
}](check func(ctx context.Context, object, old P) ([]string, field.ErrorList)) admission.HandlerFunc {
	return func(ctx context.Context, req admission.Request) admission.Response {
		object := P(new(T))
		if _, err := read(req.Object.Raw, object); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		if object.GetDeletionTimestamp() != nil {
			return admission.Allowed("")
		}
		var old P
		if req.Operation == admissionv1.Update {
			old = P(new(T))
			if _, err := read(req.OldObject.Raw, old); err != nil {
				return admission.Errored(http.StatusBadRequest, err)
			}
		}
		warnings, errs := check(ctx, object, old)
		if len(errs) == 0 {
			return admission.Allowed("").WithWarnings(warnings...)
		}
		kind := schema.GroupKind{Group: req.Kind.Group, Kind: req.Kind.Kind}
		return refused(apierrors.NewInvalid(kind, req.Name, errs)).WithWarnings(warnings...)
	}
}

// refused carries a status with its details to the client.
func refused(err *apierrors.StatusError) admission.Response {
	status := err.Status()
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Result: &status}}
}

// read decodes an object by the rules of the API server, and returns how its type writes it.
func read(raw []byte, into any) ([]byte, error) {
	if len(raw) == 0 {
		return nil, errors.New("the request has no object")
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, into); err != nil {
		return nil, err
	}
	return json.Marshal(into)
}

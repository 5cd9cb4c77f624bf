package kubeapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	apiextensionslisters "k8s.io/apiextensions-apiserver/pkg/client/listers/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/warning"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// applyPruner makes server-side apply treat fields of custom resources that their schema does not have as every other verb
// does: by the request's fieldValidation they are dropped with a warning, dropped silently, or an error. By itself
// server-side apply refuses them whatever the request says.
type applyPruner struct {
	next        http.Handler
	definitions apiextensionslisters.CustomResourceDefinitionLister
	serializer  runtime.NegotiatedSerializer
	limit       int64 // bytes of a body that the server reads
}

// pruneApplied puts the pruner where requests are authorized and their warnings are recorded.
func (s *apiServer) pruneApplied() {
	build := s.config.BuildHandlerChainFunc
	definitions := s.crds.Informers.Apiextensions().V1().CustomResourceDefinitions().Lister()
	s.config.BuildHandlerChainFunc = func(next http.Handler, c *genericapiserver.Config) http.Handler {
		return build(&applyPruner{next: next, definitions: definitions, serializer: c.Serializer, limit: c.MaxRequestBodyBytes}, c)
	}
}

// ServeHTTP implements http.Handler.
func (p *applyPruner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info, ok := request.RequestInfoFrom(r.Context())
	if !ok || !applies(r, info) {
		p.next.ServeHTTP(w, r)
		return
	}
	definition, err := p.definitions.Get(info.Resource + "." + info.APIGroup)
	if err != nil { // a built-in kind, or none
		p.next.ServeHTTP(w, r)
		return
	}
	if err := p.prune(r, definition, info.APIVersion); err != nil {
		gv := runtimeschema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}
		responsewriters.ErrorNegotiated(err, p.serializer, gv, w, r)
		return
	}
	p.next.ServeHTTP(w, r)
}

// applies tells server-side apply of a whole object from everything else.
func applies(r *http.Request, info *request.RequestInfo) bool {
	if !info.IsResourceRequest || info.Verb != "patch" || info.Subresource != "" && info.Subresource != "status" {
		return false
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == string(types.ApplyYAMLPatchType)
}

// prune replaces the body by one with known fields alone. What it cannot read it leaves to the server, which says why.
func (p *applyPruner) prune(r *http.Request, definition *apiextensionsv1.CustomResourceDefinition, version string) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, p.limit+1))
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("reading the request: %v", err))
	}
	r.Body = replayed{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	structural, err := structuralSchema(definition, version)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if structural == nil || int64(len(body)) > p.limit {
		return nil
	}
	pruned, problems := pruneObject(body, structural)
	if len(problems) == 0 {
		return nil
	}
	if err := report(r, problems); err != nil {
		return err
	}
	r.Body, r.ContentLength = replayed{bytes.NewReader(pruned), r.Body}, int64(len(pruned))
	return nil
}

// replayed is a body of which some has been read before.
type replayed struct {
	io.Reader
	io.Closer
}

// structuralSchema is nil for a version that keeps unknown fields or is not served.
func structuralSchema(definition *apiextensionsv1.CustomResourceDefinition, version string) (*schema.Structural, error) {
	if definition.Spec.PreserveUnknownFields {
		return nil, nil
	}
	for i := range definition.Spec.Versions {
		v := &definition.Spec.Versions[i]
		if v.Name != version || !v.Served || v.Schema == nil {
			continue
		}
		internal := &apiextensions.JSONSchemaProps{}
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, internal, nil); err != nil {
			return nil, fmt.Errorf("reading the schema of %s: %w", definition.Name, err)
		}
		structural, err := schema.NewStructural(internal)
		if err != nil {
			return nil, fmt.Errorf("reading the schema of %s: %w", definition.Name, err)
		}
		return structural, nil
	}
	return nil, nil
}

// pruneObject gives the object without the fields that the schema does not have, as JSON, and what to tell of them, in the
// words that the API server has for it. Without problems the object is as it was.
func pruneObject(text []byte, structural *schema.Structural) (pruned []byte, problems []string) {
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, nil
	}
	var object map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &object); err != nil || object == nil {
		return nil, nil
	}
	unknown := pruneMetadata(object)
	unknown = append(unknown, pruning.PruneWithOptions(object, structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
	if len(unknown) == 0 {
		return nil, nil
	}
	for _, path := range unknown {
		problems = append(problems, fmt.Sprintf("unknown field %q", path))
	}
	if _, err := yaml.YAMLToJSONStrict(text); err != nil {
		problems = append(problems, err.Error()) // a field that is there twice, which the server cannot see any more
	}
	if pruned, err = json.Marshal(object); err != nil {
		return nil, nil
	}
	return pruned, problems
}

// pruneMetadata drops what object metadata does not have; metadata that cannot be read is left for the server to refuse.
func pruneMetadata(object map[string]any) (unknown []string) {
	metadata, found, unknown, err := objectmeta.GetObjectMetaWithOptions(object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil || !found || len(unknown) == 0 {
		return nil
	}
	if err := objectmeta.SetObjectMeta(object, metadata); err != nil {
		return nil
	}
	unstructured.RemoveNestedField(object, "metadata", "creationTimestamp") // null, because nobody gave it
	return unknown
}

// report does with problems what the request wants.
func report(r *http.Request, problems []string) error {
	switch directive := r.URL.Query().Get("fieldValidation"); directive {
	case metav1.FieldValidationIgnore:
	case metav1.FieldValidationStrict:
		return apierrors.NewBadRequest("strict decoding error: " + strings.Join(problems, ", "))
	default: // the server refuses a directive that does not exist
		for _, problem := range problems {
			warning.AddWarning(r.Context(), "", problem)
		}
	}
	return nil
}

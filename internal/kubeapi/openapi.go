package kubeapi

import (
	"slices"
	"strings"

	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	openapiv3controller "k8s.io/apiextensions-apiserver/pkg/controller/openapiv3"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"
)

// describe sets where the schemas of the built-in kinds come from: server-side apply, kubectl explain and validation need them. Only
// version 3 of OpenAPI is served; version 2 would take a second set of the same schemas, and kubectl has not needed it since 1.27.
func describe(config *genericapiserver.Config) {
	namer := openapi.NewDefinitionNamer(legacyscheme.Scheme, apiextensionsapiserver.Scheme)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(servedDefinitions, namer)
	config.OpenAPIV3Config.Info.Title = "Kubernetes"
}

// servedDefinitions are the schemas of the kinds served here: a tenth of what Kubernetes knows, which would stay in memory.
func servedDefinitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	all := generatedopenapi.GetOpenAPIDefinitions(ref)
	kept := map[string]common.OpenAPIDefinition{}
	var keep func(name string)
	keep = func(name string) {
		definition, known := all[name]
		if _, done := kept[name]; done || !known {
			return
		}
		kept[name] = definition
		for _, dependency := range definition.Dependencies {
			keep(dependency)
		}
	}
	for name := range all {
		if servedModel(name) {
			keep(name)
		}
	}
	return kept
}

// servedModel says whether a schema is of a kind served here, rather than only used by one.
func servedModel(name string) bool {
	if core, ok := strings.CutPrefix(name, "io.k8s.api.core.v1."); ok {
		return slices.Contains([]string{"ConfigMap", "Event", "Namespace", "Secret", "ServiceAccount"}, strings.TrimSuffix(core, "List"))
	}
	return slices.ContainsFunc([]string{
		"io.k8s.apimachinery.",
		"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.",
		"io.k8s.api.admissionregistration.v1.MutatingWebhook",
		"io.k8s.api.admissionregistration.v1.ValidatingWebhook",
		"io.k8s.api.authentication.v1.",
		"io.k8s.api.authorization.v1.",
		"io.k8s.api.autoscaling.v1.Scale",
		"io.k8s.api.coordination.v1.",
		"io.k8s.api.events.v1.",
		"io.k8s.api.rbac.v1.",
	}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// describeCRDs adds the schemas of custom resources to those of the front server, as long as stop is open.
func (s *apiServer) describeCRDs() func(stop <-chan struct{}) {
	controller := openapiv3controller.NewController(s.crds.Informers.Apiextensions().V1().CustomResourceDefinitions())
	return func(stop <-chan struct{}) { controller.Run(s.front.GenericAPIServer.OpenAPIV3VersionedService, stop) }
}

package admission

import (
	"strings"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
)

// Names of the configurations in the cluster.
const (
	MutatingName   = "openfunction-mutating-webhook-configuration"
	ValidatingName = "openfunction-validating-webhook-configuration"
)

// timeoutSeconds is what the API server waits for an answer, which takes about a millisecond.
const timeoutSeconds int32 = 10

// Endpoint is where the API server reaches the webhooks: a URL, or a service of the cluster.
type Endpoint struct {
	// CABundle is the PEM of the authority that signed the server's certificate.
	CABundle []byte
	// URL is the https address without a path. It is used when Service is nil.
	URL string
	// Service is the service in front of the webhooks.
	Service *Service
}

// Service names a service of the cluster.
type Service struct {
	Namespace, Name string
	// Port of the service; 443 when zero.
	Port int32
	// Prefix comes before the paths of the webhooks, "/ofn/admission"; see Handler.
	Prefix string
}

// Configurations are what tells the API server to ask the webhooks.
func (e Endpoint) Configurations() (*admissionregv1.MutatingWebhookConfiguration, *admissionregv1.ValidatingWebhookConfiguration) {
	mutating := &admissionregv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregv1.SchemeGroupVersion.String(), Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: MutatingName},
	}
	validating := &admissionregv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: ValidatingName},
	}
	core, gateways := v1beta2.GroupVersion, networking.GroupVersion
	both := []admissionregv1.OperationType{admissionregv1.Create, admissionregv1.Update}
	update := both[1:]
	mutating.Webhooks = []admissionregv1.MutatingWebhook{
		e.mutating("mfunctions.of.io", PathMutateFunction, rule(core.Group, core.Version, "functions", both)),
		e.mutating("mgateway.of.io", PathMutateGateway, rule(gateways.Group, gateways.Version, "gateways", both)),
	}
	validating.Webhooks = []admissionregv1.ValidatingWebhook{
		e.validating("vfunctions.of.io", PathValidateFunc, rule(core.Group, core.Version, "functions", both)),
		e.validating("vservings.of.io", PathValidateServing, rule(core.Group, core.Version, "servings", update)),
		e.validating("vgateway.of.io", PathValidateGateway, rule(gateways.Group, gateways.Version, "gateways", both)),
	}
	for _, h := range hooks() {
		r := rule(h.group, h.version, h.resource, both)
		r.Scope = new(h.scope)
		validating.Webhooks = append(validating.Webhooks, e.validating(h.name, h.path, r))
	}
	return mutating, validating
}

// PatchConversion tells the API server to convert the kind with the webhook, if the kind has more than one version. The
// definition is changed in place.
func (e Endpoint) PatchConversion(crd *apiextensionsv1.CustomResourceDefinition) {
	if len(crd.Spec.Versions) < 2 {
		return
	}
	config := e.client(PathConvert)
	client := &apiextensionsv1.WebhookClientConfig{URL: config.URL, CABundle: config.CABundle}
	if s := config.Service; s != nil {
		client.Service = &apiextensionsv1.ServiceReference{Namespace: s.Namespace, Name: s.Name, Path: s.Path, Port: s.Port}
	}
	crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{
		Strategy: apiextensionsv1.WebhookConverter,
		Webhook:  &apiextensionsv1.WebhookConversion{ClientConfig: client, ConversionReviewVersions: []string{"v1"}},
	}
}

// client says how the API server reaches one path.
func (e Endpoint) client(path string) admissionregv1.WebhookClientConfig {
	if e.Service == nil {
		return admissionregv1.WebhookClientConfig{CABundle: e.CABundle, URL: new(strings.TrimSuffix(e.URL, "/") + path)}
	}
	port := e.Service.Port
	if port == 0 {
		port = 443
	}
	return admissionregv1.WebhookClientConfig{CABundle: e.CABundle, Service: &admissionregv1.ServiceReference{
		Namespace: e.Service.Namespace, Name: e.Service.Name, Path: new(e.Service.Prefix + path), Port: &port,
	}}
}

func (e Endpoint) mutating(name, path string, r admissionregv1.RuleWithOperations) admissionregv1.MutatingWebhook {
	return admissionregv1.MutatingWebhook{
		Name: name, ClientConfig: e.client(path), Rules: []admissionregv1.RuleWithOperations{r},
		FailurePolicy: new(admissionregv1.Fail), MatchPolicy: new(admissionregv1.Equivalent),
		SideEffects: new(admissionregv1.SideEffectClassNone), TimeoutSeconds: new(timeoutSeconds),
		AdmissionReviewVersions: []string{"v1"},
	}
}

func (e Endpoint) validating(name, path string, r admissionregv1.RuleWithOperations) admissionregv1.ValidatingWebhook {
	return admissionregv1.ValidatingWebhook{
		Name: name, ClientConfig: e.client(path), Rules: []admissionregv1.RuleWithOperations{r},
		FailurePolicy: new(admissionregv1.Fail), MatchPolicy: new(admissionregv1.Equivalent),
		SideEffects: new(admissionregv1.SideEffectClassNone), TimeoutSeconds: new(timeoutSeconds),
		AdmissionReviewVersions: []string{"v1"},
	}
}

func rule(group, version, resource string, operations []admissionregv1.OperationType) admissionregv1.RuleWithOperations {
	return admissionregv1.RuleWithOperations{
		Operations: operations,
		Rule: admissionregv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{version}, Resources: []string{resource},
			Scope: new(admissionregv1.NamespacedScope),
		},
	}
}

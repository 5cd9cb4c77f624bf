package kubeapi

import (
	"fmt"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	admissionmetrics "k8s.io/apiserver/pkg/admission/metrics"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	webhookinit "k8s.io/apiserver/pkg/admission/plugin/webhook/initializer"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/dynamic"
)

// admit installs the admission chain: nothing enters a namespace that is missing or going away, and the webhooks are asked.
func admit(s *apiServer) error {
	client, err := dynamic.NewForConfig(s.loopback)
	if err != nil {
		return fmt.Errorf("preparing admission: %w", err)
	}
	services, auth, err := s.webhooks()
	if err != nil {
		return err
	}
	initializers := admission.PluginInitializers{
		initializer.NewAPIServerIDInitializer(s.config.APIServerID),
		initializer.New(s.client, client, s.shared, s.config.Authorization.Authorizer, utilfeature.DefaultFeatureGate,
			s.config.EffectiveVersion, s.config.DrainedNotify(), nil),
		webhookinit.NewPluginInitializer(auth, services),
	}
	plugins := admission.NewPlugins()
	lifecycle.Register(plugins)
	mutatingwebhook.Register(plugins)
	validatingwebhook.Register(plugins)
	names := []string{lifecycle.PluginName, mutatingwebhook.PluginName, validatingwebhook.PluginName}
	none, err := admission.ReadAdmissionConfiguration(names, "", nil)
	if err != nil {
		return fmt.Errorf("preparing admission: %w", err)
	}
	control, err := plugins.NewFromPlugins(names, none, initializers, admission.Decorators{})
	if err != nil {
		return fmt.Errorf("preparing admission: %w", err)
	}
	s.config.AdmissionControl = admissionmetrics.WithStepMetrics(control)
	return nil
}

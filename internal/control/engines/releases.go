package engines

import (
	"fmt"
	"strings"
)

// Release is an engine in the version that this ofn is made for, and where its makers publish it. The table of releases is the one
// place where names, versions and addresses of engines are written down.
type Release struct {
	// Name is what `ofn install --engines` calls it, Title what people do.
	Name, Title string
	// Version is installed, as its makers write it. Oldest is the first that functions work with: a prefix of numbers such as "1.21".
	Version, Oldest string
	// Definition is the CustomResourceDefinition by which it is recognised.
	Definition string
	// Namespace is where it runs; empty for kinds alone.
	Namespace string
	// Needs are the names of engines that it does not work without.
	Needs []string
	// Manifests are URLs, to be applied in this order. An engine without any is published as a chart only.
	Manifests []string
	// Chart is the command that installs it where there are no manifests.
	Chart string
	// Settings are values of ConfigMaps in Namespace that the release does not have right by itself: name, then key.
	Settings map[string]map[string]string
	// After is what remains to be done by hand, or empty.
	After string
}

// Command is what installs the release, for people.
func (r Release) Command() string {
	if len(r.Manifests) == 0 {
		return r.Chart
	}
	return fmt.Sprintf("ofn install --engines %s, or kubectl apply --server-side -f %s", r.Name, strings.Join(r.Manifests, " -f "))
}

const (
	knativeVersion    = "1.23.0"
	kedaVersion       = "2.21.0"
	httpAddOnVersion  = "0.15.0"
	daprVersion       = "1.16.5"
	tektonVersion     = "1.15.0"
	shipwrightVersion = "0.20.13"
	gatewayVersion    = "1.6.1"
)

// Releases are all engines that `ofn install` knows, each after those that it needs.
func Releases() []Release {
	const github = "https://github.com/"
	return []Release{
		{
			Name: "gateway-api", Title: "Gateway API", Version: gatewayVersion, Oldest: "1.0", Definition: "httproutes.gateway.networking.k8s.io",
			Manifests: []string{github + "kubernetes-sigs/gateway-api/releases/download/v" + gatewayVersion + "/standard-install.yaml"},
			After:     "these are the kinds alone: a controller that implements them, and its GatewayClass, are the cluster's own choice",
		},
		{
			Name: "knative", Title: "Knative Serving", Version: knativeVersion, Oldest: "1.21", Definition: "services.serving.knative.dev", Namespace: "knative-serving",
			Manifests: []string{
				github + "knative/serving/releases/download/knative-v" + knativeVersion + "/serving-crds.yaml",
				github + "knative/serving/releases/download/knative-v" + knativeVersion + "/serving-core.yaml",
				github + "knative-extensions/net-kourier/releases/download/knative-v" + knativeVersion + "/kourier.yaml",
			},
			Settings: map[string]map[string]string{"config-network": {"ingress-class": "kourier.ingress.networking.knative.dev"}},
			After:    "point a domain at the Service kourier in kourier-system and name it in the ConfigMap config-domain of knative-serving",
		},
		{
			Name: "keda", Title: "KEDA", Version: kedaVersion, Oldest: "2.19", Definition: "scaledobjects.keda.sh", Namespace: "keda",
			Manifests: []string{github + "kedacore/keda/releases/download/v" + kedaVersion + "/keda-" + kedaVersion + ".yaml"},
		},
		{
			Name: "keda-http", Title: "KEDA's HTTP add-on", Version: httpAddOnVersion, Oldest: "0.11", Definition: "httpscaledobjects.http.keda.sh", Namespace: "keda", Needs: []string{"keda"},
			Manifests: []string{github + "kedacore/http-add-on/releases/download/v" + httpAddOnVersion + "/keda-add-ons-http-" + httpAddOnVersion + ".yaml"},
		},
		{
			Name: "dapr", Title: "Dapr", Version: daprVersion, Oldest: "1.14", Definition: "components.dapr.io", Namespace: "dapr-system",
			Chart: "helm upgrade --install dapr dapr --repo https://dapr.github.io/helm-charts --version " + daprVersion + " --namespace dapr-system --create-namespace",
		},
		{
			Name: "tekton", Title: "Tekton Pipelines", Version: tektonVersion, Oldest: "1.0", Definition: "taskruns.tekton.dev", Namespace: "tekton-pipelines",
			Manifests: []string{github + "tektoncd/pipeline/releases/download/v" + tektonVersion + "/release.yaml"},
		},
		{
			Name: "shipwright", Title: "Shipwright Build", Version: shipwrightVersion, Oldest: "0.18", Definition: "builds.shipwright.io", Namespace: "shipwright-build", Needs: []string{"tekton"},
			Manifests: []string{github + "shipwright-io/build/releases/download/v" + shipwrightVersion + "/release.yaml"},
			After:     "its conversion webhook wants a certificate: run hack/setup-webhook-cert.sh of the same release, then apply its sample-strategies.yaml or strategies of your own",
		},
	}
}

// ReleaseNamed finds a release by its name.
func ReleaseNamed(name string) (Release, bool) {
	for _, r := range Releases() {
		if r.Name == name {
			return r, true
		}
	}
	return Release{}, false
}

// command is what installs the engine of a name.
func command(name string) string {
	r, _ := ReleaseNamed(name)
	return r.Command()
}

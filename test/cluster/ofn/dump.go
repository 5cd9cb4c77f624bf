package ofncluster

import (
	"context"
	"fmt"
	"strings"
)

// kinds are what a failure is understood from; those that the cluster does not have are left out.
var kinds = []string{
	"functions.core.openfunction.io", "builders.core.openfunction.io", "servings.core.openfunction.io",
	"services.serving.knative.dev", "revisions.serving.knative.dev",
	"scaledobjects.keda.sh", "scaledjobs.keda.sh", "httpscaledobjects.http.keda.sh", "interceptorroutes.http.keda.sh",
	"components.dapr.io", "subscriptions.dapr.io",
	"buildruns.shipwright.io", "taskruns.tekton.dev", "httproutes.gateway.networking.k8s.io", "gateways.gateway.networking.k8s.io",
	"deployments.apps", "statefulsets.apps", "jobs.batch", "podtemplates", "services",
}

// Dump describes a namespace: the conditions of what is in it, its pods with the ends of their logs, its last events.
func Dump(ctx context.Context, namespace string) string {
	var b strings.Builder
	show := func(title string, args ...string) {
		out, err := kubectl(ctx, nil, append([]string{"-n", namespace}, args...)...)
		if err != nil {
			out += fmt.Sprintf("\n(%v)", err)
		}
		if out != "" {
			fmt.Fprintf(&b, "--- %s\n%s\n", title, out)
		}
	}
	fmt.Fprintf(&b, "=== namespace %s\n", namespace)
	for _, kind := range kinds {
		if _, err := resource(kind); err != nil {
			continue
		}
		show(kind, "get", kind, "-o", `jsonpath={range .items[*]}{.metadata.name}{"\n"}{range .status.conditions[*]}{"    "}{.type}={.status} {.reason}: {.message}{"\n"}{end}{end}`)
	}
	show("pods", "get", "pods", "-o", "wide")
	show("events", "get", "events", "--sort-by=.lastTimestamp", "-o",
		`jsonpath={range .items[*]}{.lastTimestamp} {.involvedObject.kind}/{.involvedObject.name} {.reason}: {.message}{"\n"}{end}`)
	pods, err := kubectl(ctx, nil, "-n", namespace, "get", "pods", "-o", "name")
	if err != nil {
		fmt.Fprintf(&b, "(%v)\n", err)
	}
	for _, pod := range strings.Fields(pods) {
		show("log of "+pod, "logs", pod, "--all-containers", "--prefix", "--tail=60")
	}
	return b.String()
}

package v1beta2_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Each case is a part of a spec and what Validate says of it: "field" is an error, "field?" a warning, none is acceptance.
func TestValidate(t *testing.T) {
	const build = `builder: b, srcRepo: {url: u}`
	for _, test := range []struct{ spec, want string }{
		{`image: i, serving: {}`, ``},
		{`image: "", serving: {}`, `spec.image`},
		{`image: i`, `spec`},
		{`image: "<your registry name>/sample-go-func:v1", serving: {}`, `spec.image`},
		{`image: "UPPER/i", serving: {}`, `spec.image`},
		{`image: "i:v1:v2", serving: {}`, `spec.image`},
		{`image: "localhost:5000/a/b:v1@sha256:0123456789012345678901234567890123456789012345678901234567890123", serving: {}`, ``},
		{`image: i, build: {` + build + `}, imageCredentials: {name: ""}`, `spec.imageCredentials.name`},
		{`image: i, serving: {}, imageCredentials: {name: ""}`, ``},
		{`image: i, serving: {}, workloadRuntime: wasmEDGE`, ``},
		{`image: i, serving: {}, workloadRuntime: JVM`, `spec.workloadRuntime?`},

		{`image: i, build: {` + build + `}`, ``},
		{`image: i, build: {dockerfile: d, srcRepo: {url: u}}`, ``},
		{`image: i, build: {srcRepo: {url: u}}`, `spec.build`},
		{`image: i, build: {builder: "", srcRepo: {url: u}}`, `spec.build`},
		{`image: i, build: {srcRepo: {url: u}, shipwright: {strategy: {name: ko}}}`, ``},
		{`image: i, build: {srcRepo: {url: u}, shipwright: {strategy: {name: ""}}}`, `spec.build`},
		{`image: i, build: {builder: b}`, `spec.build.srcRepo`},
		{`image: i, build: {builder: b, srcRepo: {}}`, `spec.build.srcRepo`},
		{`image: i, build: {builder: b, srcRepo: {bundleContainer: {image: x}}}`, ``},
		{`image: i, build: {builder: b, srcRepo: {bundleContainer: {image: ""}}}`, `spec.build.srcRepo.bundleContainer.image`},
		{`image: i, build: {builder: b, srcRepo: {url: u, bundleContainer: {image: x}}}`, `spec.build.srcRepo.url?`},
		{`image: i, build: {builder: b, srcRepo: {url: u, sourceSubPath: a/../../b}}`, `spec.build.srcRepo.sourceSubPath`},
		{`image: i, build: {builder: b, srcRepo: {url: u, sourceSubPath: a/../b}}`, ``},
		{`image: i, build: {builder: b, srcRepo: {url: u, pollInterval: 10ms}}`, `spec.build.srcRepo.pollInterval`},
		{`image: i, build: {builder: b, srcRepo: {url: u, pollInterval: -1s}}`, `spec.build.srcRepo.pollInterval`},
		{`image: i, build: {builder: b, srcRepo: {url: u, pollInterval: 0s}}`, ``},
		{`image: i, build: {` + build + `, timeout: -1s}`, `spec.build.timeout`},
		{`image: i, build: {` + build + `, timeout: 0s}`, ``},
		{`image: i, build: {` + build + `, builderMaxAge: -1s}`, `spec.build.builderMaxAge`},
		{`image: i, build: {` + build + `, successfulBuildsHistoryLimit: -1}`, `spec.build.successfulBuildsHistoryLimit`},
		{`image: i, build: {` + build + `, failedBuildsHistoryLimit: -1}`, `spec.build.failedBuildsHistoryLimit`},
		{`image: i, build: {` + build + `, successfulBuildsHistoryLimit: 0, failedBuildsHistoryLimit: 0}`, ``},
		{`image: i, build: {` + build + `, shipwright: {timeout: -1s}}`, `spec.build.shipwright.timeout spec.build.shipwright.timeout?`},
		{`image: i, build: {` + build + `, shipwright: {strategy: {name: s, kind: Other}}}`, `spec.build.shipwright.strategy.kind`},
		{`image: i, build: {` + build + `, shipwright: {strategy: {name: s, kind: BuildStrategy}}}`, ``},
		{`image: i, build: {` + build + `, shipwright: {params: [{name: a, value: x}, {name: a, value: w}]}}`, `spec.build.shipwright.params[1].name?`},

		{serving(`scaleOptions: {minReplicas: -1}`), `spec.serving.scaleOptions.minReplicas`},
		{serving(`scaleOptions: {maxReplicas: -1, minReplicas: -1}`), `spec.serving.scaleOptions.minReplicas spec.serving.scaleOptions.maxReplicas`},
		{serving(`scaleOptions: {minReplicas: 11}`), `spec.serving.scaleOptions.minReplicas`},
		{serving(`scaleOptions: {minReplicas: 10}`), ``},
		{serving(`scaleOptions: {minReplicas: 3, maxReplicas: 2}`), `spec.serving.scaleOptions.minReplicas`},
		{serving(`scaleOptions: {containerConcurrency: -1}`), `spec.serving.scaleOptions.containerConcurrency`},
		{keda(`scaledJob: {}, scaledObject: {}`), `KEDA`},
		{keda(`scaledJob: {}, httpScaledObject: {}`), `KEDA`},
		{keda(`scaledObject: {}`), ``},
		{keda(`httpScaledObject: {targetPendingRequests: -1, cooldownPeriod: -1}`), `KEDA.httpScaledObject.targetPendingRequests KEDA.httpScaledObject.cooldownPeriod`},
		{keda(`scaledObject: {pollingInterval: -1, cooldownPeriod: -1}`), `KEDA.scaledObject.pollingInterval KEDA.scaledObject.cooldownPeriod`},
		{keda(`scaledObject: {fallback: {failureThreshold: 0, replicas: -1}}`), `KEDA.scaledObject.fallback.failureThreshold KEDA.scaledObject.fallback.replicas`},
		{keda(`scaledObject: {fallback: {failureThreshold: 1, replicas: 0}}`), ``},
		{keda(`scaledObject: {fallback: {failureThreshold: 1, replicas: 0, behavior: currentReplicasIfHigher}}`), ``},
		{keda(`scaledObject: {fallback: {failureThreshold: 1, replicas: 0, behavior: Static}}`), `KEDA.scaledObject.fallback.behavior`},
		{keda(`scaledObject: {initialCooldownPeriod: -1, idleReplicaCount: -1}`), `KEDA.scaledObject.initialCooldownPeriod KEDA.scaledObject.idleReplicaCount`},
		{keda(`scaledObject: {idleReplicaCount: 0}`), `KEDA.scaledObject.idleReplicaCount`},
		{serving(`scaleOptions: {minReplicas: 2, keda: {scaledObject: {initialCooldownPeriod: 0, idleReplicaCount: 1}}}`), ``},
		{serving(`scaleOptions: {minReplicas: 2, keda: {scaledObject: {idleReplicaCount: 2}}}`), `KEDA.scaledObject.idleReplicaCount`},
		{advanced(`scaleUp: {stabilizationWindowSeconds: 3601}`), `KEDA.scaledObject.advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.stabilizationWindowSeconds`},
		{advanced(`scaleDown: {stabilizationWindowSeconds: -1}`), `KEDA.scaledObject.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds`},
		{advanced(`scaleDown: {stabilizationWindowSeconds: 3600, selectPolicy: Max, policies: [{type: Pods, value: 1, periodSeconds: 0}]}`), ``},
		{advanced(`scaleDown: {selectPolicy: Most}`), `KEDA.scaledObject.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.selectPolicy`},
		{advanced(`scaleDown: {policies: [{type: Nodes, value: 1, periodSeconds: -1}]}`), `KEDA.scaledObject.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.policies[0].type KEDA.scaledObject.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.policies[0].periodSeconds`},
		{keda(`scaledObject: {advanced: {horizontalPodAutoscalerConfig: 1}}`), `KEDA.scaledObject.advanced`},
		{keda(`scaledObject: {advanced: {unheardOf: 1}}`), `KEDA.scaledObject.advanced?`},
		{keda(`scaledJob: {restartPolicy: Sometimes}`), `KEDA.scaledJob.restartPolicy`},
		{keda(`scaledJob: {pollingInterval: -1, successfulJobsHistoryLimit: -1, failedJobsHistoryLimit: -1}`), `KEDA.scaledJob.pollingInterval KEDA.scaledJob.successfulJobsHistoryLimit KEDA.scaledJob.failedJobsHistoryLimit`},
		{keda(`scaledJob: {scalingStrategy: {strategy: eager}}`), ``},
		{keda(`scaledJob: {scalingStrategy: {strategy: lazy}}`), `KEDA.scaledJob.scalingStrategy.strategy`},
		{keda(`scaledJob: {scalingStrategy: {strategy: custom}}`), `KEDA.scaledJob.scalingStrategy.customScalingQueueLengthDeduction KEDA.scaledJob.scalingStrategy.customScalingRunningJobPercentage`},
		{keda(`scaledJob: {scalingStrategy: {strategy: custom, customScalingQueueLengthDeduction: 1, customScalingRunningJobPercentage: "0.5 %"}}`), ``},
		{keda(`scaledJob: {scalingStrategy: {strategy: custom, customScalingQueueLengthDeduction: -1, customScalingRunningJobPercentage: half}}`), `KEDA.scaledJob.scalingStrategy.customScalingQueueLengthDeduction KEDA.scaledJob.scalingStrategy.customScalingRunningJobPercentage`},

		{serving(`triggers: {http: {engine: keda}}`), ``},
		{serving(`triggers: {http: {engine: Knative}}`), `spec.serving.triggers.http.engine`},
		{serving(`triggers: {http: {port: 65536}}`), `spec.serving.triggers.http.port`},
		{serving(`triggers: {http: {route: {gatewayRef: {name: a, namespace: ""}}}}`), `spec.serving.triggers.http.route.gatewayRef`},
		{serving(`triggers: {http: {route: {hostnames: [a.b, a.b]}}}`), `spec.serving.triggers.http.route.hostnames[1]?`},
		{serving(`triggers: {http: {}, dapr: [{name: a, type: bindings.cron}]}`), `spec.serving.triggers.http?`},
		{serving(`triggers: {dapr: [{name: a}]}`), ``},
		{serving(`triggers: {dapr: [{name: ""}]}`), `spec.serving.triggers.dapr[0].name`},
		{serving(`triggers: {dapr: [{name: a}]}, pubsub: {a: {type: pubsub.kafka, version: v1, metadata: []}}`), `spec.serving.triggers.dapr[0].topic?`},
		{serving(`triggers: {dapr: [{name: a, topic: t, type: pubsub.kafka, retry: {attempts: 3, initialInterval: 1s, maxAge: 1h}, deadLetterTopic: dead, deadLetterSink: {uri: "http://x"}}]}`), ``},
		{serving(`triggers: {dapr: [{name: a, topic: t, type: pubsub.kafka, retry: {initialInterval: 2m, maxInterval: 1m}, deadLetterTopic: t}]}`), `spec.serving.triggers.dapr[0].retry.initialInterval spec.serving.triggers.dapr[0].deadLetterTopic`},
		{serving(`triggers: {dapr: [{name: a, type: bindings.kafka, deadLetterTopic: dead, deadLetterSink: {}}]}`), `spec.serving.triggers.dapr[0].deadLetterSink spec.serving.triggers.dapr[0].deadLetterTopic`},
		{serving(`triggers: {http: {}, inputs: [{dapr: {name: a}}]}, outputs: [{dapr: {name: b}}]`), ``},
		{serving(`bindings: {a: {type: bindings.http, version: v1, metadata: [{name: x, value: 1}, {name: x, value: true}]}}`), `spec.serving.bindings[a].metadata[1].name?`},
		{serving(`states: {a: {}, b: {spec: {type: state.redis, version: v1, metadata: [{name: x, secretKeyRef: {}}]}}}`), ``},
		{serving(`workloadType: Pod`), `spec.serving.workloadType?`},
		{serving(`workloadType: Job`), `spec.serving.workloadType?`},
		{serving(`hooks: {policy: Replace}`), `spec.serving.hooks.policy?`},
		{serving(`tracing: {enabled: true, provider: {name: zipkin}}`), `spec.serving.tracing.provider.name?`},
		{serving(`timeout: -1s`), `spec.serving.timeout`},
		{serving(`template: {containers: [{name: function, imagePullPolicy: IfNotPresent, resources: {limits: {cpu: 1, memory: 1Gi}}}]}`), ``},
		{serving(`template: {containers: {}}`), `spec.serving.template`},
		{serving(`template: {containers: [{name: function, resources: {limits: {memory: lots}}}]}`), `spec.serving.template`},
		{serving(`template: {container: []}`), `spec.serving.template?`},

		{serving(`traffic: [{latestRevision: true, percent: 100}]`), ``},
		{serving(`traffic: [{revisionName: a, percent: 10}, {percent: 90}, {revisionName: b, tag: old}]`), ``},
		{serving(`traffic: [{revisionName: a, percent: 10}]`), `spec.serving.traffic`},
		{serving(`traffic: [{revisionName: a, percent: 101}, {percent: -1}]`), `spec.serving.traffic[0].percent spec.serving.traffic[1].percent`},
		{serving(`traffic: [{revisionName: a, latestRevision: true, percent: 100}]`), `spec.serving.traffic[0].latestRevision`},
		{serving(`traffic: [{latestRevision: false, percent: 100}]`), `spec.serving.traffic[0].revisionName`},
		{serving(`traffic: [{percent: 100, tag: A_b}]`), `spec.serving.traffic[0].tag`},
		{serving(`traffic: [{percent: 100, tag: a}, {revisionName: r, tag: a}]`), `spec.serving.traffic[1].tag`},
		{serving(`revisionHistoryLimit: -1`), `spec.serving.revisionHistoryLimit`},

		{rule(`matches: [{path: {type: PathPrefix, value: /a}, method: GET, headers: [{name: x, value: w}]}]`), ``},
		{rule(`matches: [{path: {value: a}}]`), `RULE.matches[0].path.value`},
		{rule(`matches: [{path: {type: Glob, value: /a}}]`), `RULE.matches[0].path.type`},
		{rule(`matches: [{path: {type: RegularExpression, value: "("}}]`), `RULE.matches[0].path.value`},
		{rule(`matches: [{method: get}]`), `RULE.matches[0].method`},
		{rule(`matches: [{headers: [{name: "", value: w}], queryParams: [{name: q, type: RegularExpression, value: "["}]}]`), `RULE.matches[0].headers[0].name RULE.matches[0].queryParams[0].value`},
		{rule(`filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]`), ``},
		{rule(`filters: [{type: URLRewrite}, {type: Magic}]`), `RULE.filters[0].urlRewrite RULE.filters[1].type`},
		{rule(`filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}]`), `RULE.filters[0].urlRewrite.path.replaceFullPath`},
		{rule(`filters: [{type: RequestRedirect, requestRedirect: {scheme: ftp, statusCode: 200, port: -1}}]`), `RULE.filters[0].requestRedirect.scheme RULE.filters[0].requestRedirect.port RULE.filters[0].requestRedirect.statusCode`},
		{rule(`timeouts: {request: soon}`), `RULE`},
		{rule(`timeouts: {request: 10s, backendRequest: 500ms}`), ``},
		{rule(`backendRefs: [{name: svc, port: 80}]`), `RULE.backendRefs?`},
		{rule(`matches: 1`), `RULE`},
		{rule(`unheardOf: 1`), `RULE?`},
	} {
		t.Run(test.spec, func(t *testing.T) {
			f := read(t, "{metadata: {name: f}, spec: {"+test.spec+"}}")
			f.Default()
			warnings, errs := f.Validate()
			var got []string
			for _, err := range errs {
				got = append(got, err.Field)
			}
			for _, w := range warnings {
				field, message, _ := strings.Cut(w, ": ")
				if message == "" {
					t.Errorf("warning without a message: %q", w)
				}
				got = append(got, field+"?")
			}
			want := strings.NewReplacer("KEDA", "spec.serving.scaleOptions.keda", "RULE", "spec.serving.triggers.http.route.rules[0]").Replace(test.want)
			if a := strings.Join(got, " "); a != want {
				t.Errorf("got  %s\nwant %s\n%v\n%q", a, want, errs.ToAggregate(), warnings)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]struct{ warnings, errors int }{
		"f": {}, "": {}, "a.b": {warnings: 1}, "9a": {warnings: 1},
		strings.Repeat("a", v1beta2.MaxFunctionName):   {},
		strings.Repeat("a", v1beta2.MaxFunctionName+1): {errors: 1},
	} {
		f := read(t, `{spec: {image: i, serving: {}}}`)
		f.Name = name
		f.Default()
		warnings, errs := f.Validate()
		if len(errs) != want.errors || len(warnings) != want.warnings {
			t.Errorf("%q: errors %v, warnings %q, want %+v", name, errs, warnings, want)
		}
	}
}

// KEDA's annotations pause by being there: a typing error must not go unseen.
func TestPauses(t *testing.T) {
	for annotations, want := range map[[2]string]int{
		{"autoscaling.keda.sh/paused", "true"}: 0, {"autoscaling.keda.sh/paused", "false"}: 0, {"autoscaling.keda.sh/paused", "yes"}: 1,
		{"autoscaling.keda.sh/paused-replicas", "0"}: 0, {"autoscaling.keda.sh/paused-replicas", "-1"}: 1, {"autoscaling.keda.sh/paused-replicas", ""}: 1,
	} {
		f := read(t, `{metadata: {name: f}, spec: {image: i, serving: {}}}`)
		f.Annotations = map[string]string{annotations[0]: annotations[1]}
		f.Default()
		if _, errs := f.Validate(); len(errs) != want {
			t.Errorf("%v: %v, want %d errors", annotations, errs, want)
		}
	}
}

// Lists and maps with null in them reach admission before the schema refuses them.
func TestNullsDoNotPanic(t *testing.T) {
	f := read(t, `
metadata: {name: f}
spec:
  image: i
  build: {builder: b, srcRepo: {url: u}, shipwright: {params: [null]}}
  serving:
    triggers: {dapr: [null], inputs: [null, {}], http: {route: {rules: [null]}}}
    outputs: [null, {}]
    bindings: {a: null}
    pubsub: {a: null}
    states: {a: null, b: {}}
    tracing: {enabled: true, provider: null}`)
	f.Default()
	f.Validate()
}

func TestServingIsImmutable(t *testing.T) {
	old := &v1beta2.Serving{Spec: v1beta2.ServingSpec{Image: "i"}}
	same, other := old.DeepCopy(), old.DeepCopy()
	same.Labels = map[string]string{"a": "b"}
	other.Spec.Image = "j"
	if _, errs := same.ValidateUpdate(old); len(errs) != 0 {
		t.Errorf("a change of a label is refused: %v", errs)
	}
	if _, errs := other.ValidateUpdate(old); len(errs) != 1 {
		t.Errorf("a change of the spec: %v, want one error", errs)
	}
}

func serving(fields string) string { return "image: i, serving: {" + fields + "}" }
func keda(fields string) string    { return serving("scaleOptions: {keda: {" + fields + "}}") }
func rule(fields string) string {
	return serving("triggers: {http: {route: {rules: [{" + fields + "}]}}}")
}
func advanced(fields string) string {
	return keda(fmt.Sprintf("scaledObject: {advanced: {horizontalPodAutoscalerConfig: {behavior: {%s}}}}", fields))
}

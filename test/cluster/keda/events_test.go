package keda_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// triggered is a function that nothing calls: KEDA gives it copies. The triggers are of its Redis, which wants a password.
func triggered(name, params, serving string) string {
	return fmt.Sprintf(`
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: %s}
spec:
  image: %s
  serving:
    params: {%s}
    template: {containers: [{name: function, imagePullPolicy: IfNotPresent}], terminationGracePeriodSeconds: 1}
%s`, name, image, params, serving)
}

func TestRedis(t *testing.T) {
	w := start(t, "keda-redis")
	r := redis(t)
	w.Kubectl("create", "secret", "generic", "login", "--from-literal=password="+password)
	w.Apply(triggered("worker", "VERSION: one", fmt.Sprintf(`
    scaleOptions:
      minReplicas: 0
      maxReplicas: 3
      keda:
        scaledObject:
          pollingInterval: 1
          cooldownPeriod: %d
          advanced: {horizontalPodAutoscalerConfig: {name: worker-hpa, behavior: {scaleDown: {stabilizationWindowSeconds: 7}}}}
        triggers:
        - {type: redis, metadata: {address: "%s", listName: work, listLength: "2"}, authenticationRef: {name: login, kind: Secret}}
`, cooldown, r.address)))
	w.Ready("function/worker")
	w.Zero(pods("worker"))
	w.field("hpa/worker-hpa-00001", ".spec.behavior.scaleDown.stabilizationWindowSeconds", "7")

	r.do("RPUSH work 1 2 3 4 5 6 7 8")
	w.field("deployment/worker-00001", ".status.readyReplicas", "3")
	w.Ready("function/worker")
	r.do("DEL work")
	w.Zero(pods("worker"))

	w.Kubectl("delete", "function/worker")
	w.none("deployments", "pods", "horizontalpodautoscalers", "scaledobjects", "triggerauthentications", "servings")
}

func TestCron(t *testing.T) {
	w := start(t, "keda-cron")
	w.Apply(triggered("worker", "VERSION: one", cronOptions(true)))
	w.Ready("function/worker")
	w.field("deployment/worker-00001", ".status.readyReplicas", "2")

	w.Apply(triggered("worker", "VERSION: one", cronOptions(false)))
	w.Ready("function/worker")
	w.Zero(pods("worker"))
}

// cronOptions want two copies now, or at another time of the day.
func cronOptions(now bool) string {
	from := time.Now().UTC().Add(-time.Hour)
	if !now {
		from = from.Add(6 * time.Hour)
	}
	at := func(t time.Time) string { return fmt.Sprintf("%d %d * * *", t.Minute(), t.Hour()) }
	return fmt.Sprintf(`
    scaleOptions:
      minReplicas: 0
      keda:
        scaledObject: {pollingInterval: 1, cooldownPeriod: %d}
        triggers:
        - {type: cron, metadata: {timezone: UTC, start: "%s", end: "%s", desiredReplicas: "2"}}
`, cooldown, at(from), at(from.Add(3*time.Hour)))
}

func TestJetStream(t *testing.T) {
	w := start(t, "keda-nats")
	n := natsServer(t)
	w.Apply(triggered("worker", "VERSION: one", fmt.Sprintf(`
    scaleOptions:
      minReplicas: 0
      maxReplicas: 3
      keda:
        scaledObject: {pollingInterval: 1, cooldownPeriod: %d}
        triggers:
        - {type: nats-jetstream, metadata: {natsServerMonitoringEndpoint: "%s", account: $G, stream: work, consumer: worker, lagThreshold: "2"}}
`, cooldown, n.monitor)))
	w.Ready("function/worker")
	w.Zero(pods("worker"))
	for i := range 8 {
		n.ask("work.do", strconv.Itoa(i))
	}
	w.field("deployment/worker-00001", ".status.readyReplicas", "3")
	n.ask("$JS.API.STREAM.PURGE.work", "")
	w.Zero(pods("worker"))
}

func TestScaledJob(t *testing.T) {
	w := start(t, "keda-jobs")
	r := redis(t)
	w.Kubectl("create", "secret", "generic", "login", "--from-literal=password="+password)
	jobs := triggered("worker", fmt.Sprintf(`LIST: work, REDIS: "%s", PASSWORD: %s`, r.address, password), fmt.Sprintf(`
    workloadType: Job
    bindings: {none: {type: bindings.cron, version: v1, metadata: [{name: schedule, value: "@every 1h"}]}}
    triggers: {dapr: [{name: none, type: bindings.cron}]}
    scaleOptions:
      maxReplicas: 3
      keda:
        scaledJob: {pollingInterval: 1, successfulJobsHistoryLimit: 2, restartPolicy: Never}
        triggers:
        - {type: redis, metadata: {address: "%s", listName: work, listLength: "1"}, authenticationRef: {name: login, kind: Secret}}
`, r.address))
	// What names no trigger is called by requests, and no Job. This one names one of Dapr, and does without Dapr.
	w.Apply(strings.Replace(jobs, "{name: worker}", `{name: worker, annotations: {openfunction.io/enable-dapr: "false"}}`, 1))
	w.Ready("function/worker")
	r.do("RPUSH work 1 2 3 4")
	w.Eventually("the list is worked off", func() error {
		if left := r.do("LLEN work"); left != ":0" {
			return fmt.Errorf("its length is %s", left)
		}
		return nil
	})
	w.Ready("function/worker")
	w.Eventually("two finished Jobs are kept", func() error {
		got := w.Kubectl("get", "jobs", "-o", "jsonpath={.items[*].status.succeeded}")
		if got != "1 1" {
			return fmt.Errorf("of the Jobs have succeeded: %q", got)
		}
		return nil
	})
	w.Kubectl("delete", "function/worker")
	w.none("jobs", "pods", "scaledjobs", "triggerauthentications", "servings")
}

// A revision that follows another takes the scaler over, and one that does not start leaves it where it is.
func TestEventRevisions(t *testing.T) {
	w := start(t, "keda-event-revisions")
	w.Apply(triggered("worker", "VERSION: one", cronOptions(true)))
	w.Ready("function/worker")
	w.field("deployment/worker-00001", ".status.readyReplicas", "2")
	w.Apply(triggered("worker", "VERSION: two", cronOptions(true)))
	w.field("deployment/worker-00002", ".status.readyReplicas", "2")
	w.Ready("function/worker")
	w.Gone("deployment/worker-00001")
	w.Gone("scaledobject/worker-00001")
	broken := strings.Replace(triggered("worker", "VERSION: three", cronOptions(true)), image, "dev.local/there-is-none:1", 1)
	w.Apply(broken)
	w.field("serving/worker-00003", ".status.reason", "ImagePullFailed")
	w.field("deployment/worker-00002", ".status.readyReplicas", "2")
}

// Without KEDA a function that it scales keeps the copies that it has and says what is missing.
func TestEventsWithoutKEDA(t *testing.T) {
	w := start(t, "keda-events-without")
	w.Apply(triggered("worker", "VERSION: one", cronOptions(true)))
	w.Ready("function/worker")
	w.field("deployment/worker-00001", ".status.readyReplicas", "2")
	restore := w.withdraw("scaledobjects.keda.sh")
	defer restore()
	w.Condition("function/worker", "Ready", "False", "EngineMissing")
	w.field("deployment/worker-00001", ".status.readyReplicas", "2")
	restore()
	w.Ready("function/worker")
	w.field("scaledobject/worker-00001", ".status.conditions[?(@.type=='Ready')].status", "True")
}

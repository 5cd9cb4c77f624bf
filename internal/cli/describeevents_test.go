package cli

import (
	"strings"
	"testing"
)

func TestDescribeEvents(t *testing.T) {
	f := withHello(t)
	f.put(t, `
apiVersion: events.openfunction.io/v1alpha1
kind: Trigger
metadata: {name: alerts, namespace: default}
spec:
  eventBus: default
  inputs: {logs: {eventSource: app, event: lines}}
  subscribers:
  - {condition: logs, sink: {ref: {kind: Function, name: hello}}, topic: seen}
status:
  conditions: [{type: Ready, status: "True", reason: TriggerIsReady}]
  flow: {handled: 12, failed: 3, deadLetters: 2, lag: 7, perMinute: 5, lastError: hello answered 400}
`)
	f.put(t, `
apiVersion: events.openfunction.io/v1alpha1
kind: EventSource
metadata: {name: app, namespace: default}
spec:
  sink: {ref: {kind: Function, name: hello}}
  kafka: {lines: {topic: logs, brokers: b}}
status:
  events: [{name: lines, kind: kafka, topic: default-app-lines, ready: false, reason: Connecting, message: b is away}]
`)
	f.put(t, `
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: orders, namespace: default}
spec: {type: pubsub.redis, version: v1, metadata: [{name: redisPassword, secretKeyRef: {name: redis, key: password}}]}
status:
  conditions: [{type: Ready, status: "False", reason: Connecting, message: redis is away}]
`)
	f.put(t, `
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: fed, namespace: default}
status:
  events:
  - {component: orders, direction: Input, ready: false, reason: Connecting, message: redis is away, handled: 4, failed: 1, perMinute: 2, lastError: it said no}
  - {component: mail, direction: Output, ready: true, handled: 9}
`)
	for _, c := range []struct {
		args string
		want []string
	}{
		{"describe component/orders", []string{"Type:", "pubsub.redis v1", "redisPassword from redis", "redis is away"}},
		{"describe fed", []string{"Events by input orders:", "Not ready:        Connecting: redis is away", "4, 2 in the last minute", "it said no", "Events by output mail:", "9, 0 in the last minute"}},
		{"describe trigger/alerts -o json", []string{`"handled": 12`, `"kind": "Trigger"`}},
		{"describe fed -o json", []string{`"component": "mail"`, `"function": {`}},
		{"__complete describe trigger/", []string{"trigger/alerts\n"}},
		{"__complete describe component ", []string{"orders\n"}},
		{"__complete describe co", []string{"component/\n"}},
		{"__complete get triggers a", []string{"alerts\n"}},
		{"__complete events publish s", []string{"seen\n"}},
		{"__complete events tail --topic d", []string{"default-app-lines\n"}},
		{"__complete events tail --bus ", []string{"default\n"}},
		{"describe trigger/alerts", []string{"logs of app/lines", "logs → function hello, topic seen", "Waiting:          7", "12, 5 in the last minute", "Dead letters:     2", "hello answered 400", "ofn deadletters list --from alerts", "TriggerIsReady"}},
		{"describe eventsource app", []string{"lines (kafka)", "Sink:", "Not ready:  Connecting: b is away", "none yet"}},
		{"describe hello", []string{"Events by trigger/alerts:", "Last error:       hello answered 400", "Events by eventsource/app, lines:"}},
	} {
		out, errs, err := f.run(t, strings.Split(c.args, " ")...)
		for _, want := range c.want {
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("%s: %v %s\n%s\nwant %q in it", c.args, err, errs, out, want)
			}
		}
	}
	if _, _, err := f.run(t, "describe", "trigger/none"); err == nil || !strings.Contains(err.Error(), "none") {
		t.Error(err)
	}
	if _, _, err := f.run(t, "describe", "hello", "again"); err == nil || !strings.Contains(err.Error(), "one function") {
		t.Error(err)
	}
}

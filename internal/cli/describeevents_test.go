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
  events: [{name: lines, kind: kafka, ready: false, reason: Connecting, message: b is away}]
`)
	for _, c := range []struct {
		args string
		want []string
	}{
		{"describe trigger/alerts", []string{"logs of app/lines", "logs → function hello, topic seen", "Waiting:          7", "12, 5 in the last minute", "Dead letters:     2", "hello answered 400", "ofn deadletters list --from alerts", "TriggerIsReady"}},
		{"describe eventsource app", []string{"lines (kafka)", "Sink:", "Not ready:  Connecting: b is away", "none yet"}},
		{"describe hello", []string{"Events by trigger/alerts:", "Last error:       hello answered 400", "Events by eventsource/app, lines:"}},
	} {
		out, errs, err := f.run(t, strings.Fields(c.args)...)
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

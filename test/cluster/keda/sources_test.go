package keda_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// sink is an address that takes events. It is slow until it is told to be quick, so that a backlog lasts until there are copies for it.
type sink struct {
	*testing.T
	address string
	quick   chan struct{}

	mu    sync.Mutex
	taken map[string]int
}

func newSink(t *testing.T) *sink {
	t.Helper()
	l, err := net.Listen("tcp", node+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{T: t, address: "http://" + l.Addr().String(), quick: make(chan struct{}), taken: map[string]int{}}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	select {
	case <-s.quick:
	case <-time.After(10 * time.Second):
	case <-r.Context().Done():
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[string(body)]++
}

// took is came of what need not come twice: that some do is allowed, that a tenth does is a mistake.
func (s *sink) took(w world, events []string) {
	s.Helper()
	if again := s.came(w, events); again > len(events)/10 {
		s.Errorf("of %d events %d came more than once", len(events), again)
	}
}

// came waits until every event came, and returns how many came once more.
func (s *sink) came(w world, events []string) int {
	s.Helper()
	again := 0
	w.Eventually("every event is delivered", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		again = 0
		var missing []string
		for _, e := range events {
			again += max(0, s.taken[e]-1)
			if s.taken[e] == 0 {
				missing = append(missing, e)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("%d of %d did not come, %s among them", len(missing), len(events), missing[0])
		}
		return nil
	})
	s.Logf("%d events came, %d once more", len(events), again)
	return again
}

// numbered are events.
func numbered(kind string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", kind, i)
	}
	return out
}

// copies waits until a handler has so many copies, and no others that are ending.
func (w world) copies(deployment, part string, n int) {
	w.T.Helper()
	w.Eventually(fmt.Sprintf("%s has %d copies", deployment, n), func() error {
		pods := w.Objects("pods", "app.kubernetes.io/component="+part)
		ready := w.Kubectl("get", "deployment/"+deployment, "-o", "jsonpath={.status.readyReplicas}")
		if len(pods) != n || (n > 0 && ready != fmt.Sprint(n)) {
			return fmt.Errorf("it has %d pods, %q of them ready", len(pods), ready)
		}
		return nil
	})
}

// volume gives the namespace's bus a volume of this machine.
func (w world) volume() {
	w.T.Helper()
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		w.T.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // the server is nobody in particular
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { os.RemoveAll(dir) })
	w.Apply(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  hostPath: {path: %[2]s}
  claimRef: {namespace: %[1]s, name: store-own-bus-0}
`, w.Name, dir))
	w.T.Cleanup(func() {
		if out, err := w.later("delete", "pv", w.Name, "--wait=false"); err != nil {
			w.T.Errorf("%v: %s", err, out)
		}
	})
}

// The elements of a list become events of a bus, and those calls of a sink: the source is woken by the list, the trigger has as many
// copies as its lag is worth, and both sleep when there is nothing.
func TestEventsFromZeroAndBack(t *testing.T) {
	w := start(t, "keda-events")
	r, s := redis(t), newSink(t)
	w.volume()
	w.Kubectl("create", "secret", "generic", "login", "--from-literal=password="+password)
	w.Apply(fmt.Sprintf(`
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {name: login}
spec: {secretTargetRef: [{parameter: password, name: login, key: password}]}
---
apiVersion: events.openfunction.io/v1alpha1
kind: EventBus
metadata: {name: own}
spec:
  natsStreaming:
    natsURL: nats://unused:4222
    natsStreamingClusterID: unused
    subscriptionType: queue
    durableSubscriptionName: unused
    scaleOption: {natsServerMonitoringEndpoint: unused, lagThreshold: "20", pollingInterval: 1, cooldownPeriod: %[1]d, minReplicaCount: 0, maxReplicaCount: 3}
---
apiVersion: events.openfunction.io/v1alpha1
kind: EventSource
metadata: {name: jobs}
spec:
  eventBus: own
  redis:
    work:
      redisHost: "%[2]s"
      list: work
      secretRefs: {redisPassword: {name: login, key: password}}
      scaleOption: {pollingInterval: 1, cooldownPeriod: %[1]d, minReplicaCount: 0, authRef: {kind: TriggerAuthentication, name: login}}
`, cooldown, r.address))
	trigger := func(path string) {
		w.Apply(fmt.Sprintf(`
apiVersion: events.openfunction.io/v1alpha1
kind: Trigger
metadata: {name: worker}
spec:
  eventBus: own
  inputs: {job: {eventSource: jobs, event: work}}
  subscribers: [{condition: job, concurrency: 2, sink: {uri: "%s%s"}}]
`, s.address, path))
	}
	trigger("/")
	const from, to = "jobs-work-source", "worker-trigger"
	asleep := func() {
		w.field("deployment/"+from, ".spec.replicas", "0")
		w.field("deployment/"+to, ".spec.replicas", "0")
		w.copies(from, "event-source", 0)
		w.copies(to, "event-trigger", 0)
		w.Ready("eventsource/jobs")
		w.Ready("trigger/worker")
	}
	w.Ready("eventbus/own")
	asleep() // not before the first copy has made the consumer

	many := numbered("many", 300)
	r.do("RPUSH work " + strings.Join(many, " "))
	w.copies(to, "event-trigger", 3)
	close(s.quick)
	s.took(w, many)
	asleep()

	// Events that come while copies end are not lost either: single ones, each when the trigger has just gone to sleep, and the last ones
	// when the trigger has become another, whose consumer is not there yet.
	some := numbered("some", 3)
	for _, one := range some {
		r.do("RPUSH work " + one)
		w.field("deployment/"+to, ".spec.replicas", "1")
		w.field("deployment/"+to, ".spec.replicas", "0")
	}
	s.took(w, some)
	asleep()
	const plan = ".spec.template.metadata.annotations.openfunction\\.io/plan-hash"
	before := w.Kubectl("get", "deployment/"+to, "-o", "jsonpath={"+plan+"}")
	trigger("/another")
	w.Eventually("the trigger is another", func() error {
		if w.Kubectl("get", "deployment/"+to, "-o", "jsonpath={"+plan+"}") == before {
			return errors.New("its plan is the former")
		}
		return nil
	})
	asleep()
	last := numbered("last", 50)
	r.do("RPUSH work " + strings.Join(last, " "))
	s.took(w, last)
	asleep()

	// What a copy had taken when it died wakes another.
	r.do("RPUSH work:keda-events-jobs-work died0")
	s.took(w, numbered("died", 1))

	w.Kubectl("delete", "trigger/worker", "eventsource/jobs", "eventbus/own")
	w.none("deployments", "statefulsets", "replicasets", "pods", "services", "horizontalpodautoscalers", "scaledobjects")
	w.field("secrets", ".items[*].metadata.name", "login")
}

// Entries of a stream wake their source, which has a group there from its first copy on; those that a copy had taken when it died do, too.
func TestStreamFromZeroAndBack(t *testing.T) {
	w := start(t, "keda-stream")
	r, s := redis(t), newSink(t)
	close(s.quick)
	w.Kubectl("create", "secret", "generic", "login", "--from-literal=password="+password)
	w.Apply(fmt.Sprintf(`
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {name: login}
spec: {secretTargetRef: [{parameter: password, name: login, key: password}]}
---
apiVersion: events.openfunction.io/v1alpha1
kind: EventSource
metadata: {name: jobs}
spec:
  sink: {uri: "%[3]s"}
  redis:
    work:
      redisHost: "%[2]s"
      stream: work
      secretRefs: {redisPassword: {name: login, key: password}}
      scaleOption: {pollingInterval: 1, cooldownPeriod: %[1]d, minReplicaCount: 0, authRef: {kind: TriggerAuthentication, name: login}}
`, cooldown, r.address, s.address))
	const from = "jobs-work-source"
	asleep := func() {
		w.field("deployment/"+from, ".spec.replicas", "0")
		w.copies(from, "event-source", 0)
		w.Ready("eventsource/jobs")
	}
	asleep()
	if groups := r.do("XINFO GROUPS work"); groups != "*1" {
		t.Fatalf("when the source sleeps its group is not there: %s", groups)
	}
	some := numbered("some", 20)
	for _, one := range some {
		r.do("XADD work * data " + one)
	}
	s.took(w, some)
	asleep()
	r.do("XADD work * data died0")
	r.do("XREADGROUP GROUP keda-stream-jobs-work keda-stream-jobs-work COUNT 1 STREAMS work >")
	s.took(w, numbered("died", 1))
	w.Kubectl("delete", "eventsource/jobs")
	w.none("deployments", "replicasets", "pods", "horizontalpodautoscalers", "scaledobjects")
}

package keda_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// kafka is one broker whose topics have three partitions.
type kafka struct {
	*process
	java, jars string
}

const partitions = 3

// kafkaServer runs the Kafka that the tests of the main module have fetched.
func kafkaServer(t *testing.T) kafka {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, _ := filepath.Glob(filepath.Join(cache, "ofn-test-servers", "kafka-*", "complete"))
	java, err := exec.LookPath("java")
	if err != nil || len(found) == 0 {
		t.Skip("there is no Kafka: go test ./internal/event/source/kafka fetches it, and a JDK runs it")
	}
	dir, jars := t.TempDir(), filepath.Dir(found[len(found)-1])
	address, _ := free(t)
	controller, _ := free(t)
	conf := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(conf, []byte(strings.Join([]string{
		"process.roles=broker,controller", "node.id=1", "log.dirs=" + dir + "/data", "controller.quorum.voters=1@" + controller,
		"listeners=CLIENT://" + address + ",CONTROLLER://" + controller, "advertised.listeners=CLIENT://" + address,
		"listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT", "controller.listener.names=CONTROLLER", "inter.broker.listener.name=CLIENT",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0",
		fmt.Sprintf("num.partitions=%d", partitions), "auto.create.topics.enable=true",
	}, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{java, "-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", jars + "/*"}
	format := append(args[1:len(args):len(args)], "kafka.tools.StorageTool", "format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAQ", "--config", conf)
	if out, err := exec.CommandContext(t.Context(), java, format...).CombinedOutput(); err != nil {
		t.Fatalf("preparing Kafka: %v: %s", err, out)
	}
	return kafka{run(t, address, append(args, "kafka.Kafka", conf)...), java, jars}
}

// send returns when the broker has all messages.
func (k kafka) send(topic string, messages []string) {
	k.Helper()
	args := []string{"-cp", k.jars + "/*", filepath.Join("testdata", "kafka", "Produce.java"), k.address, topic, fmt.Sprint(partitions)}
	if out, err := exec.CommandContext(k.Context(), k.java, append(args, messages...)...).CombinedOutput(); err != nil {
		k.Fatalf("sending to Kafka: %v: %s", err, out)
	}
}

// A source of Kafka has as many copies as its group lags behind, up to one for each partition, and back; KEDA is asked for an HPA that
// does not wait.
func TestKafkaFromOneAndBack(t *testing.T) {
	w := start(t, "keda-kafka")
	k, s := kafkaServer(t), newSink(t)
	k.send("work", numbered("first", partitions))
	w.Apply(fmt.Sprintf(`
apiVersion: events.openfunction.io/v1alpha1
kind: EventSource
metadata: {name: jobs}
spec:
  sink: {uri: "%s"}
  kafka:
    work:
      brokers: "%s"
      initialOffset: oldest
      scaleOption:
        pollingInterval: 1
        minReplicaCount: 1
        maxReplicaCount: %d
        lagThreshold: "5"
        advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {stabilizationWindowSeconds: 0}}}}
`, s.address, k.address, partitions))
	const from = "jobs-work-source"
	w.copies(from, "event-source", 1)
	w.Ready("eventsource/jobs")
	many := append(numbered("many", 300), numbered("first", partitions)...)
	k.send("work", many[:300])
	w.copies(from, "event-source", partitions)
	close(s.quick)
	s.came(w, many)
	w.copies(from, "event-source", 1)
	last := numbered("last", 30)
	k.send("work", last)
	s.came(w, last)
	w.Kubectl("delete", "eventsource/jobs")
	w.none("deployments", "replicasets", "pods", "horizontalpodautoscalers", "scaledobjects")
}

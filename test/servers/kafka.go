package servers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const kafkaVersion = "4.1.1"

// Kafka is one broker that is its own controller (KRaft). Topics come into being when they are used, with one partition; set
// num.partitions for more. With a Password its clients log in by SASL PLAIN as User. Its jars come from Maven, once.
func Kafka(t T, opts ...Option) *Server {
	t.Helper()
	java, o, dir := program(t, "default-jre-headless", "java"), build(opts), folder(t, "kafka")
	jars := kafkaJars(t)
	port, controller, inner := FreePort(t), FreePort(t), FreePort(t)
	srv := &Server{Addr: loopback(port), URL: loopback(port)}
	protocol, lines := "PLAINTEXT", []string(nil)
	if o.password != "" {
		protocol, srv.User, srv.Password = "SASL_PLAINTEXT", User, o.password
		lines = append(lines, "sasl.enabled.mechanisms=PLAIN", fmt.Sprintf(
			"listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=%q;", User, o.password))
	}
	lines = append(lines,
		"process.roles=broker,controller", "node.id=1", "log.dirs="+dir+"/data",
		fmt.Sprintf("controller.quorum.voters=1@%s", loopback(controller)),
		fmt.Sprintf("listeners=CLIENT://%s,INNER://%s,CONTROLLER://%s", srv.Addr, loopback(inner), loopback(controller)),
		fmt.Sprintf("advertised.listeners=CLIENT://%s,INNER://%s", srv.Addr, loopback(inner)),
		"listener.security.protocol.map=CLIENT:"+protocol+",INNER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names=CONTROLLER", "inter.broker.listener.name=INNER",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=1",
		"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
		"num.partitions=1", "auto.create.topics.enable=true", "log.flush.interval.messages=1")
	conf := write(t, dir, "server.properties", append(lines, o.settings...)...)
	argv := []string{
		java, "-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.disable.jmx=true", "-cp", jars + "/*",
	}
	initialise(t, spec{name: "kafka", dir: dir, argv: append(argv, "kafka.tools.StorageTool", "format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAQ", "--config", conf)})
	return launch(t, srv, spec{
		name: "kafka", dir: dir, argv: append(argv, "kafka.Kafka", conf),
		// ApiVersions is answered when the broker serves.
		ready: talk(srv.Addr, "\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff", "\x00\x00"),
	})
}

// kafkaJars has Maven gather the broker, once for all test binaries and runs.
func kafkaJars(t T) string {
	t.Helper()
	dir := filepath.Join(cache(t), "kafka-"+kafkaVersion)
	done := filepath.Join(dir, "complete")
	unlock := lock(t, dir+".lock")
	defer unlock()
	if _, err := os.Stat(done); err == nil {
		return dir
	}
	mvn := program(t, "maven", "mvn")
	work := folder(t, "kafka-pom")
	pom := write(t, work, "pom.xml",
		`<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>`,
		`<groupId>test</groupId><artifactId>kafka</artifactId><version>1</version><dependencies><dependency>`,
		`<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>`+kafkaVersion+`</version>`,
		`</dependency></dependencies></project>`)
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 5*startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory="+dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Skipf("Maven could not fetch Kafka %s: %v: %s", kafkaVersion, err, lastLine(out.String()))
	}
	if err := os.WriteFile(done, nil, 0o644); err != nil {
		t.Fatalf("keeping Kafka's jars: %v", err)
	}
	return dir
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

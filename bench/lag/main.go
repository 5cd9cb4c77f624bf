//go:build linux

// Command lag measures how soon a function has the copies that a backlog asks for: a real Kafka broker, 100,000 messages in it, the
// real `ofn up` with KEDA's Kafka scaler, and a function without any copy. Run it as root; Java and Maven give it Kafka. The
// first run compiles KEDA's scalers, which takes minutes:
//
//	go run ./bench/lag
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/IBM/sarama"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/openfunction/ofn/test/servers"
)

const (
	topic      = "orders"
	partitions = 20
	wanted     = 10 // maxReplicas: the backlog asks for twenty times as many
	polling    = 1  // seconds
	limit      = 3 * time.Second
)

func main() {
	runs := flag.Int("runs", 5, "measurements")
	messages := flag.Int("messages", 100_000, "backlog")
	binary := flag.String("ofn", "", "a built ofn with ofn-scalers beside it (default: both are built)")
	data := flag.String("data", "", "data directory to go on with, whose build caches save minutes (default: a new one)")
	flag.Parse()
	t := &bench{data: *data}
	err := run(t, *binary, *runs, *messages)
	t.cleanup()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lag:", err)
		os.Exit(1)
	}
}

// bench is a servers.T, and the platform.
type bench struct {
	cleanups []func()
	binary   string
	dir      string
	data     string
	kafka    string
	api      *http.Client
	url      string
}

// Helper implements servers.T.
func (*bench) Helper() {}

// Logf implements servers.T.
func (*bench) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Cleanup implements servers.T.
func (b *bench) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }

// Skipf implements servers.T.
func (b *bench) Skipf(format string, args ...any) { b.Fatalf(format, args...) }

// Fatalf implements servers.T.
func (b *bench) Fatalf(format string, args ...any) {
	b.cleanup()
	fmt.Fprintf(os.Stderr, "lag: "+format+"\n", args...)
	os.Exit(1)
}

func (b *bench) cleanup() {
	for _, f := range slices.Backward(b.cleanups) {
		f()
	}
	b.cleanups = nil
}

func run(b *bench, binary string, runs, messages int) (err error) {
	ctx := context.Background()
	if b.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	b.Cleanup(func() { os.RemoveAll(b.dir) })
	if b.data == "" {
		b.data = filepath.Join(b.dir, "data")
	}
	if b.binary = binary; binary == "" {
		if err := b.build(ctx); err != nil {
			return err
		}
	}
	kafka := servers.Kafka(b)
	b.kafka = kafka.Addr
	if err := b.up(); err != nil {
		return err
	}
	if err := fill(kafka.Addr, messages); err != nil {
		return err
	}
	if err := mark(kafka.Addr, 0); err != nil {
		return err
	}
	if err := b.deploy(ctx); err != nil {
		return err
	}
	var took []time.Duration
	most := 0
	for range runs {
		d, n, err := b.measure(messages)
		if err != nil {
			return err
		}
		took, most = append(took, d), max(most, n)
	}
	slices.Sort(took)
	fmt.Printf("%-72s %6.2f s   limit %5.2f  ratio %.2f\n", fmt.Sprintf("backlog of %d in Kafka to %d ready copies, poll included, median of %d", messages, wanted, runs),
		took[len(took)/2].Seconds(), limit.Seconds(), took[len(took)/2].Seconds()/limit.Seconds())
	fmt.Printf("%-72s %6.2f s\n", "the slowest", took[len(took)-1].Seconds())
	fmt.Printf("%-72s %6d     limit %5d  ratio %.2f\n", "copies at most", most, wanted, float64(most)/wanted)
	return nil
}

// build compiles ofn and its helper.
func (b *bench) build(ctx context.Context) error {
	b.binary = filepath.Join(b.dir, "ofn")
	for dir, out := range map[string]string{"cmd/ofn": b.binary, "scalers": filepath.Join(b.dir, "ofn-scalers")} {
		c := exec.CommandContext(ctx, "go", "build", "-tags=keda", "-trimpath", "-ldflags", "-s -w", "-o", out, ".")
		c.Dir, c.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
		if said, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w: %s", dir, err, said)
		}
	}
	return nil
}

// up starts the platform.
func (b *bench) up() error {
	c := exec.Command(b.binary, "up", "--data-dir", b.data, "--api-port", "0", "--gateway-address", "127.0.0.1:0",
		"--metrics-address", "", "--log-level", "warn", "--warm-builds=false")
	out, err := c.StderrPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	b.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	ready, lines := regexp.MustCompile(`functions\s+http://`), bufio.NewScanner(out)
	var said []string
	for lines.Scan() {
		if said = append(said, lines.Text()); ready.MatchString(lines.Text()) {
			go func() { _, _ = io.Copy(os.Stderr, out) }() // ends with the process
			return b.connect()
		}
	}
	return fmt.Errorf("ofn up ended: %s", strings.Join(said, "\n"))
}

func (b *bench) kubeconfig() string { return filepath.Join(b.data, "control", "kubeconfig") }

func (b *bench) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", b.kubeconfig())
	if err != nil {
		return err
	}
	b.api, err = rest.HTTPClientFor(config)
	b.url = config.Host + "/apis/core.openfunction.io/v1beta2/namespaces/default/servings"
	return err
}

const manifest = `apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: orders}
spec:
  image: ofn.local/bench/orders:latest
  build: {builder: native, env: {FUNC_NAME: HelloWorld}, srcRepo: {}}
  serving:
    annotations: {autoscaling.knative.dev/window: 6s}
    triggers: {http: {}}
    scaleOptions:
      maxReplicas: %d
      keda:
        scaledObject: {pollingInterval: %d, cooldownPeriod: 1}
        triggers:
        - type: kafka
          metadata: {bootstrapServers: %q, topic: %s, consumerGroup: readers, lagThreshold: "500", offsetResetPolicy: earliest}
`

func (b *bench) deploy(ctx context.Context) error {
	dir := filepath.Join(b.dir, "orders")
	err := errors.Join(os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "f.go"), []byte("package hello\n\nimport \"net/http\"\n\n// HelloWorld answers.\nfunc HelloWorld(w http.ResponseWriter, r *http.Request) {}\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/orders\n\ngo 1.26\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "function.yaml"), fmt.Appendf(nil, manifest, wanted, polling, b.kafka, topic), 0o644))
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, b.binary, "deploy", dir, "--kubeconfig", b.kubeconfig())
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("deploying: %w: %s", err, out)
	}
	return nil
}

// copies is how many there are and how many of them are ready.
func (b *bench) copies() (all, ready int, err error) {
	resp, err := b.api.Get(b.url)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	var list struct {
		Items []struct {
			Status struct {
				Replicas, ReadyReplicas int
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return 0, 0, err
	}
	for _, s := range list.Items {
		all, ready = all+s.Status.Replicas, ready+s.Status.ReadyReplicas
	}
	return all, ready, nil
}

// patience is how long a step may take before it counts as lost.
const patience = 5 * time.Minute

// until waits for a number of copies and returns the largest that was seen.
func (b *bench) until(done func(all, ready int) bool) (most int, err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		all, ready, err := b.copies()
		if err != nil {
			return most, err
		}
		if most = max(most, all); done(all, ready) {
			return most, nil
		}
	}
	return most, errors.New("the copies that were waited for did not come, or not go")
}

// measure is the time from a backlog to all copies, from none. The backlog comes at once: readers that had read everything have
// read nothing of it any more.
func (b *bench) measure(messages int) (time.Duration, int, error) {
	if err := mark(b.kafka, 0); err != nil {
		return 0, 0, err
	}
	if _, err := b.until(func(all, _ int) bool { return all == 0 }); err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := mark(b.kafka, int64(messages)/partitions); err != nil {
		return 0, 0, err
	}
	most, err := b.until(func(_, ready int) bool { return ready >= wanted })
	took := time.Since(begin)
	if err != nil {
		return took, most, err
	}
	watched := time.Now().Add(20 * time.Second) // longer than the number of copies takes to follow
	after, err := b.until(func(int, int) bool { return time.Now().After(watched) })
	return took, max(most, after), err
}

// fill puts messages into all partitions of a new topic.
func fill(kafka string, messages int) error {
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewRoundRobinPartitioner
	client, err := sarama.NewClient([]string{kafka}, config)
	if err != nil {
		return err
	}
	defer client.Close()
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return err
	}
	if err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false); err != nil {
		return err
	}
	p, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		return err
	}
	batch := make([]*sarama.ProducerMessage, messages)
	for i := range batch {
		batch[i] = &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("an order")}
	}
	return errors.Join(p.SendMessages(batch), p.Close())
}

// mark says that all but so many messages of each partition are read.
func mark(kafka string, but int64) error {
	client, err := sarama.NewClient([]string{kafka}, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	offsets, err := sarama.NewOffsetManagerFromClient("readers", client)
	if err != nil {
		return err
	}
	for i := range int32(partitions) {
		newest, err := client.GetOffset(topic, i, sarama.OffsetNewest)
		if err != nil {
			return err
		}
		p, err := offsets.ManagePartition(topic, i)
		if err != nil {
			return err
		}
		at := max(0, newest-but)
		p.MarkOffset(at, "") // forwards
		p.ResetOffset(at, "")
		p.AsyncClose()
	}
	offsets.Commit()
	return offsets.Close()
}

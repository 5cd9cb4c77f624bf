package lag_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"

	"github.com/openfunction/ofn/internal/lag"
	"github.com/openfunction/ofn/internal/lag/helper"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
	"github.com/openfunction/ofn/test/servers"
)

var scalers = flag.String("scalers", "", "the program ofn-scalers (default: the one on PATH); without one, the tests of real sources skip")

// real is the helper, the real program, shared by the tests of the package.
var real = sync.OnceValue(func() *helper.Helper {
	p := *scalers
	if p == "" {
		p, _ = exec.LookPath("ofn-scalers")
	}
	if p == "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "lag")
	if err != nil {
		panic(err)
	}
	return helper.New(helper.Options{Dir: dir, Find: []string{p}})
})

var pool servers.Pool

func TestMain(m *testing.M) {
	flag.Parse()
	code := pool.Run(m)
	if h := real(); h != nil {
		h.Close()
	}
	os.Exit(code)
}

// ready is the helper once it can be asked.
func ready(t *testing.T) *helper.Helper {
	t.Helper()
	h := real()
	if h == nil {
		t.Skip("there is no ofn-scalers: cd scalers && go build -tags keda -o /usr/local/bin/ofn-scalers")
	}
	t.Cleanup(h.Use())
	return h
}

// until polls until the reading is as wanted.
func until(t *testing.T, poll func(context.Context) scale.Reading, want string, ok func(scale.Reading) bool) scale.Reading {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		got := poll(ctx)
		cancel()
		if ok(got) {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %+v, want %s", got, want)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// waits demands that n wait, one copy for each per, and later, when drain was called, nothing.
func waits(t *testing.T, w run.Watch, n, per float64, drain func()) {
	t.Helper()
	poll := open(t, lag.Options{Helper: ready(t)}, w)
	until(t, poll, fmt.Sprintf("%v waiting", n), func(r scale.Reading) bool {
		return r.Err == nil && r.Active && len(r.Values) == 1 && r.Values[0].Sum == n && r.Values[0].Target == per && r.Values[0].PerCopy
	})
	drain()
	until(t, poll, "nothing waiting", func(r scale.Reading) bool { return r.Err == nil && !r.Active && r.Values[0].Sum == 0 })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRealRedis(t *testing.T) {
	ready(t)
	s := pool.Get(t, servers.Redis)
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	must(t, c.RPush(t.Context(), "jobs", 1, 2, 3, 4, 5, 6, 7).Err())
	waits(t, watch("redis", "address", s.Addr, "listName", "jobs", "listLength", "2"), 7, 2, func() { must(t, c.Del(t.Context(), "jobs").Err()) })
}

func TestRealRedisStreams(t *testing.T) {
	ready(t)
	s := pool.Get(t, servers.Redis)
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	must(t, c.XGroupCreateMkStream(t.Context(), "events", "readers", "0").Err())
	for range 6 {
		must(t, c.XAdd(t.Context(), &redis.XAddArgs{Stream: "events", Values: map[string]any{"a": 1}}).Err())
	}
	read, err := c.XReadGroup(t.Context(), &redis.XReadGroupArgs{Group: "readers", Consumer: "c", Streams: []string{"events", ">"}, Count: 100}).Result()
	must(t, err)
	waits(t, watch("redis-streams", "address", s.Addr, "stream", "events", "consumerGroup", "readers", "pendingEntriesCount", "3"), 6, 3, func() {
		for _, m := range read[0].Messages {
			must(t, c.XAck(t.Context(), "events", "readers", m.ID).Err())
		}
	})
}

func TestRealRabbitMQ(t *testing.T) {
	ready(t)
	s := pool.Get(t, servers.RabbitMQ)
	conn, err := amqp.Dial(s.URL)
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	_, err = ch.QueueDeclare("jobs", true, false, false, false, nil)
	must(t, err)
	for range 9 {
		must(t, ch.PublishWithContext(t.Context(), "", "jobs", false, false, amqp.Publishing{Body: []byte("x")}))
	}
	// The address comes from the environment of the function, as in most manifests for KEDA.
	w := watch("rabbitmq", "hostFromEnv", "RABBIT", "queueName", "jobs", "mode", "QueueLength", "value", "4", "protocol", "amqp")
	w.Env = map[string]string{"RABBIT": s.URL}
	waits(t, w, 9, 4, func() {
		_, err := ch.QueuePurge("jobs", false)
		must(t, err)
	})
}

func TestRealJetStream(t *testing.T) {
	ready(t)
	s := pool.Get(t, servers.NATS)
	conn, err := nats.Connect(s.URL)
	must(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	must(t, err)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}})
	must(t, err)
	consumer, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "readers", AckPolicy: jetstream.AckExplicitPolicy})
	must(t, err)
	for range 25 {
		_, err := js.Publish(t.Context(), "orders", []byte("x"))
		must(t, err)
	}
	admin := strings.TrimPrefix(s.Admin, "http://")
	waits(t, watch("nats-jetstream", "natsServerMonitoringEndpoint", admin, "account", "$G", "stream", "ORDERS", "consumer", "readers", "lagThreshold", "5"), 25, 5, func() {
		batch, err := consumer.Fetch(25)
		must(t, err)
		for m := range batch.Messages() {
			must(t, m.DoubleAck(t.Context()))
		}
	})
}

// rows makes a table of jobs.
func rows(t *testing.T, driver, dsn string) (drain func()) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	for _, q := range []string{"create table jobs (id int)", "insert into jobs values (1), (2), (3), (4), (5)"} {
		_, err = db.ExecContext(t.Context(), q)
		must(t, err)
	}
	return func() {
		_, err := db.ExecContext(t.Context(), "delete from jobs")
		must(t, err)
	}
}

func TestRealPostgreSQL(t *testing.T) {
	ready(t)
	s := pool.Get(t, servers.PostgreSQL)
	w := watch("postgresql", "query", "select count(*) from jobs", "targetQueryValue", "2")
	w.Auth = map[string]string{"connection": s.URL}
	waits(t, w, 5, 2, rows(t, "pgx", s.URL))
}

func TestRealMySQL(t *testing.T) {
	ready(t)
	s := pool.Get(t, servers.MariaDB)
	w := watch("mysql", "query", "select count(*) from jobs", "queryValue", "2")
	w.Auth = map[string]string{"connectionString": mysqlDSN(t, s.URL)}
	waits(t, w, 5, 2, rows(t, "mysql", mysqlDSN(t, s.URL)))
}

// mysqlDSN is the address as the driver wants it.
func mysqlDSN(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return raw
	}
	return fmt.Sprintf("%s@tcp(%s)%s", u.User.String(), u.Host, u.Path)
}

func TestRealPrometheus(t *testing.T) {
	ready(t)
	var mu sync.Mutex
	value := "42"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if q := r.FormValue("query"); q != "sum(waiting)" {
			t.Errorf("asked for %q", q)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000000,%q]}]}}`, value)
	}))
	defer s.Close()
	waits(t, watch("prometheus", "serverAddress", s.URL, "query", "sum(waiting)", "threshold", "10"), 42, 10, func() {
		mu.Lock()
		defer mu.Unlock()
		value = "0"
	})
}

func TestRealKafka(t *testing.T) {
	ready(t)
	s := pool.Get(t, servers.Kafka)
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	client, err := sarama.NewClient([]string{s.Addr}, config)
	must(t, err)
	defer client.Close()
	admin, err := sarama.NewClusterAdminFromClient(client)
	must(t, err)
	must(t, admin.CreateTopic("orders", &sarama.TopicDetail{NumPartitions: 4, ReplicationFactor: 1}, false))
	produce(t, client, "orders", 40)
	w := watch("kafka", "bootstrapServers", s.Addr, "topic", "orders", "consumerGroup", "readers", "lagThreshold", "5", "offsetResetPolicy", "earliest")
	// KEDA asks for no more copies than there are partitions: 40 waiting count as 4 * 5.
	waits(t, w, 20, 5, func() {
		offsets, err := sarama.NewOffsetManagerFromClient("readers", client)
		must(t, err)
		for p := range int32(4) {
			newest, err := client.GetOffset("orders", p, sarama.OffsetNewest)
			must(t, err)
			partition, err := offsets.ManagePartition("orders", p)
			must(t, err)
			partition.MarkOffset(newest, "")
			must(t, partition.Close())
		}
		must(t, offsets.Close())
	})
}

func produce(t *testing.T, client sarama.Client, topic string, n int) {
	t.Helper()
	p, err := sarama.NewSyncProducerFromClient(client)
	must(t, err)
	defer p.Close()
	batch := make([]*sarama.ProducerMessage, n)
	for i := range batch {
		batch[i] = &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprint(i)), Value: sarama.StringEncoder("x")}
	}
	must(t, p.SendMessages(batch))
}

// TestRealBrokerDown: a broker that is gone is an error that names it, and it is asked again when it is back.
func TestRealBrokerDown(t *testing.T) {
	h := ready(t)
	s := servers.Redis(t)
	poll := open(t, lag.Options{Helper: h}, watch("redis", "address", s.Addr, "listName", "jobs", "listLength", "2"))
	until(t, poll, "an answer", func(r scale.Reading) bool { return r.Err == nil && !r.Active })
	s.Kill()
	got := until(t, poll, "an error", func(r scale.Reading) bool { return r.Err != nil })
	if text := got.Err.Error(); !strings.Contains(text, "redis") || !strings.Contains(text, "ns/fn") {
		t.Errorf("got %q", text)
	}
	s.Restart()
	until(t, poll, "an answer", func(r scale.Reading) bool { return r.Err == nil })
}

// TestRealHelperKilled: the next poll waits for the helper that takes its place.
func TestRealHelperKilled(t *testing.T) {
	if ready(t); testing.Short() {
		t.Skip("short")
	}
	path := *scalers
	if path == "" {
		path, _ = exec.LookPath("ofn-scalers")
	}
	dir := t.TempDir()
	h := helper.New(helper.Options{Dir: dir, Find: []string{path}})
	defer h.Close()
	s := servers.Redis(t)
	poll := open(t, lag.Options{Helper: h}, watch("redis", "address", s.Addr, "listName", "jobs", "listLength", "2"))
	until(t, poll, "an answer", func(r scale.Reading) bool { return r.Err == nil })
	for range 3 {
		pid := child(t, dir)
		must(t, syscall.Kill(pid, syscall.SIGKILL))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		got := poll(ctx)
		cancel()
		if got.Err != nil {
			t.Fatalf("after kill -9 of %d: %v", pid, got.Err)
		}
		if now := child(t, dir); now == pid {
			t.Fatalf("it is still %d", pid)
		}
	}
}

// child is the process that serves a socket in dir.
func child(t *testing.T, dir string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, f := range all {
		line, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(line), "--socket\x00"+dir) {
			var pid int
			if _, err := fmt.Sscanf(f, "/proc/%d/", &pid); err == nil {
				return pid
			}
		}
	}
	t.Fatal("there is no helper process")
	return 0
}

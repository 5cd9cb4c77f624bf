// Command logalerts shows events end to end, on this machine, with a real Kafka: the log lines of applications wait in a topic, a
// function of its own scale, zero when there is nothing to do, looks for requests that found nothing, and tells a Slack channel
// (a small server here, which prints what Slack would get). README.md says how to run it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/IBM/sarama"

	"github.com/openfunction/ofn/test/servers"
)

func main() {
	lines := flag.Int("lines", 5000, "log lines to send; every hundredth is a 404")
	data := flag.String("data", "", "data directory of the platform, which is kept, so that another run builds faster (default: one that is removed at the end)")
	scale := flag.Bool("scale", true, "scale by Kafka's lag; compiles KEDA's scalers where there is no ofn-scalers on PATH yet, once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	d := &demo{lines: *lines, data: *data, scale: *scale}
	err := d.run(ctx)
	interrupted := ctx.Err() != nil
	stop()
	d.cleanup()
	switch {
	case interrupted:
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "logalerts:", err)
		os.Exit(1)
	}
}

// demo is one run. It is a servers.T, so that the servers of the tests can be its own.
type demo struct {
	lines  int
	data   string // directory of the platform
	scale  bool   // by lag
	path   string // PATH of the platform
	undo   []func()
	alerts atomic.Int64
}

// unable is a reason to stop that servers has.
type unable struct{ error }

func (d *demo) Helper()                  {}
func (d *demo) Cleanup(f func())         { d.undo = append(d.undo, f) }
func (d *demo) Logf(string, ...any)      {}
func (d *demo) Skipf(f string, a ...any) { panic(unable{fmt.Errorf(f, a...)}) }
func (d *demo) Fatalf(f string, a ...any) {
	panic(unable{fmt.Errorf(f, a...)})
}

func (d *demo) cleanup() {
	for i := len(d.undo) - 1; i >= 0; i-- {
		d.undo[i]()
	}
}

func say(format string, args ...any) { fmt.Printf("\n# "+format+"\n", args...) }

func (d *demo) run(ctx context.Context) (err error) {
	defer func() {
		if u, ok := recover().(unable); ok {
			err = u.error
		}
	}()
	if err := d.scalers(ctx); err != nil {
		return err
	}
	say("Kafka, with the topic logs (the first time Maven fetches it)")
	broker := servers.Kafka(d)
	if err := makeTopic(broker.Addr); err != nil {
		return err
	}
	say("a server in the place of Slack")
	webhook, err := d.slack(ctx)
	if err != nil {
		return err
	}
	say("the platform")
	if err := d.up(ctx); err != nil {
		return err
	}
	dir, err := d.function(broker.Addr, webhook)
	if err != nil {
		return err
	}
	say("the function; its first build compiles the framework and Dapr's client, which takes a minute or two")
	if err := d.ofn(ctx, "deploy", dir); err != nil {
		return err
	}
	d.Cleanup(func() { _ = d.quiet(context.Background(), "delete", "function", "log-alerts") })
	say("waiting until it is at zero")
	if err := d.zero(ctx); err != nil {
		return err
	}
	say("%d log lines, of which %d are 404s", d.lines, d.lines/100)
	begun := time.Now()
	if err := d.produce(broker.Addr); err != nil {
		return err
	}
	if err := d.await(ctx, begun); err != nil {
		return err
	}
	say("nothing is left to do: it goes back to zero")
	if err := d.zero(ctx); err != nil {
		return err
	}
	say("it is at zero again, %.0f s after the lines came", time.Since(begun).Seconds())
	return d.ofn(ctx, "describe", "log-alerts")
}

// slack prints the first messages and counts all.
func (d *demo) slack(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			Text string `json:"text"`
		}
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&message); err != nil || message.Text == "" {
			http.Error(w, "invalid_payload", http.StatusBadRequest)
			return
		}
		if n := d.alerts.Add(1); n <= 3 {
			fmt.Println("slack:", message.Text)
		}
		fmt.Fprint(w, "ok")
	})}
	d.Cleanup(func() { _ = s.Close() })
	go func() { // ends with Close
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "slack:", err)
		}
	}()
	return "http://" + l.Addr().String() + "/services/T000/B000/XXXX", nil
}

// up starts a platform of its own and returns when it serves.
func (d *demo) up(ctx context.Context) error {
	if d.data == "" {
		dir, err := os.MkdirTemp("", "ofn-logalerts-")
		if err != nil {
			return err
		}
		d.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o711); err != nil { // functions are other users
			return err
		}
		d.data = filepath.Join(dir, "data")
	}
	_ = os.Remove(d.kubeconfig()) // of an earlier run
	c := exec.Command("./ofn", "up", "--data-dir", d.data, "--gateway-address", "127.0.0.1:0", "--api-port", "0", "--metrics-address", "")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Env = append(os.Environ(), "PATH="+d.path)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		return fmt.Errorf("starting the platform (run this in the root of the source): %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	d.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	for ctx.Err() == nil {
		if _, err := os.Stat(d.kubeconfig()); err == nil && d.quiet(ctx, "get", "functions") == nil {
			return nil
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("the platform ended: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
	return ctx.Err()
}

func (d *demo) kubeconfig() string { return filepath.Join(d.data, "control", "kubeconfig") }

func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "./ofn", args...)
	c.Env = append(os.Environ(), "KUBECONFIG="+d.kubeconfig())
	return c
}

func (d *demo) quiet(ctx context.Context, args ...string) error { return d.command(ctx, args...).Run() }

func (d *demo) ofn(ctx context.Context, args ...string) error {
	fmt.Println("$ ofn", strings.Join(args, " "))
	c := d.command(ctx, args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}

// scalers provides the program that asks Kafka how much waits.
func (d *demo) scalers(ctx context.Context) error {
	d.path = os.Getenv("PATH")
	if _, err := exec.LookPath("ofn-scalers"); err == nil || !d.scale {
		return nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(cache, "ofn-logalerts")
	d.path = dir + string(filepath.ListSeparator) + d.path
	program := filepath.Join(dir, "ofn-scalers")
	if _, err := os.Stat(program); err == nil {
		return nil
	}
	say("ofn-scalers, with KEDA's scalers: compiled once, for five to fifteen minutes; kept in %s (-scale=false does without)", dir)
	c := exec.CommandContext(ctx, "go", "build", "-tags", "keda", "-o", program+".new", ".")
	c.Dir, c.Env = "scalers", append(os.Environ(), "CGO_ENABLED=0")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("compiling ofn-scalers: %w", err)
	}
	return os.Rename(program+".new", program)
}

// replicas is how many copies run.
func (d *demo) replicas(ctx context.Context) (n int, err error) {
	out, err := d.command(ctx, "get", "servings", "-o", "json").Output()
	if err != nil {
		return 0, err
	}
	var list struct {
		Items []struct {
			Status struct {
				Replicas int `json:"replicas"`
			} `json:"status"`
		} `json:"items"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return 0, fmt.Errorf("reading the revisions: %w", err)
	}
	for _, s := range list.Items {
		n += s.Status.Replicas
	}
	return n, nil
}

// zero waits until no copy runs.
func (d *demo) zero(ctx context.Context) error {
	for ctx.Err() == nil {
		if n, err := d.replicas(ctx); err == nil && n == 0 {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// function is a copy of the function's source with the addresses of this run.
func (d *demo) function(brokers, webhook string) (string, error) {
	dir, err := os.MkdirTemp("", "ofn-logalerts-function-")
	if err != nil {
		return "", err
	}
	d.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"alert.go", "go.mod", "function.yaml"} {
		text, err := os.ReadFile(filepath.Join("examples", "logalerts", "function", name))
		if err != nil {
			return "", err
		}
		text = []byte(strings.NewReplacer("value: BROKERS", "value: "+brokers, "bootstrapServers: BROKERS", "bootstrapServers: "+brokers,
			"value: WEBHOOK", "value: "+webhook).Replace(string(text)))
		if !d.scale && name == "function.yaml" { // what is at its end
			text = text[:bytes.Index(text, []byte("      keda:"))]
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// makeTopic makes the topic of the log lines, with as many partitions as there may be copies.
func makeTopic(brokers string) error {
	admin, err := sarama.NewClusterAdmin([]string{brokers}, sarama.NewConfig())
	if err != nil {
		return fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer admin.Close()
	if err := admin.CreateTopic("logs", &sarama.TopicDetail{NumPartitions: 5, ReplicationFactor: 1}, false); err != nil {
		return fmt.Errorf("making the topic logs: %w", err)
	}
	return nil
}

// produce sends the lines as a collector of logs does.
func (d *demo) produce(brokers string) error {
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	p, err := sarama.NewSyncProducer([]string{brokers}, config)
	if err != nil {
		return fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer p.Close()
	var batch []*sarama.ProducerMessage
	for i := range d.lines {
		code := 200
		if i%100 == 99 {
			code = 404
		}
		line := fmt.Sprintf(`10.0.0.%d - - "GET /item/%d HTTP/1.1" %d 153`, i%250, i, code)
		value, err := json.Marshal(map[string]any{"log": line, "kubernetes": map[string]string{"namespace_name": "shop", "pod_name": fmt.Sprintf("web-%d", i%3)}})
		if err != nil {
			return err
		}
		batch = append(batch, &sarama.ProducerMessage{Topic: "logs", Key: sarama.StringEncoder(fmt.Sprint(i)), Value: sarama.ByteEncoder(value)})
		if len(batch) == 500 || i == d.lines-1 {
			if err := p.SendMessages(batch); err != nil {
				return fmt.Errorf("sending log lines: %w", err)
			}
			batch = batch[:0]
		}
	}
	return nil
}

// await waits until every 404 was told, and says how many copies there are meanwhile.
func (d *demo) await(ctx context.Context, begun time.Time) error {
	want, told := int64(d.lines/100), int64(-1)
	for most, last := 0, -1; ctx.Err() == nil; {
		n, err := d.replicas(ctx)
		if alerts := d.alerts.Load(); err == nil && (n != last || alerts != told) {
			most, last, told = max(most, n), n, alerts
			fmt.Printf("%6.1f s: %d copies, %d of %d alerts\n", time.Since(begun).Seconds(), n, alerts, want)
		}
		if d.alerts.Load() >= want {
			say("all %d alerts were told after %.1f s, by up to %d copies", want, time.Since(begun).Seconds(), most)
			return nil
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

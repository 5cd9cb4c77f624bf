// Command logalerts shows events end to end, on this machine, with a real Kafka: the log lines of applications wait in a topic, a
// function of its own scale, zero when there is nothing to do, looks for requests that found nothing, and tells a Slack channel
// (a small server here, which prints what Slack would get). It needs Go, Java and Maven. Run it with
//
//	go run ./examples/logalerts
package main

import (
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
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	d := &demo{lines: *lines}
	err := d.run(ctx)
	stop()
	d.cleanup()
	if err != nil {
		fmt.Fprintln(os.Stderr, "logalerts:", err)
		os.Exit(1)
	}
}

// demo is one run. It is a servers.T, so that the servers of the tests can be its own.
type demo struct {
	lines  int
	undo   []func()
	alerts atomic.Int64
	data   string // of the platform
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
	say("Kafka, with the topic logs (the first time Maven fetches it)")
	broker := servers.Kafka(d, servers.Setting("num.partitions=5"))
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
	if err := d.ofn(ctx, "deploy", dir); err != nil {
		return err
	}
	say("%d log lines, of which %d are 404s; the function is at zero until then", d.lines, d.lines/100)
	begun := time.Now()
	if err := d.produce(broker.Addr); err != nil {
		return err
	}
	if err := d.await(ctx, begun); err != nil {
		return err
	}
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
	dir, err := os.MkdirTemp("", "ofn-logalerts-")
	if err != nil {
		return err
	}
	d.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	d.data = filepath.Join(dir, "data")
	c := exec.Command("./ofn", "up", "--data-dir", d.data, "--gateway-address", "127.0.0.1:0", "--api-port", "0", "--metrics-address", "")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
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
		if _, err := os.Stat(filepath.Join(d.data, "control", "kubeconfig")); err == nil && d.quiet(ctx, "get", "functions") == nil {
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

func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "./ofn", args...)
	c.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(d.data, "control", "kubeconfig"))
	return c
}

func (d *demo) quiet(ctx context.Context, args ...string) error { return d.command(ctx, args...).Run() }

func (d *demo) ofn(ctx context.Context, args ...string) error {
	fmt.Println("$ ofn", strings.Join(args, " "))
	c := d.command(ctx, args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
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
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
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
	want, last := int64(d.lines/100), ""
	for ctx.Err() == nil {
		out, err := d.command(ctx, "revisions", "log-alerts").Output()
		if err == nil && string(out) != last {
			last = string(out)
			fmt.Printf("%5.1f s, %d of %d alerts\n%s", time.Since(begun).Seconds(), d.alerts.Load(), want, last)
		}
		if d.alerts.Load() >= want {
			say("all %d alerts were told after %.1f s", d.alerts.Load(), time.Since(begun).Seconds())
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// Command operator measures `ofn operator` with many Functions: the memory it needs, what it asks of the API server until all of
// them are ready, and what it writes when nothing changes. The cluster is the project's own API server with Knative played by a script:
//
//	go run ./bench/operator                       5,000 Functions
//	go run ./bench/operator -functions 500 -ofn PROGRAM
//	go run ./bench/operator -made 100             5,000, of which the operator made 100; the others are put into the store
//
// The requests are counted by a proxy between the operator and the API server, in which no watch or lease is counted.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openfunction/ofn/internal/kubeapi"
)

// limits of an operator that holds 5,000 Functions.
const (
	limitMemory = 250 // MB, resident
	// limitRate is what it may ask of the API server in a second: its own bound, with the burst spread over ten seconds.
	limitRate = 60.0
)

func main() {
	n := flag.Int("functions", 5000, "how many Functions")
	made := flag.Int("made", 0, "how many of them are made through the API; the others are copied into its store (0: all are made)")
	ofn := flag.String("ofn", "", "program to measure instead of that of this source")
	rest := flag.Duration("rest", time.Minute, "how long to watch the operator when nothing changes")
	limit := flag.Duration("limit", time.Hour, "how long all of it may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if *made <= 0 || *made > *n {
		*made = *n
	}
	if err := measure(ctx, *n, *made, *ofn, *rest); err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, n, made int, program string, rest time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "bench-operator-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if program == "" {
		program = filepath.Join(dir, "ofn")
		fmt.Fprintln(os.Stderr, "building ofn")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "github.com/openfunction/ofn/cmd/ofn")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building ofn: %w\n%s", err, said)
		}
	}
	kubeapi.RouteKlog(slog.New(slog.DiscardHandler))
	ctrl.SetLogger(klog.Background())
	o := &operator{program: program, data: filepath.Join(dir, "cluster"), kubeconfig: filepath.Join(dir, "kubeconfig")}
	if o.cluster, err = newCluster(ctx, o.data); err != nil {
		return err
	}
	defer func() {
		if o.cluster != nil { // it could be started again
			err = errors.Join(err, o.cluster.close())
		}
	}()
	return o.measure(ctx, n, made, rest)
}

// operator is the process that is measured.
type operator struct {
	program, kubeconfig, data string
	metrics                   string // address

	cluster *cluster
	cmd     *exec.Cmd
}

func (o *operator) start(ctx context.Context) error {
	if err := os.WriteFile(o.kubeconfig, o.cluster.kubeconfig(), 0o600); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	o.metrics = l.Addr().String() // free a moment ago
	if err := l.Close(); err != nil {
		return err
	}
	o.cmd = exec.CommandContext(ctx, o.program, "operator", "--kubeconfig", o.kubeconfig, "--metrics-address", o.metrics, "--health-address", "0", "--webhooks=false", "--leader-elect=false", "--log-level", "warn")
	o.cmd.Stderr = os.Stderr
	return o.cmd.Start()
}

// stop asks it to end.
func (o *operator) stop() error {
	if err := o.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := o.cmd.Wait(); err != nil {
		return fmt.Errorf("the operator: %w", err)
	}
	return nil
}

// row is one figure.
type row struct {
	what        string
	value       float64
	unit        string
	limit       float64
	description string
}

func (o *operator) measure(ctx context.Context, n, made int, rest time.Duration) error {
	if err := o.start(ctx); err != nil {
		return err
	}
	defer func() { _ = o.cmd.Process.Kill() }() // it has ended, or this program fails
	began := time.Now()
	if err := o.cluster.fill(ctx, made); err != nil {
		return err
	}
	if err := o.cluster.allReady(ctx, made); err != nil {
		return err
	}
	all := time.Since(began)
	filling := o.cluster.counts()
	busy, err := resident(o.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if made < n {
		if err := o.copy(ctx, made, n); err != nil {
			return err
		}
	}
	idle, quiet, err := o.rest(ctx, n, rest)
	if err != nil {
		return err
	}
	if err := o.stop(); err != nil {
		return err
	}
	before := o.cluster.counts()
	if err := o.start(ctx); err != nil {
		return err
	}
	again, _, err := o.rest(ctx, n, rest)
	if err != nil {
		return err
	}
	restarted := o.cluster.counts().since(before)
	if err := o.stop(); err != nil {
		return err
	}
	fmt.Printf("requests made most:\n%s\n", o.cluster.busiest(15))
	fmt.Printf("%d Functions made and ready after %s; %d in all; load average %s\n\n", made, all.Round(time.Second), n, load())
	return print([]row{
		{fmt.Sprintf("memory, %d just ready", made), mb(busy.now), "MB", limitMemory, fmt.Sprintf("resident; at most %.0f", mb(busy.most))},
		{"memory at rest", mb(idle.now), "MB", limitMemory, fmt.Sprintf("resident, %.0f of it anonymous; at most %.0f", mb(idle.anonymous), mb(idle.most))},
		{"memory after a restart, at rest", mb(again.now), "MB", limitMemory, fmt.Sprintf("resident, %.0f of it anonymous; at most %.0f", mb(again.anonymous), mb(again.most))},
		{"requests while they came", float64(filling.all()) / all.Seconds(), "1/s", limitRate, fmt.Sprintf("%d reads, %d writes", filling.reads, filling.writes)},
		{"requests for each Function", float64(filling.all()) / float64(made), "", 0, "from applied to ready"},
		{"writes at rest", float64(quiet.writes) / rest.Minutes(), "1/min", 0, "must be none"},
		{"reads at rest", float64(quiet.reads) / rest.Minutes(), "1/min", 0, ""},
		{"writes of a restart", float64(restarted.writes), "", 0, "must be none"},
		{"reads of a restart", float64(restarted.reads), "", 0, "lists for its caches"},
	})
}

// copy puts the Functions that were not made into the store, and starts the operator on them.
func (o *operator) copy(ctx context.Context, made, n int) error {
	if err := o.calm(ctx, made); err != nil {
		return err
	}
	if err := errors.Join(o.stop(), o.cluster.close()); err != nil {
		return err
	}
	if err := copies(ctx, o.data, made, n); err != nil {
		return err
	}
	var err error
	if o.cluster, err = newCluster(ctx, o.data); err != nil {
		return err
	}
	return o.start(ctx)
}

// rest waits until the operator asks for nothing any more, and says what it needs and asks for then.
func (o *operator) rest(ctx context.Context, n int, rest time.Duration) (memory, counts, error) {
	if err := o.calm(ctx, n); err != nil {
		return memory{}, counts{}, err
	}
	before := o.cluster.counts()
	if err := sleep(ctx, rest); err != nil {
		return memory{}, counts{}, err
	}
	quiet := o.cluster.counts().since(before)
	is, err := resident(o.cmd.Process.Pid)
	return is, quiet, err
}

// calmFor is how long nothing must have been asked for.
const calmFor = 15 * time.Second

// calm waits until the operator has looked at each of n Functions, and then asked for nothing for a while.
func (o *operator) calm(ctx context.Context, n int) error {
	for last := (counts{-1, -1}); ; {
		if err := sleep(ctx, calmFor); err != nil {
			return err
		}
		looked, err := o.looked(ctx)
		if err != nil {
			return err
		}
		now := o.cluster.counts()
		if now == last && looked >= n {
			return nil
		}
		last = now
	}
}

// looked is how often the operator has looked at a Function since its start, by its metrics.
func (o *operator) looked(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.metrics+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("asking the operator for its metrics: %w", err)
	}
	defer answer.Body.Close()
	sum, lines := 0.0, bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), `controller_runtime_reconcile_total{controller="function",`) {
			continue
		}
		value, err := strconv.ParseFloat(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("reading the operator's metrics: %w", err)
		}
		sum += value
	}
	return int(sum), lines.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func mb(n int64) float64 { return float64(n) / 1e6 }

func print(rows []row) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmeasured\tlimit\tratio\t")
	for _, r := range rows {
		limit, ratio := "", ""
		if r.limit > 0 {
			limit, ratio = fmt.Sprintf("%.0f %s", r.limit, r.unit), fmt.Sprintf("%.2f", r.value/r.limit)
		}
		fmt.Fprintf(w, "%s\t%.1f %s\t%s\t%s\t%s\n", r.what, r.value, r.unit, limit, ratio, r.description)
	}
	return w.Flush()
}

// memory is what a process has, in bytes.
type memory struct{ now, most, anonymous int64 }

func resident(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for line := range strings.Lines(string(text)) {
		for name, into := range map[string]*int64{"VmRSS": &m.now, "VmHWM": &m.most, "RssAnon": &m.anonymous} {
			if kB := int64(0); strings.HasPrefix(line, name+":") {
				if _, err := fmt.Sscanf(line, name+": %d kB", &kB); err != nil {
					return memory{}, err
				}
				*into = kB << 10
			}
		}
	}
	if m.now == 0 {
		return memory{}, errors.New("no VmRSS in the process status")
	}
	return m, nil
}

// load is the load average of the machine.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], ", ")
}

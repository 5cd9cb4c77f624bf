// Command operator measures `ofn operator` with many Functions: the memory it needs, what it asks of the API server until all of
// them are ready, and what it writes when nothing changes. The cluster is the project's own API server with Knative played by a script:
//
//	go run ./bench/operator                       5,000 Functions
//	go run ./bench/operator -functions 500 -ofn PROGRAM
//
// The requests are counted by a proxy between the operator and the API server, in which no watch or lease is counted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
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
	ofn := flag.String("ofn", "", "program to measure instead of that of this source")
	rest := flag.Duration("rest", time.Minute, "how long to watch the operator when nothing changes")
	limit := flag.Duration("limit", time.Hour, "how long all of it may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := measure(ctx, *n, *ofn, *rest); err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, n int, program string, rest time.Duration) (err error) {
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
	c, err := newCluster(ctx, filepath.Join(dir, "cluster"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	o := &operator{program: program, cluster: c, kubeconfig: filepath.Join(dir, "kubeconfig")}
	return o.measure(ctx, n, rest)
}

// operator is the process that is measured.
type operator struct {
	program, kubeconfig string
	cluster             *cluster
	cmd                 *exec.Cmd
}

func (o *operator) start(ctx context.Context) error {
	if err := os.WriteFile(o.kubeconfig, o.cluster.kubeconfig(), 0o600); err != nil {
		return err
	}
	o.cmd = exec.CommandContext(ctx, o.program, "operator", "--kubeconfig", o.kubeconfig, "--metrics-address", "0", "--health-address", "0", "--webhooks=false", "--log-level", "warn")
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

func (o *operator) measure(ctx context.Context, n int, rest time.Duration) error {
	if err := o.start(ctx); err != nil {
		return err
	}
	defer func() { _ = o.cmd.Process.Kill() }() // it has ended, or this program fails
	began := time.Now()
	if err := o.cluster.fill(ctx, n); err != nil {
		return err
	}
	made := time.Since(began)
	if err := o.cluster.allReady(ctx, n); err != nil {
		return err
	}
	all := time.Since(began)
	filling := o.cluster.counts()
	busy, err := rss(o.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := sleep(ctx, rest/4); err != nil { // what is under way comes to rest
		return err
	}
	before := o.cluster.counts()
	if err := sleep(ctx, rest); err != nil {
		return err
	}
	quiet := o.cluster.counts().since(before)
	idle, err := rss(o.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := o.stop(); err != nil {
		return err
	}
	again, restarted, err := o.restarted(ctx, rest)
	if err != nil {
		return err
	}
	fmt.Printf("requests made most:\n%s\n", o.cluster.busiest(15))
	fmt.Printf("%d Functions made in %s, all ready after %s\n\n", n, made.Round(time.Second), all.Round(time.Second))
	return print([]row{
		{"memory, all just ready", mb(busy), "MB", limitMemory, "resident"},
		{"memory at rest", mb(idle), "MB", limitMemory, "resident"},
		{"memory after a restart, at rest", mb(again), "MB", limitMemory, "resident"},
		{"requests while they came", float64(filling.all()) / all.Seconds(), "1/s", limitRate, fmt.Sprintf("%d reads, %d writes", filling.reads, filling.writes)},
		{"requests for each Function", float64(filling.all()) / float64(n), "", 0, "from applied to ready"},
		{"writes at rest", float64(quiet.writes) / rest.Minutes(), "1/min", 0, "must be none"},
		{"reads at rest", float64(quiet.reads) / rest.Minutes(), "1/min", 0, ""},
		{"writes of a restart", float64(restarted.writes), "", 0, "one event says who leads"},
		{"reads of a restart", float64(restarted.reads), "", 0, "lists for its caches"},
	})
}

// restarted starts the operator once more on the full cluster, and says what it needs and asks.
func (o *operator) restarted(ctx context.Context, rest time.Duration) (resident int64, c counts, err error) {
	before := o.cluster.counts()
	if err := o.start(ctx); err != nil {
		return 0, counts{}, err
	}
	if err := sleep(ctx, rest); err != nil {
		return 0, counts{}, err
	}
	if resident, err = rss(o.cmd.Process.Pid); err != nil {
		return 0, counts{}, err
	}
	return resident, o.cluster.counts().since(before), o.stop()
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

// rss is the resident memory of a process, in bytes.
func rss(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kB int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kB); n == 1 {
			return kB << 10, nil
		}
	}
	return 0, errors.New("no VmRSS in the process status")
}

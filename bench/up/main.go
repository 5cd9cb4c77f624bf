// Command up measures the start, the memory and the idle processor time of the control plane on an existing data directory, and
// prints each as a ratio of its limit:
//
//	go run ./bench/up                          the control plane alone, with the platform's own CRDs
//	go run ./bench/up -- ofn up --data-dir D   a whole program, ready when it prints a line that contains "ready"
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// limits of the whole program, from which the control plane alone must leave room for the rest.
const (
	limitStart = 2 * time.Second
	limitRSS   = 240 // MB
	limitIdle  = 2.0 // percent of a core
)

func main() {
	runs := flag.Int("runs", 5, "how often to start; the median counts")
	settle := flag.Duration("settle", 10*time.Second, "how long after the start the idle time begins")
	idle := flag.Duration("idle", 30*time.Second, "how long to watch the idle process")
	serve := flag.String("serve", "", "internal: be the measured control plane, on this data directory")
	profile := flag.String("profile", "", "write start.pprof, idle.pprof and heap.pprof of the control plane into this directory")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *serve != "" {
		err = serveControlPlane(ctx, *serve, *profile)
	} else {
		err = measure(ctx, bench{runs: *runs, settle: *settle, idle: *idle, profile: *profile, command: flag.Args()}, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

type bench struct {
	runs         int
	settle, idle time.Duration
	profile      string
	command      []string
}

// measure starts the command once to make its data, then runs times, and watches the last one idle.
func measure(ctx context.Context, b bench, out io.Writer) error {
	if len(b.command) == 0 {
		dir, err := os.MkdirTemp("", "bench-up-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		self, err := os.Executable()
		if err != nil {
			return err
		}
		b.command = []string{self, "-serve", dir, "-profile", b.profile}
	}
	first, err := startUp(ctx, b.command)
	if err != nil {
		return err
	}
	if err := first.stop(); err != nil {
		return err
	}
	var starts, stops []time.Duration
	for i := range b.runs {
		p, err := startUp(ctx, b.command)
		if err != nil {
			return err
		}
		starts = append(starts, p.ready)
		if i == b.runs-1 {
			if err := b.report(ctx, out, p, first.ready, starts); err != nil {
				return errors.Join(err, p.stop())
			}
		}
		began := time.Now()
		if err := p.stop(); err != nil {
			return err
		}
		stops = append(stops, time.Since(began))
	}
	slices.Sort(stops)
	fmt.Fprintf(out, "stop, median: %v\n", stops[len(stops)/2].Round(time.Millisecond))
	return nil
}

// report watches a process idle and prints the table.
func (b bench) report(ctx context.Context, out io.Writer, p *process, first time.Duration, starts []time.Duration) error {
	if err := pause(ctx, b.settle); err != nil {
		return err
	}
	before, err := cpuTime(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := pause(ctx, b.idle); err != nil {
		return err
	}
	after, err := cpuTime(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	memory, err := residentMB(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	slices.Sort(starts)
	median := starts[len(starts)/2]
	percent := 100 * float64(after-before) / float64(b.idle)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmeasured\tlimit\tratio")
	fmt.Fprintf(w, "start, new data directory\t%v\t\t\n", first.Round(time.Millisecond))
	fmt.Fprintf(w, "start, existing data directory, median of %d\t%v\t%v\t%.2f\n", len(starts), median.Round(time.Millisecond), limitStart, float64(median)/float64(limitStart))
	fmt.Fprintf(w, "idle resident memory\t%.0f MB (%.0f of it private)\t%d MB\t%.2f\n", memory.total, memory.private, limitRSS, memory.total/limitRSS)
	fmt.Fprintf(w, "idle processor, over %v\t%.2f %%\t%.0f %%\t%.2f\n", b.idle, percent, limitIdle, percent/limitIdle)
	return w.Flush()
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// process is a started command that said it was ready.
type process struct {
	cmd   *exec.Cmd
	ready time.Duration // from its start
	drain chan struct{}
}

func startUp(ctx context.Context, command []string) (*process, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, drain: make(chan struct{})}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "ready") {
			p.ready = time.Since(began)
			go func() {
				defer close(p.drain)
				_, _ = io.Copy(io.Discard, stdout)
			}()
			return p, nil
		}
	}
	return nil, fmt.Errorf("%s ended before it was ready: %w", command[0], cmd.Wait())
}

func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	<-p.drain
	return p.cmd.Wait()
}

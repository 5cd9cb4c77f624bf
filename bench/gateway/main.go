// Command gateway measures the gateway against a direct call, httputil.ReverseProxy and, where it is installed, nginx: all
// of them in front of the same instance, a Go server behind a unix socket, in the same run, in turn. Requests per second
// are measured at 32 connections, with wrk where it is installed; latency at one connection.
//
//	go run ./bench/gateway [-rounds 3] [-time 3s]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"time"
)

func main() {
	role := flag.String("role", "", "what this process is; set by the benchmark itself")
	listen := flag.String("listen", "", "for a role: network:address")
	instance := flag.String("instance", "", "for a role: the instance's socket")
	rounds := flag.Int("rounds", 3, "how often everything is measured; the median counts")
	d := flag.Duration("time", 3*time.Second, "length of one measurement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *role != "" {
		err = play(ctx, *role, *listen, *instance)
	} else {
		err = compare(ctx, *rounds, *d)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/gateway:", err)
		os.Exit(1)
	}
}

// result is the median of what was measured for one contender.
type result struct {
	name     string
	rps      []float64
	p50, p99 []float64 // microseconds at one connection
}

func compare(ctx context.Context, rounds int, d time.Duration) error {
	a, err := setUp(ctx)
	if err != nil {
		return err
	}
	defer a.close()
	var results []*result
	for _, c := range a.contenders {
		results = append(results, &result{name: c.name})
	}
	for range rounds {
		for i, c := range a.contenders {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			rps, err := throughput(ctx, c, 32, d)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			p50, p99, err := latency(c, d)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			r := results[i]
			r.rps, r.p50, r.p99 = append(r.rps, rps), append(r.p50, p50), append(r.p99, p99)
		}
	}
	report(results, a.notes)
	return nil
}

func report(results []*result, notes []string) {
	by := map[string]*result{}
	for _, r := range results {
		by[r.name] = r
	}
	direct := by["direct"]
	fmt.Printf("%-14s %12s %12s %12s %14s\n", "", "req/s (32)", "p50 µs (1)", "p99 µs (1)", "added p50 µs")
	for _, r := range results {
		fmt.Printf("%-14s %12.0f %12.1f %12.1f %14.1f\n", r.name, median(r.rps), median(r.p50), median(r.p99), median(r.p50)-median(direct.p50))
	}
	ours := by["ofn"]
	for _, r := range results {
		if r == ours || r == direct {
			continue
		}
		fmt.Printf("ofn / %-12s throughput %.2f, added p50 %.2f\n", r.name,
			median(ours.rps)/median(r.rps), (median(ours.p50)-median(direct.p50))/(median(r.p50)-median(direct.p50)))
	}
	for _, n := range notes {
		fmt.Println("note:", n)
	}
}

func median(v []float64) float64 {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return s[len(s)/2]
}

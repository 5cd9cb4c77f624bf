// Command gateway measures the gateway against a direct call, httputil.ReverseProxy and, where it is installed, nginx: all
// of them in front of the same instance, a Go server behind a unix socket, in the same run, in turn. Requests per second
// are measured at 32 connections, with wrk where it is installed, and with HTTP/2 cleartext at 4 connections of 8 streams;
// latency at one connection with one request at a time. HTTP/2 is measured with an instance that is spoken to in HTTP/1.1,
// and in HTTP/2 ("to h2c").
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
	h2       bool
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
		results = append(results, &result{name: c.name, h2: c.h2})
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
	for _, h2 := range []bool{false, true} {
		report(results, h2)
	}
	for _, n := range a.notes {
		fmt.Println("note:", n)
	}
	return nil
}

// report prints the results of one protocol.
func report(results []*result, h2 bool) {
	by := map[string]*result{}
	var rows []*result
	for _, r := range results {
		if r.h2 == h2 {
			by[r.name] = r
			rows = append(rows, r)
		}
	}
	fmt.Printf("%-20s %12s %12s %12s %14s\n", map[bool]string{false: "HTTP/1.1", true: "HTTP/2 cleartext"}[h2],
		"req/s (32)", "p50 µs (1)", "p99 µs (1)", "added p50 µs")
	direct := by["direct"]
	added := func(r *result) float64 { return median(r.p50) - median(direct.p50) }
	for _, r := range rows {
		fmt.Printf("%-20s %12.0f %12.1f %12.1f %14.1f\n", r.name, median(r.rps), median(r.p50), median(r.p99), added(r))
	}
	ratio := func(ours, peer *result) {
		if ours != nil && peer != nil {
			fmt.Printf("%s / %s: throughput %.2f, added p50 %.2f\n", ours.name, peer.name, median(ours.rps)/median(peer.rps), added(ours)/added(peer))
		}
	}
	for _, peer := range []string{"direct tcp", "ReverseProxy", "nginx"} {
		ratio(by["ofn"], by[peer])
	}
	ratio(by["ofn to h2c"], by["ReverseProxy to h2c"])
	fmt.Println()
}

func median(v []float64) float64 {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return s[len(s)/2]
}

//go:build linux

// Command languages measures what the functions framework of each language costs beside the language's own HTTP server, in the same run
// and taking turns: requests for each second of processor time, the time from start to readiness, and the memory that one more idle instance adds.
//
//	go run ./bench/languages            every language this machine has the tools of
//	go run ./bench/languages -only node
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

// language is one row: a file of this directory each.
type language struct {
	name string
	// prepare writes the two servers into dir; its error says which tool is missing. Both answer GET / with "hello" and listen on PORT.
	prepare func(dir string) (ours, bare program, err error)
	ratio   float64 // of requests that must be reached
	memory  float64 // MB that an idle instance may add
}

func languages() []language {
	return []language{node(), python("python", "hello"), python("python-async", "hello_async"), javaLanguage(), rustRow("rust", "hello"), rustRow("rust-threads", "thread"),
		watchdog("watchdog", 0.4), watchdog("watchdog-bounded", 0.1, "exec_timeout=10s")}
}

// program is a server to be started.
type program struct {
	args, env []string
}

func main() {
	only := flag.String("only", "", "measure this language alone")
	rounds := flag.Int("rounds", 5, "rounds of each server")
	length := flag.Duration("time", 2*time.Second, "length of a round")
	flag.Parse()
	for _, l := range languages() {
		if *only != "" && *only != l.name {
			continue
		}
		if err := measure(context.Background(), l, *rounds, *length); err != nil {
			fmt.Fprintf(os.Stderr, "languages: %s: %v\n", l.name, err)
			os.Exit(1)
		}
	}
}

func measure(ctx context.Context, l language, rounds int, length time.Duration) error {
	dir, err := os.MkdirTemp("", "languages")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, bare, err := l.prepare(dir)
	if err != nil {
		fmt.Printf("%s: not measured: %v\n", l.name, err)
		return nil
	}
	fmt.Printf("== %s\n", l.name)
	if err := starts(ctx, ours, bare); err != nil {
		return err
	}
	if err := idle(ctx, l, ours, bare); err != nil {
		return err
	}
	if err := latencies(ctx, ours, bare); err != nil {
		return err
	}
	return throughput(ctx, l, ours, bare, rounds, length)
}

// starts compares the time from start to the first answer.
func starts(ctx context.Context, ours, bare program) error {
	var took [2][]time.Duration
	for range 10 {
		for i, p := range []program{ours, bare} {
			s, err := start(ctx, p)
			if err != nil {
				return err
			}
			took[i] = append(took[i], s.took)
			s.stop()
		}
	}
	fmt.Printf("start to first answer, median of 10   ours %6.1f ms   bare %6.1f ms\n", ms(median(took[0])), ms(median(took[1])))
	return nil
}

// idle compares the memory that a second instance adds to a first.
func idle(ctx context.Context, l language, ours, bare program) error {
	var added [2]float64
	for i, p := range []program{ours, bare} {
		first, err := start(ctx, p)
		if err != nil {
			return err
		}
		before, err := first.settled(ctx)
		if err == nil {
			added[i], err = withSecond(ctx, p, first, before)
		}
		first.stop()
		if err != nil {
			return err
		}
	}
	fmt.Printf("memory that one more idle copy adds   ours %6.1f MB   bare %6.1f MB   limit %.0f MB   ratio %.2f\n", added[0], added[1], l.memory, added[0]/l.memory)
	return nil
}

func withSecond(ctx context.Context, p program, first *server, before float64) (float64, error) {
	second, err := start(ctx, p)
	if err != nil {
		return 0, err
	}
	defer second.stop()
	b, err := second.settled(ctx)
	if err != nil {
		return 0, err
	}
	a, err := first.memory()
	return a + b - before, err
}

// throughput compares the requests that a second of processor time serves.
func throughput(ctx context.Context, l language, ours, bare program, rounds int, length time.Duration) error {
	var servers [2]*server
	for i, p := range []program{ours, bare} {
		s, err := start(ctx, p)
		if err != nil {
			return err
		}
		defer s.stop()
		servers[i] = s
	}
	var rates [2][]float64
	for round := range rounds + 1 {
		for i, s := range servers {
			rate, err := s.load(ctx, length)
			if err != nil {
				return err
			}
			if round > 0 { // the first one warms up
				rates[i] = append(rates[i], rate)
			}
		}
	}
	a, b := median(rates[0]), median(rates[1])
	fmt.Printf("requests per second of processor      ours %6.0f      bare %6.0f      ratio %.2f   must reach %.2f\n", a, b, a/b, l.ratio)
	return nil
}

func median[T float64 | time.Duration](v []T) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

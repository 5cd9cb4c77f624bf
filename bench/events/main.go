// Command events measures the event half on one machine: how many events pass from a source over the embedded bus and a trigger
// to a function that does nothing, against a bare JetStream publisher and consumer with explicit acknowledgement on the same
// server, and how long one event is on its way, against a bare consumer and the bare disk in turn. Every event is synced to disk
// before it is acknowledged, on both sides. The function is called in this process, and over HTTP through the platform's gateway.
//
//	go run ./bench/events
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"
)

const (
	wantedRatio = 0.4
	wantedP50   = 2 * time.Millisecond
	wantedP99   = 10 * time.Millisecond
)

func main() {
	o := options{}
	flag.IntVar(&o.events, "events", 20_000, "events of one measurement of throughput")
	flag.IntVar(&o.publishers, "publishers", 64, "publishers at once")
	flag.IntVar(&o.size, "size", 256, "bytes of an event's data")
	flag.IntVar(&o.runs, "runs", 3, "measurements of each, in turn; the middle one counts")
	flag.IntVar(&o.only, "only", -1, "measure only this contender, from 0, and what it is held against")
	flag.IntVar(&o.paced, "paced", 1000, "events of the measurement of latency; 0 leaves it out")
	flag.DurationVar(&o.pause, "pause", 5*time.Millisecond, "between those")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where the events are kept: a directory on the disk that is measured")
	profile := flag.String("profile", "", "file for a profile of processor time")
	cores := flag.Int("cores", 1, "cores of everything together")
	flag.Parse()
	runtime.GOMAXPROCS(*cores)
	end, err := profiled(*profile)
	if err == nil {
		err = measure(context.Background(), o)
		end()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "events:", err)
		os.Exit(1)
	}
}

// profiled writes a profile until end is called; without a file it does nothing.
func profiled(file string) (end func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

type options struct {
	events, publishers, size, runs, paced, only int
	pause                                       time.Duration
	dir                                         string
}

// contender is what is measured, against another.
type contender struct {
	name    string
	against int
	wanted  bool // the figure that is to be reached
	measure func(context.Context, options) (figures, error)
}

// measure takes the contenders in turn, so that a machine that is busy for a while is so for all of them.
func measure(ctx context.Context, o options) error {
	kinds := []contender{
		{name: "bare JetStream: publish, consume, ack", measure: bare},
		{name: "publish, bus, trigger, function", wanted: true, measure: func(ctx context.Context, o options) (figures, error) { return ours(ctx, o, false, false) }},
		{name: "the same, through the gateway", wanted: true, measure: func(ctx context.Context, o options) (figures, error) { return ours(ctx, o, true, false) }},
		{name: "bare JetStream: a backlog, consume, ack", against: 3, measure: bareConsumer},
		{name: "a backlog, trigger, function", against: 3, measure: func(ctx context.Context, o options) (figures, error) { return ours(ctx, o, false, true) }},
	}
	rates, cpus := make([][]float64, len(kinds)), make([][]time.Duration, len(kinds))
	for range o.runs {
		for i, k := range kinds {
			if o.only >= 0 && i != o.only && i != kinds[o.only].against {
				continue
			}
			f, err := k.measure(ctx, o)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			rates[i], cpus[i] = append(rates[i], f.rate), append(cpus[i], f.cpu)
		}
	}
	for i, k := range kinds {
		if len(rates[i]) > 0 {
			ref := figures{rate: middle(rates[k.against]), cpu: middle(cpus[k.against])}
			k.tell(figures{rate: middle(rates[i]), cpu: middle(cpus[i])}, ref, i == k.against)
		}
	}
	if o.paced == 0 {
		return nil
	}
	if err := latency(ctx, o); err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	return nil
}

func (k contender) tell(f, reference figures, itself bool) {
	fmt.Printf("%-40s %8.0f events/s, %8s of a core each", k.name, f.rate, f.cpu.Round(100*time.Nanosecond))
	if !itself {
		ratio := f.rate / reference.rate
		fmt.Printf("; %.2f x, by processor time %.2f x", ratio, float64(reference.cpu)/float64(f.cpu))
		if k.wanted {
			fmt.Printf(" (%s: at least %.1f x)", verdict(ratio >= wantedRatio), wantedRatio)
		}
	}
	fmt.Println()
}

func verdict(good bool) string {
	if good {
		return "reached"
	}
	return "MISSED"
}

func middle[T cmp.Ordered](all []T) T {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

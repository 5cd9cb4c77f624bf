package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	js "github.com/nats-io/nats.go/jetstream"
)

// way is one that events go, one after the other.
type way struct {
	name  string
	once  func(i int) (time.Duration, error)
	stop  func() error
	times []time.Duration
	cpu   time.Duration
}

// latency takes the ways in turn, event by event, so that a disk that is slow for a while is so for all of them.
func latency(ctx context.Context, o options) error {
	ways := make([]*way, 0, 4)
	for _, begin := range []func(context.Context, options) (*way, error){synced, bareWay, directWay, gatewayWay} {
		w, err := begin(ctx, o)
		if err != nil {
			return err
		}
		ways = append(ways, w)
	}
	warm := o.paced / 10
	for i := range o.paced + warm {
		for _, w := range ways {
			before := used()
			took, err := w.once(i)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if i >= warm {
				w.times, w.cpu = append(w.times, took), w.cpu+used()-before
			}
			time.Sleep(o.pause)
		}
	}
	for _, w := range ways {
		if err := w.stop(); err != nil {
			return err
		}
		slices.Sort(w.times)
	}
	for i, w := range ways {
		w.tell(ways[1], i > 1)
	}
	return nil
}

func (w *way) quantile(q float64) time.Duration { return w.times[int(q*float64(len(w.times)-1))] }

func (w *way) tell(bare *way, limited bool) {
	p50, p99 := w.quantile(0.5), w.quantile(0.99)
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	fmt.Printf("%-40s p50 %8s, p99 %8s, %8s of a core each", w.name, round(p50), round(p99), (w.cpu / time.Duration(len(w.times))).Round(time.Microsecond))
	if limited {
		fmt.Printf("; %s, %s more than bare (p50 %s: at most %s; p99 %s: at most %s; p99 added to bare %s)", round(p50-bare.quantile(0.5)), round(p99-bare.quantile(0.99)),
			verdict(p50 <= wantedP50), wantedP50, verdict(p99 <= wantedP99), wantedP99, verdict(p99-bare.quantile(0.99) <= wantedP99))
	}
	fmt.Println()
}

// synced is what the disk takes to keep a few bytes more: nobody who keeps events before they are acknowledged is faster.
func synced(_ context.Context, o options) (*way, error) {
	f, err := os.Create(filepath.Join(o.dir, "ofn-bench-events-synced"))
	if err != nil {
		return nil, err
	}
	data := make([]byte, o.size)
	return &way{name: "append and fsync", once: func(int) (time.Duration, error) {
		begin := time.Now()
		if _, err := f.Write(data); err != nil {
			return 0, err
		}
		err := f.Sync()
		return time.Since(begin), err
	}, stop: func() error {
		_ = f.Close()
		return os.Remove(f.Name())
	}}, nil
}

// bareWay is from before the publish until a bare consumer has the event.
func bareWay(ctx context.Context, o options) (*way, error) {
	e, clean, err := store(o)
	if err != nil {
		return nil, err
	}
	j, c, err := stream(ctx, e)
	if err != nil {
		return nil, err
	}
	came := make(chan time.Time, 1)
	consuming, err := c.Consume(func(m js.Msg) {
		came <- time.Now()
		_ = m.Ack()
	})
	if err != nil {
		return nil, err
	}
	return &way{name: "bare JetStream: publish to consumer", once: func(i int) (time.Duration, error) {
		begin := time.Now()
		if _, err := j.PublishMsg(ctx, bareMessage(strconv.Itoa(i), o.size)); err != nil {
			return 0, err
		}
		return (<-came).Sub(begin), nil
	}, stop: func() error {
		consuming.Stop()
		clean()
		return nil
	}}, nil
}

func directWay(ctx context.Context, o options) (*way, error) {
	return ourWay(ctx, o, "publish to function entered", false)
}

func gatewayWay(ctx context.Context, o options) (*way, error) {
	return ourWay(ctx, o, "the same, through the gateway", true)
}

// ourWay is from before the publish to the function's first line.
func ourWay(ctx context.Context, o options, name string, behindGateway bool) (*way, error) {
	entered := make(chan time.Time, 1)
	f, err := newFunction(ctx, behindGateway, func(string) { entered <- time.Now() })
	if err != nil {
		return nil, err
	}
	b, stop, err := platform(ctx, o, f, nil)
	if err != nil {
		return nil, err
	}
	return &way{name: name, once: func(i int) (time.Duration, error) {
		begin := time.Now()
		if _, err := b.Publish(ctx, message(strconv.Itoa(i), o.size)); err != nil {
			return 0, err
		}
		return (<-entered).Sub(begin), nil
	}, stop: func() error {
		defer f.close()
		return stop()
	}}, nil
}

// Command cluster measures, on the test cluster, how soon a function at zero answers and what the way to a warm one adds: with the
// engine pods and its warm pool, with the engine pods without it, and with Knative Serving, in turn, so that a busy machine is busy for
// all. Knative is asked at its activator, without an ingress before it. The cluster must be up and have Knative (test/cluster):
//
//	cluster up --dir D && cluster addons --dir D knative
//	go run ./bench/cluster -dir D -cluster $(command -v cluster) -ofn OFN
//	go run ./bench/cluster -dir D -cluster $(command -v cluster) -ofn OFN -ready
//
// The second one, on a cluster without ofn, measures installing, and how soon a function of a ready-made image is ready, against a
// Knative Service.
//
// OFN is the program of cmd/ofn, compiled with CGO_ENABLED=0.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"time"
)

type settings struct {
	cluster, dir, ofn string
	rounds, requests  int
	ready             bool
	inside            string // the folder of the images, when it runs in the cluster's network
}

func main() {
	var s settings
	flag.StringVar(&s.cluster, "cluster", "", "the program of the test cluster")
	flag.StringVar(&s.dir, "dir", "", "the cluster's folder")
	flag.StringVar(&s.ofn, "ofn", "", "the program of cmd/ofn")
	flag.IntVar(&s.rounds, "n", 10, "starts from zero of each kind")
	flag.IntVar(&s.requests, "requests", 2000, "requests to a warm function, of each kind")
	flag.BoolVar(&s.ready, "ready", false, "measure installing, and apply to Ready, instead")
	flag.StringVar(&s.inside, "inside", "", "for its own use")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	begin := run
	if s.inside == "" {
		begin = enter
	}
	if err := begin(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// enter makes the images and goes on in the cluster's network.
func enter(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "bench-cluster")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := load(ctx, s, dir); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, s.cluster, append([]string{"inside", "--dir", s.dir, self, "-inside", dir}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Minute
	return cmd.Run()
}

// way is one way to call the function.
type way struct {
	name    string
	url     string
	host    string
	headers map[string]string
	pods    string // selects its pods
	cold    []time.Duration
	warm    []time.Duration
	direct  []time.Duration // without anything between
}

func run(ctx context.Context, s settings) error {
	ctx, cancel := context.WithCancel(ctx)
	w := &world{settings: s}
	defer func() { cancel(); w.children.Wait() }()
	if s.ready {
		return w.readying(ctx)
	}
	if err := w.prepare(ctx); err != nil {
		return err
	}
	ways, err := w.functions(ctx)
	if err != nil {
		return err
	}
	for i := range s.rounds {
		for _, to := range ways {
			if err := w.zero(ctx, to); err != nil {
				return err
			}
			began := time.Now()
			if err := to.call(ctx, http.DefaultClient); err != nil {
				return fmt.Errorf("%s, from zero: %w", to.name, err)
			}
			to.cold = append(to.cold, time.Since(began))
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, s.rounds)
	}
	for _, to := range ways {
		if err := w.latency(ctx, to); err != nil {
			return err
		}
	}
	report(ways)
	return nil
}

// latency calls a function over the gateway and, in turn with it, its pod.
func (w *world) latency(ctx context.Context, to *way) error {
	over, past := &http.Client{Transport: &http.Transport{}}, &http.Client{Transport: &http.Transport{}}
	defer over.CloseIdleConnections()
	defer past.CloseIdleConnections()
	if err := to.call(ctx, over); err != nil {
		return err
	}
	address, err := w.kubectl(ctx, "get", "pods", "-l", to.pods, "-o", "jsonpath={.items[0].status.podIP}")
	if err != nil {
		return err
	}
	pod := &way{url: "http://" + net.JoinHostPort(address, "8080")}
	for range w.requests {
		for _, each := range []struct {
			way    *way
			client *http.Client
			into   *[]time.Duration
		}{{to, over, &to.warm}, {pod, past, &to.direct}} {
			began := time.Now()
			if err := each.way.call(ctx, each.client); err != nil {
				return fmt.Errorf("%s, warm: %w", to.name, err)
			}
			*each.into = append(*each.into, time.Since(began))
		}
	}
	return nil
}

func (t *way) call(ctx context.Context, c *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return err
	}
	req.Host = t.host
	for k, v := range t.headers {
		req.Header.Set(k, v)
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "hello")) {
		err = fmt.Errorf("the function answered %s: %s", resp.Status, body)
	}
	return err
}

func percentile(ds []time.Duration, p int) time.Duration {
	s := slices.Sorted(slices.Values(ds))
	return s[min(len(s)*p/100, len(s)-1)]
}

func report(ways []*way) {
	added := func(t *way) time.Duration { return percentile(t.warm, 50) - percentile(t.direct, 50) }
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	fmt.Printf("load of the machine: %s", load)
	knative := ways[len(ways)-1]
	for _, t := range ways {
		fmt.Printf("%-24s from zero p50 %8v p90 %8v, %.2f of Knative's;  warm, added p50 %8v, %.2f of Knative's\n", t.name,
			percentile(t.cold, 50).Round(time.Millisecond), percentile(t.cold, 90).Round(time.Millisecond),
			float64(percentile(t.cold, 50))/float64(percentile(knative.cold, 50)),
			added(t).Round(time.Microsecond), float64(added(t))/float64(added(knative)))
	}
	fmt.Println("wanted: from zero with warm pods at most 0.15 of Knative's, added latency at most 0.50 of Knative's")
}

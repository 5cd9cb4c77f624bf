package test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// traffic is constant load on one function.
type traffic struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	total    int
	answers  map[string]int
	failures []string
}

// load puts a function under load, from a few connections at once:
// load start NAME [-c CONNECTIONS] FUNCTION[/PATH], load wait NAME REQUESTS, load stop NAME, which wants that no request
// has failed, or load break NAME, which does not ask.
func load(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: load start|wait|stop NAME ...")
	}
	s := serverOf(ts)
	key := ts.Getenv("NAMESPACE") + "/" + args[1]
	s.mu.Lock()
	t := s.loads[key]
	s.mu.Unlock()
	switch args[0] {
	case "start":
		t = startLoad(ts, args[2:])
		s.mu.Lock()
		s.loads[key] = t
		s.mu.Unlock()
	case "wait":
		t.wait(ts, args[2:])
	case "break": // what it met does not matter
		t.stop()
	case "stop":
		t.stop()
		fmt.Fprint(ts.Stdout(), t.report())
		if len(t.failures) > 0 {
			ts.Fatalf("%d of %d requests failed, the first: %s", len(t.failures), t.total, t.failures[0])
		}
	}
}

func startLoad(ts *testscript.TestScript, args []string) *traffic {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	connections := f.Int("c", 4, "")
	ts.Check(f.Parse(args))
	c, err := newCall(ts, f.Args())
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	t := &traffic{cancel: cancel, answers: map[string]int{}}
	for range *connections {
		t.wg.Go(func() { t.run(ctx, c) })
	}
	ts.Defer(t.stop)
	return t
}

func (t *traffic) run(ctx context.Context, c *call) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		got, err := c.do(client)
		t.mu.Lock()
		t.total++
		if err != nil {
			t.failures = append(t.failures, err.Error())
		} else {
			t.answers[strings.TrimSpace(got)]++
		}
		t.mu.Unlock()
	}
}

// wait returns after so many more requests.
func (t *traffic) wait(ts *testscript.TestScript, args []string) {
	var more int
	_, err := fmt.Sscan(strings.Join(args, " "), &more)
	ts.Check(err)
	count := func() int { t.mu.Lock(); defer t.mu.Unlock(); return t.total }
	begin := count()
	if !until(time.Minute, func() bool { return count()-begin >= more }) {
		ts.Fatalf("only %d requests in a minute", count()-begin)
	}
}

func (t *traffic) stop() {
	t.cancel()
	t.wg.Wait()
}

// report lists the answers and how often each came.
func (t *traffic) report() string {
	var b strings.Builder
	for _, a := range slices.Sorted(maps.Keys(t.answers)) {
		fmt.Fprintf(&b, "%d x %s\n", t.answers[a], a)
	}
	return b.String()
}

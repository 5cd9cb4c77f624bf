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
	each     []int // by connection
	answers  map[string]int
	failures []string
}

// load puts a function under load, from a few connections at once:
// load start NAME [-c CONNECTIONS] FUNCTION[/PATH], load wait NAME REQUESTS, which returns when none is under way that was when it
// began, load stop NAME, which wants that no request has failed, or load break NAME, which does not ask.
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
	t := &traffic{cancel: cancel, answers: map[string]int{}, each: make([]int, *connections)}
	for n := range *connections {
		t.wg.Go(func() { t.run(ctx, c, n) })
	}
	ts.Defer(t.stop)
	return t
}

func (t *traffic) run(ctx context.Context, c *call, n int) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		got, err := c.do(client)
		t.mu.Lock()
		t.total++
		t.each[n]++
		if err != nil {
			t.failures = append(t.failures, err.Error())
		} else {
			t.answers[strings.TrimSpace(got)]++
		}
		t.mu.Unlock()
	}
}

// wait returns after so many more requests, one of them at least on each connection.
func (t *traffic) wait(ts *testscript.TestScript, args []string) {
	var more int
	_, err := fmt.Sscan(strings.Join(args, " "), &more)
	ts.Check(err)
	count := func() (int, []int) { t.mu.Lock(); defer t.mu.Unlock(); return t.total, slices.Clone(t.each) }
	before, eachBefore := count()
	if !until(time.Minute, func() bool {
		now, each := count()
		done := now-before >= more
		for n := range each {
			done = done && each[n] > eachBefore[n]
		}
		return done
	}) {
		now, each := count()
		ts.Fatalf("only %d requests in a minute; by connection %v, before %v", now-before, each, eachBefore)
	}
}

func (t *traffic) stop() {
	t.cancel()
	t.wg.Wait()
}

// report lists the answers and how often each came, as long as one can read that.
func (t *traffic) report() string {
	const most = 10
	var b strings.Builder
	for n, a := range slices.Sorted(maps.Keys(t.answers)) {
		if n == most {
			fmt.Fprintf(&b, "and %d other answers\n", len(t.answers)-most)
			break
		}
		fmt.Fprintf(&b, "%d x %s\n", t.answers[a], a)
	}
	return b.String()
}

package node_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
	"github.com/openfunction/ofn/internal/scale"
)

// queues is a source of triggers: as many wait as told, ten for each copy.
type queues struct {
	mu      sync.Mutex
	n       map[string]float64 // by the trigger's metadata "queue"
	err     error
	polls   int
	opened  int
	watches []run.Watch
}

func (q *queues) Open(w run.Watch) (func(context.Context) scale.Reading, func(), error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.Type == "unknown" {
		return nil, nil, errors.New("unknown trigger type")
	}
	q.opened++
	q.watches = append(q.watches, w)
	name := w.Metadata["queue"]
	poll := func(context.Context) scale.Reading {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.polls++
		n := q.n[name]
		return scale.Reading{Trigger: w.Trigger.Name, Err: q.err, Active: n > 0, Values: []scale.Value{{Sum: n, Target: 10, PerCopy: true}}}
	}
	return poll, func() { q.mu.Lock(); q.opened--; q.mu.Unlock() }, nil
}

func (q *queues) set(n float64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.n, q.err = map[string]float64{"q": n}, err
}

// queued is a bubble whose node knows q.
func queued(t *testing.T, q *queues, behave func(n int) behaviour, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, driver: &fakeDriver{behave: behave}, images: &fakeImages{}}
		n, err := node.New(node.Options{Drivers: map[string]instance.Driver{"": w.driver}, Images: w.images, Starts: 1000, Triggers: q})
		if err != nil {
			t.Fatal(err)
		}
		w.node = n
		test(w)
		w.close()
		if q.opened != 0 {
			t.Errorf("%d triggers are left open", q.opened)
		}
	})
}

// lagging is a proven revision with one trigger.
func lagging(change ...func(*run.Revision)) run.Revision {
	r := revision()
	r.Proven, r.MaxScale = true, 20
	r.Lag = &run.Lag{Triggers: []run.Trigger{{Type: "queue", Name: "q", Metadata: map[string]string{"queue": "q"}}}}
	for _, f := range change {
		f(&r)
	}
	return r
}

func quick() func(int) behaviour {
	return always(behaviour{startTakes: 5 * time.Millisecond, listens: 5 * time.Millisecond})
}

func TestBacklogFromZeroAndBack(t *testing.T) {
	q := &queues{}
	queued(t, q, quick(), func(w *world) {
		w.apply(lagging())
		time.Sleep(time.Second)
		w.expect(run.Ready, 0)
		q.set(100_000, nil)
		time.Sleep(30 * time.Second) // one poll
		w.expect(run.Ready, 20)
		if s := w.status(); s.Backlog != 100_000 || s.Desired != 20 {
			t.Errorf("got %+v", s)
		}
		q.set(0, nil)
		time.Sleep(5 * time.Minute)
		w.expect(run.Ready, 20)
		time.Sleep(2 * time.Minute)
		w.expect(run.Ready, 0)
		if _, _, most := w.driver.counts(); most != 20 {
			t.Errorf("%d copies at once, want 20", most)
		}
	})
}

// TestBacklogAndRequests: the larger number counts.
func TestBacklogAndRequests(t *testing.T) {
	q := &queues{}
	queued(t, q, quick(), func(w *world) {
		w.apply(lagging(func(r *run.Revision) { r.Annotations[g+"container-concurrency"] = "1" }))
		q.set(25, nil)
		time.Sleep(31 * time.Second)
		w.expect(run.Ready, 3)
		var calls sync.WaitGroup
		for range 5 {
			calls.Go(func() {
				if err := w.request(10 * time.Second); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		w.expect(run.Ready, 5)
		calls.Wait()
	})
}

func TestBacklogUnreachable(t *testing.T) {
	q := &queues{}
	queued(t, q, quick(), func(w *world) {
		q.set(1000, nil)
		w.apply(lagging(func(r *run.Revision) { r.Reachable = false }))
		time.Sleep(time.Hour)
		w.expect(run.Ready, 0)
		if q.polls != 0 {
			t.Errorf("%d polls for a revision that nothing routes to", q.polls)
		}
		w.apply(lagging())
		time.Sleep(time.Second)
		w.expect(run.Ready, 20)
		w.apply(lagging(func(r *run.Revision) { r.Reachable = false }))
		time.Sleep(10 * time.Minute)
		w.expect(run.Ready, 0)
	})
}

func TestBacklogCannotBeRead(t *testing.T) {
	q := &queues{}
	queued(t, q, quick(), func(w *world) {
		q.set(40, nil)
		w.apply(lagging())
		time.Sleep(time.Second)
		w.expect(run.Ready, 4)
		q.set(0, errors.New("connection refused"))
		time.Sleep(time.Hour)
		w.expect(run.Ready, 4, run.ReasonTriggerError, "trigger q: connection refused")
		if n := w.status().Backlog; n != -1 {
			t.Errorf("a backlog of %d", n)
		}
		w.apply(lagging(func(r *run.Revision) { r.Lag.Fallback = &run.Fallback{Threshold: 2, Replicas: 7} }))
		time.Sleep(2 * time.Minute)
		w.expect(run.Ready, 7)
		q.set(70, nil)
		time.Sleep(30 * time.Second)
		w.expect(run.Ready, 7)
		if s := w.status(); s.Reason != "" || s.Backlog != 70 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestBacklogTriggerThatCannotBe(t *testing.T) {
	queued(t, &queues{}, quick(), func(w *world) {
		w.apply(lagging(func(r *run.Revision) { r.Lag.Triggers[0].Type = "unknown" }))
		time.Sleep(time.Second)
		w.expect(run.Ready, 0, run.ReasonTriggerError, "unknown trigger type")
	})
}

func TestBacklogRefusals(t *testing.T) {
	queued(t, &queues{}, nil, func(w *world) {
		for says, change := range map[string]func(*run.Revision){
			"idleReplicaCount": func(r *run.Revision) { r.Lag.Idle = new(int) },
			"formula":          func(r *run.Revision) { r.Lag.Modifiers = &run.Modifiers{Formula: "x", Target: 1} },
			"selectPolicy":     func(r *run.Revision) { r.Lag.Up = &run.Rules{Select: "x"} },
			"strategy":         func(r *run.Revision) { r.Workload, r.Batch = run.Job, &run.Batch{Strategy: "x"} },
		} {
			if err := w.node.Apply(context.Background(), lagging(change)); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: got %v", says, err)
			}
		}
	})
	bubble(t, nil, func(w *world) {
		if err := w.node.Apply(context.Background(), lagging()); err == nil || !strings.Contains(err.Error(), "triggers") {
			t.Errorf("a runner without triggers: got %v", err)
		}
	})
}

// TestCachedMetrics: a trigger that asks for it is asked at the polling interval only.
func TestCachedMetrics(t *testing.T) {
	for cached, want := range map[bool]int{false: 19, true: 10} { // 5 min: polls at 0, 30 …, 270 s; in between every other quarter minute
		q := &queues{}
		queued(t, q, quick(), func(w *world) {
			q.set(10, nil)
			w.apply(lagging(func(r *run.Revision) { r.Lag.Triggers[0].UseCachedMetrics = cached }))
			time.Sleep(299 * time.Second)
			synctest.Wait()
			if q.polls < want || q.polls > want+1 {
				t.Errorf("cached %v: %d polls, want %d", cached, q.polls, want)
			}
		})
	}
}

func batched(change ...func(*run.Revision)) run.Revision {
	return lagging(append([]func(*run.Revision){func(r *run.Revision) { r.Workload, r.Proven = run.Job, true }}, change...)...)
}

// TestJobCompletes: each copy ends by itself when its work is done, and none takes its place.
func TestJobCompletes(t *testing.T) {
	q := &queues{}
	b := behaviour{startTakes: 5 * time.Millisecond, listens: -1, lives: 10 * time.Second}
	queued(t, q, always(b), func(w *world) {
		q.set(30, nil)
		w.apply(batched())
		time.Sleep(time.Second)
		if _, live, _ := w.driver.counts(); live != 3 {
			t.Errorf("%d copies, want 3", live)
		}
		q.set(0, nil)
		time.Sleep(time.Hour)
		w.expect(run.Ready, 0)
		if n, _, _ := w.driver.counts(); n != 3 {
			t.Errorf("%d starts, want 3", n)
		}
		if s := w.status(); s.Succeeded != 3 || s.Lost != 0 || s.Restarts != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// TestJobIsAskedToEnd: copies that serve end when nothing waits any more, and not while they work.
func TestJobIsAskedToEnd(t *testing.T) {
	q := &queues{}
	queued(t, q, quick(), func(w *world) {
		q.set(20, nil)
		w.apply(batched())
		time.Sleep(time.Second)
		w.expect(run.Ready, 2)
		done := make(chan error, 1)
		go func() { done <- w.request(5 * time.Minute) }()
		time.Sleep(time.Second)
		q.set(0, nil)
		time.Sleep(2 * time.Minute)
		w.expect(run.Ready, 1)
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		w.expect(run.Ready, 0)
		if s := w.status(); s.Succeeded != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestJobFails(t *testing.T) {
	for name, c := range map[string]struct {
		batch  *run.Batch
		starts int
	}{
		"tried again": {&run.Batch{Retries: 2}, 3},
		"never":       {&run.Batch{Never: true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			q := &queues{}
			b := behaviour{startTakes: 5 * time.Millisecond, listens: -1, lives: time.Second, exit: instance.Exit{Code: 3}, output: "no such table\n"}
			queued(t, q, always(b), func(w *world) {
				q.set(10, nil)
				w.apply(batched(func(r *run.Revision) { r.Batch = c.batch; r.Lag.Polling = time.Hour }))
				time.Sleep(time.Second)
				q.set(0, nil)
				time.Sleep(50 * time.Minute)
				synctest.Wait()
				if n, _, _ := w.driver.counts(); n != c.starts {
					t.Errorf("%d starts, want %d", n, c.starts)
				}
				if s := w.status(); s.Lost != 1 || s.Succeeded != 0 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// TestPause: what waits brings no copies, and takes none away; requests still bring one.
func TestPause(t *testing.T) {
	q := &queues{}
	queued(t, q, quick(), func(w *world) {
		five, none := 5, 0
		pause := func(p *run.Pause) run.Revision { return lagging(func(r *run.Revision) { r.Lag.Pause = p }) }
		q.set(20, nil)
		w.apply(lagging())
		time.Sleep(31 * time.Second)
		w.expect(run.Ready, 2)
		w.apply(pause(&run.Pause{}))
		q.set(100, nil)
		time.Sleep(10 * time.Minute)
		w.expect(run.Ready, 2)
		w.apply(pause(&run.Pause{Copies: &five}))
		time.Sleep(time.Second)
		w.expect(run.Ready, 5)
		w.apply(pause(&run.Pause{Copies: &none}))
		time.Sleep(time.Minute)
		w.expect(run.Ready, 0)
		if err := w.request(time.Second); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Minute)
		w.expect(run.Ready, 0)
		w.apply(lagging())
		time.Sleep(31 * time.Second)
		w.expect(run.Ready, 10)
	})
	queued(t, q, quick(), func(w *world) {
		q.set(30, nil)
		w.apply(batched(func(r *run.Revision) { r.Lag.Pause = &run.Pause{} }))
		time.Sleep(time.Minute)
		if n, _, _ := w.driver.counts(); n != 0 {
			t.Errorf("%d copies of a job that is paused", n)
		}
		w.apply(batched())
		time.Sleep(time.Minute)
		w.expect(run.Ready, 3)
	})
}

// TestStatefulSet: names are ordinals, the lowest free one first, and the highest goes first.
func TestStatefulSet(t *testing.T) {
	q := &queues{}
	var mu sync.Mutex
	names := map[string]string{} // by id
	behave := always(behaviour{startTakes: 5 * time.Millisecond, listens: 5 * time.Millisecond, spec: func(s instance.Spec) {
		mu.Lock()
		defer mu.Unlock()
		for _, kv := range s.Process.Env {
			if name, ok := strings.CutPrefix(kv, "POD_NAME="); ok {
				names[s.ID] = name
			}
		}
	}})
	queued(t, q, behave, func(w *world) {
		live := func() (out []string) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			w.driver.mu.Lock()
			defer w.driver.mu.Unlock()
			for id := range w.driver.live {
				out = append(out, names[id])
			}
			slices.Sort(out)
			return out
		}
		down := 0 * time.Second
		w.apply(lagging(func(r *run.Revision) { r.Workload, r.Lag.Down = run.StatefulSet, &run.Rules{Window: &down} }))
		q.set(40, nil)
		time.Sleep(31 * time.Second)
		if got := live(); !slices.Equal(got, []string{"fn-1-0", "fn-1-1", "fn-1-2", "fn-1-3"}) {
			t.Errorf("got %v", got)
		}
		q.set(20, nil)
		time.Sleep(2 * time.Minute)
		if got := live(); !slices.Equal(got, []string{"fn-1-0", "fn-1-1"}) {
			t.Errorf("got %v", got)
		}
		q.set(30, nil)
		time.Sleep(2 * time.Minute)
		if got := live(); !slices.Equal(got, []string{"fn-1-0", "fn-1-1", "fn-1-2"}) {
			t.Errorf("got %v", got)
		}
	})
}

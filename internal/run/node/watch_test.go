package node_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// probed is a revision with one copy all the time.
func probed(change func(c *run.Container)) run.Revision {
	r := revision("min-scale", "1")
	change(&r.Container)
	return r
}

func TestLiveness(t *testing.T) {
	for name, tt := range map[string]struct {
		probe run.Probe
		deaf  bool
		why   string
	}{
		"connection":     {run.Probe{}, false, "connection refused"},
		"another port":   {run.Probe{Port: 9000}, false, "connection refused"},
		"command":        {run.Probe{Exec: []string{"check"}}, false, "check exited with code 9: asked check"},
		"one that hangs": {run.Probe{Grace: 20 * time.Second}, true, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			var sick atomic.Bool
			first := func(n int) behaviour {
				if n > 1 {
					return behaviour{}
				}
				return behaviour{sick: &sick, deaf: tt.deaf, output: "I was busy\n"}
			}
			bubble(t, first, func(w *world) {
				w.apply(probed(func(c *run.Container) {
					p := tt.probe
					p.Period, p.FailureThreshold = 5*time.Second, 2
					c.Liveness = &p
				}))
				time.Sleep(time.Minute)
				w.expect(run.Ready, 1)
				if n, _, _ := w.driver.counts(); n != 1 || w.status().Reason != "" {
					t.Fatalf("%d starts of one that is well, status %+v", n, w.status())
				}
				sick.Store(true)
				time.Sleep(5 * time.Second) // one failure, or none yet
				w.expect(run.Ready, 1)
				time.Sleep(6 * time.Second)
				w.expect(run.Ready, 1, "LivenessProbeFailed", tt.why, "I was busy")
				started, live, _ := w.driver.counts()
				if w.status().Restarts != 1 || started != 2 || live != 1 && !tt.deaf || live != 2 && tt.deaf {
					t.Errorf("%d starts, %d live, status %+v", started, live, w.status())
				}
				if err := w.request(0); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Minute)
				w.expect(run.Ready, 1)
				if started, live, _ := w.driver.counts(); started != 2 || live != 1 || w.status().Reason != "" {
					t.Errorf("later: %d starts, %d live, status %+v", started, live, w.status())
				}
			})
		})
	}
}

func TestProbeThatThePlatformCannotAsk(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.apply(probed(func(c *run.Container) {
			c.Liveness = &run.Probe{Exec: []string{"impossible"}, Period: time.Second, FailureThreshold: 1}
		}))
		time.Sleep(time.Minute)
		w.expect(run.Ready, 1)
		if n, _, _ := w.driver.counts(); n != 1 {
			t.Errorf("%d starts: a copy was ended that nobody could ask", n)
		}
	})
}

func TestLivenessWaitsForItsDelay(t *testing.T) {
	var sick atomic.Bool
	bubble(t, func(n int) behaviour {
		if n > 1 {
			return behaviour{}
		}
		return behaviour{sick: &sick}
	}, func(w *world) {
		w.apply(probed(func(c *run.Container) {
			c.Liveness = &run.Probe{InitialDelay: time.Minute, Period: time.Second, FailureThreshold: 1}
		}))
		time.Sleep(time.Second)
		sick.Store(true)
		time.Sleep(58 * time.Second)
		if n, _, _ := w.driver.counts(); n != 1 {
			t.Errorf("%d starts before the delay was over", n)
		}
		time.Sleep(3 * time.Second)
		if n, _, _ := w.driver.counts(); n != 2 {
			t.Errorf("%d starts after it", n)
		}
	})
}

func TestReadinessAllTheTime(t *testing.T) {
	var sick atomic.Bool
	bubble(t, always(behaviour{sick: &sick}), func(w *world) {
		w.apply(probed(func(c *run.Container) {
			c.Probe = &run.Probe{Period: time.Second, FailureThreshold: 2, SuccessThreshold: 2}
		}))
		time.Sleep(time.Second)
		w.expect(run.Ready, 1)
		sick.Store(true)
		time.Sleep(3 * time.Second)
		w.expect(run.Ready, 0, "NotReady", "readiness probe", "connection refused")
		answered := make(chan error, 1)
		go func() { answered <- w.request(0) }()
		time.Sleep(10 * time.Second)
		select {
		case err := <-answered:
			t.Fatalf("a copy that is not ready was given a request: %v", err)
		default:
		}
		sick.Store(false)
		time.Sleep(3 * time.Second)
		if err := <-answered; err != nil {
			t.Error(err)
		}
		w.expect(run.Ready, 1)
		if n, _, _ := w.driver.counts(); n != 1 || w.status().Restarts != 0 || w.status().Reason != "" {
			t.Errorf("%d starts, status %+v", n, w.status())
		}
	})
}

func TestProbesDoNotKeepCopies(t *testing.T) {
	for name, after := range map[string]bool{"ready": false, "not ready any more": true} {
		t.Run(name, func(t *testing.T) {
			var sick atomic.Bool
			bubble(t, always(behaviour{sick: &sick}), func(w *world) {
				r := revision()
				p := &run.Probe{Period: time.Second}
				r.Container.Probe, r.Container.Liveness = p, &run.Probe{Period: time.Second, FailureThreshold: 1000}
				w.apply(r)
				time.Sleep(10 * time.Second)
				w.expect(run.Ready, 1)
				sick.Store(after)
				time.Sleep(3 * time.Minute)
				w.expect(run.Ready, 0)
				if started, live, _ := w.driver.counts(); started != 1 || live != 0 {
					t.Errorf("%d starts, %d live after 3 minutes without requests", started, live)
				}
			})
		})
	}
}

func TestNoProbeAsksNothing(t *testing.T) {
	var dials atomic.Int32
	bubble(t, always(behaviour{serve: func(c net.Conn) { dials.Add(1); c.Close() }}), func(w *world) {
		w.apply(probed(func(*run.Container) {}))
		time.Sleep(time.Second)
		before := dials.Load()
		time.Sleep(time.Hour)
		w.expect(run.Ready, 1)
		if n := dials.Load() - before; n != 0 {
			t.Errorf("%d connections to a copy without probes and requests", n)
		}
	})
}

func TestStartup(t *testing.T) {
	slow := func(c *run.Container) {
		c.Startup = &run.Probe{Period: 10 * time.Second, FailureThreshold: 12}
		c.Liveness = &run.Probe{Period: time.Second, FailureThreshold: 1}
	}
	t.Run("slow", func(t *testing.T) {
		bubble(t, always(behaviour{listens: 100 * time.Second}), func(w *world) {
			w.apply(probed(slow))
			time.Sleep(99 * time.Second)
			w.expect(run.Starting, 0)
			time.Sleep(2 * time.Second)
			w.expect(run.Ready, 1)
			if n, _, _ := w.driver.counts(); n != 1 {
				t.Errorf("%d starts", n)
			}
		})
	})
	t.Run("never", func(t *testing.T) {
		bubble(t, always(behaviour{listens: -1, where: []string{"0.0.0.0:3000"}, output: "waiting for Godot\n"}), func(w *world) {
			w.apply(probed(slow))
			time.Sleep(119 * time.Second)
			w.expect(run.Starting, 0)
			time.Sleep(2 * time.Second)
			w.expect(run.Failed, 0, "StartupProbeFailed", "within 2m0s", "listens on 0.0.0.0:3000", "waiting for Godot")
		})
	})
	t.Run("crash", func(t *testing.T) {
		bubble(t, always(behaviour{listens: -1, lives: 5 * time.Second, exit: instance.Exit{Code: 4}}), func(w *world) {
			w.apply(probed(slow))
			time.Sleep(6 * time.Second)
			w.expect(run.Failed, 0, "ContainerCrashed", "before it was ready with code 4")
		})
	})
}

// TestReadinessElsewhere is of a probe that can never succeed, because the program listens on another port.
func TestReadinessElsewhere(t *testing.T) {
	bubble(t, always(behaviour{listens: -1, where: []string{"[::1]:8080", "127.0.0.1:8081"}}), func(w *world) {
		r := revision()
		r.StartTimeout, r.Container.Probe = 5*time.Second, &run.Probe{HTTPPath: "/ready"}
		w.apply(r)
		time.Sleep(6 * time.Second)
		w.expect(run.Failed, 0, "NotListening", "nothing listens on port 8080", "listens on [::1]:8080, 127.0.0.1:8081")
	})
}

func TestStrainIsTold(t *testing.T) {
	var kills, forks atomic.Int64
	strain := func() instance.Strain { return instance.Strain{MemoryKills: kills.Load(), ForksRefused: forks.Load()} }
	bubble(t, always(behaviour{strain: strain}), func(w *world) {
		w.apply(probed(func(c *run.Container) { c.Memory, c.PIDs = 64<<20, 30 }))
		time.Sleep(20 * time.Second)
		w.expect(run.Ready, 1)
		if s := w.status(); s.Reason != "" {
			t.Errorf("without strain: %+v", s)
		}
		kills.Store(2)
		time.Sleep(6 * time.Second)
		w.expect(run.Ready, 1, "ProcessOutOfMemory", "killed 2 of the processes", "limit of 64 MiB", "resources.limits.memory")
		forks.Store(7)
		time.Sleep(6 * time.Second)
		w.expect(run.Ready, 1, "ProcessLimitExceeded", "7 times", "limit is 30", "resources.limits.pids")
		time.Sleep(2 * time.Minute)
		if s := w.status(); s.Reason != "" || s.Restarts != 0 || s.Ready != 1 {
			t.Errorf("later: %+v", s)
		}
	})
	bubble(t, func(n int) behaviour {
		if n > 1 {
			return behaviour{}
		}
		return behaviour{lives: time.Minute, exit: instance.Exit{Code: 2, Strain: instance.Strain{ForksRefused: 3}}}
	}, func(w *world) {
		w.apply(probed(func(c *run.Container) { c.PIDs = 30 }))
		time.Sleep(61 * time.Second)
		w.expect(run.Ready, 1, "ContainerCrashed", "limit of 30 processes")
		if !strings.Contains(w.status().Message, "resources.limits.pids") {
			t.Errorf("message %q", w.status().Message)
		}
	})
}

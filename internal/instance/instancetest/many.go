//go:build linux

package instancetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
)

// many starts a burst, cancels another at all moments, and looks for what is left.
func (s *suite) many(t *testing.T) {
	for range 8 { // whatever is made once exists before counting
		in := s.serve(t, nil)
		must(t, in, "hello")
		in.Stop(0)
		ended(t, in)
	}
	before := count()
	t.Run("burst", func(t *testing.T) { s.burst(t, 200) })
	t.Run("cancelled midway", func(t *testing.T) { s.cancelled(t, 60) })
	until(t, func() error {
		if now := count(); now.fds > before.fds+4 || now.goroutines > before.goroutines+4 {
			return fmt.Errorf("%+v before, %+v after", before, now)
		}
		return nil
	})
}

func (s *suite) burst(t *testing.T, n int) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*patient)
			defer cancel()
			in, err := s.driver.Start(ctx, s.spec("serve"))
			if err != nil {
				t.Errorf("Start: %v", err)
				return
			}
			defer func() { <-in.Done() }()
			defer in.Stop(0)
			c, err := in.Dial(ctx)
			if err != nil {
				t.Errorf("Dial: %v", err)
				return
			}
			defer c.Close()
			if got, err := exchange(t, c, "hello"); err != nil || got != "hello" {
				t.Errorf("reply %q, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func (s *suite) cancelled(t *testing.T, n int) {
	for i := range n {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
		in, err := s.driver.Start(ctx, s.spec("serve"))
		switch {
		case err == nil:
			in.Stop(0)
			ended(t, in)
		case !errors.Is(err, context.DeadlineExceeded):
			t.Errorf("Start = %v, want the context's error", err)
		}
		cancel()
	}
}

type counts struct{ fds, goroutines int }

func count() counts {
	es, _ := os.ReadDir("/proc/self/fd")
	return counts{fds: len(es), goroutines: runtime.NumGoroutine()}
}

func (s *suite) close(t *testing.T) {
	d := s.New(t)
	var ins []instance.Instance
	for range 5 {
		in, err := d.Start(t.Context(), s.spec("ignore-term"))
		if err != nil {
			t.Fatal(err)
		}
		ins = append(ins, in)
	}
	if err := d.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, in := range ins {
		select {
		case <-in.Done():
		default:
			t.Errorf("instance %s still runs after Close", in.ID())
		}
	}
	if _, err := d.Start(t.Context(), s.spec("serve")); !errors.Is(err, instance.ErrClosed) {
		t.Errorf("Start after Close = %v, want ErrClosed", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

package cron_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/cron"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
)

// run lets a schedule run for a while and returns the ids of its events.
func run(t *testing.T, state source.State, spec map[string]any, d, slow time.Duration) (ids []string) {
	t.Helper()
	s, err := cron.New(state)(sourcetest.Config(t, "cron", spec))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	emit := func(ctx context.Context, e cloudevent.Event) error {
		if slow > 0 {
			select {
			case <-time.After(slow):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		ids = append(ids, e.ID)
		return nil
	}
	if err := s.Run(ctx, source.Out{Emit: emit, Connected: func() {}}); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestTicks(t *testing.T) {
	for name, c := range map[string]struct {
		spec map[string]any
		d    time.Duration
		n    int
		last string
	}{
		"five fields": {map[string]any{"schedule": "*/5 * * * *"}, time.Hour + time.Second, 12, "2000-01-01T01:00:00Z"},
		"seconds":     {map[string]any{"schedule": "*/10 * * * * *"}, time.Minute + time.Second, 6, "2000-01-01T00:01:00Z"},
		"every":       {map[string]any{"schedule": "@every 5s"}, 21 * time.Second, 4, "2000-01-01T00:00:20Z"},
		"daily, zone": {map[string]any{"schedule": "0 9 * * *", "timeZone": "Europe/Rome"}, 24 * time.Hour, 1, "2000-01-01T08:00:00Z"},
		"never":       {map[string]any{"schedule": "0 0 30 2 *"}, 24 * time.Hour, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ids := run(t, source.State{Dir: t.TempDir()}, c.spec, c.d, 0)
				if len(ids) != c.n || c.n > 0 && ids[len(ids)-1] != c.last {
					t.Fatalf("%v", ids)
				}
			})
		})
	}
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state, spec := source.State{Dir: t.TempDir()}, map[string]any{"schedule": "* * * * *"}
		var all []string
		for range 20 { // restarted between and at ticks
			all = append(all, run(t, state, spec, 30*time.Second, 0)...)
		}
		if len(all) != 10 && len(all) != 9 {
			t.Fatalf("%d events in ten minutes: %v", len(all), all)
		}
		seen := map[string]bool{}
		for _, id := range all {
			if seen[id] {
				t.Fatalf("%s came twice", id)
			}
			seen[id] = true
		}
	})
}

func TestMissedTicksAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state, spec := source.State{Dir: t.TempDir()}, map[string]any{"schedule": "* * * * *"}
		run(t, state, spec, 90*time.Second, 0)
		time.Sleep(400 * 24 * time.Hour)
		now := time.Now().UTC().Truncate(time.Minute).Format(time.RFC3339)
		if ids := run(t, state, spec, 10*time.Second, 0); len(ids) != 1 || ids[0] != now {
			t.Fatalf("after a long absence %v, want the last time, %s", ids, now)
		}
	})
}

func TestSlowSinkCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := run(t, source.State{Dir: t.TempDir()}, map[string]any{"schedule": "@every 1s"}, time.Minute, 10*time.Second)
		if len(ids) > 6 || len(ids) < 5 {
			t.Fatalf("%v", ids)
		}
	})
}

func TestClockWasAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state, spec := source.State{Dir: t.TempDir()}, map[string]any{"schedule": "* * * * *"}
		id := sourcetest.Config(t, "cron", spec).Identity
		if err := state.Save(id, map[string]time.Time{"last": time.Now().Add(1000 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if ids := run(t, state, spec, 150*time.Second, 0); len(ids) != 2 {
			t.Fatalf("%v", ids)
		}
	})
}

func TestInvalid(t *testing.T) {
	for want, spec := range map[string]map[string]any{
		"schedule": {}, "schedule: ": {"schedule": "every day"}, "timeZone": {"schedule": "@daily", "timeZone": "Mars/Base"},
	} {
		_, err := cron.New(source.State{})(sourcetest.Config(t, "cron", spec))
		var invalid source.Invalid
		if !errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: %v", spec, err)
		}
	}
}

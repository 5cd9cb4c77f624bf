package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	driver "github.com/redis/go-redis/v9"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/redis"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
	"github.com/openfunction/ofn/test/servers"
)

var pool servers.Pool

func TestMain(m *testing.M) { os.Exit(pool.Run(m)) }

func client(t *testing.T, s *servers.Server) *driver.Client {
	t.Helper()
	c := driver.NewClient(&driver.Options{Addr: s.Addr, MaxRetries: 50})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func start(t *testing.T, s *servers.Server, more map[string]any) *sourcetest.Run {
	t.Helper()
	spec := map[string]any{"redisHost": s.Addr, "redisPassword": s.Password}
	for k, v := range more {
		spec[k] = v
	}
	return sourcetest.Start(t, redis.New, sourcetest.Config(t, "redis", spec))
}

// forms are the ways to send to the three kinds.
func forms(ctx context.Context, c *driver.Client) map[string]func(key, data string) error {
	return map[string]func(key, data string) error{
		"stream": func(key, data string) error {
			return c.XAdd(ctx, &driver.XAddArgs{Stream: key, Values: map[string]any{"data": data}}).Err()
		},
		"list":    func(key, data string) error { return c.RPush(ctx, key, data).Err() },
		"channel": func(key, data string) error { return c.Publish(ctx, key, data).Err() },
	}
}

func TestEvents(t *testing.T) {
	s := pool.Get(t, servers.Redis)
	for kind, send := range forms(t.Context(), client(t, s)) {
		t.Run(kind, func(t *testing.T) {
			r := start(t, s, map[string]any{kind: "events-" + kind})
			r.Connected()
			for _, data := range []string{`{"a":1}`, `{"a":1}`, `{"specversion":"1.0","id":"8","source":"/s","type":"t","data":1}`} {
				if err := send("events-"+kind, data); err != nil {
					t.Fatal(err)
				}
			}
			ids := map[string]bool{}
			for range 3 {
				ids[r.Next().ID] = true
			}
			if len(ids) != 3 || !ids["8"] {
				t.Fatalf("ids %v", ids)
			}
		})
	}
}

// TestAway: streams and lists keep what comes while the source is away and what was not safe when it ended.
func TestAway(t *testing.T) {
	s := pool.Get(t, servers.Redis)
	for kind, send := range forms(t.Context(), client(t, s)) {
		if kind == "channel" {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			key := "away-" + kind
			r := start(t, s, map[string]any{kind: key})
			r.Connected()
			r.Hold()
			if err := errors.Join(send(key, "unsafe"), send(key, "unsafe too")); err != nil {
				t.Fatal(err)
			}
			r.Stop()
			if err := send(key, "meanwhile"); err != nil {
				t.Fatal(err)
			}
			r = start(t, s, map[string]any{kind: key})
			r.Until(map[string]bool{"unsafe": true, "unsafe too": true, "meanwhile": true})
			r.Stop()
			if left, err := client(t, s).LLen(t.Context(), key+":ns-es-ev").Result(); kind == "list" && (err != nil || left != 0) {
				t.Fatalf("%d elements are left behind, %v", left, err)
			}
		})
	}
}

func TestBrokerDies(t *testing.T) {
	s := servers.Redis(t)
	c := client(t, s)
	for kind, send := range forms(t.Context(), c) {
		if kind == "channel" {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			r := start(t, s, map[string]any{kind: "dies-" + kind})
			r.Connected()
			want := map[string]bool{}
			for i := range 400 {
				if i == 200 {
					r.Next()
					s.Kill()
					s.Restart()
				}
				data := fmt.Sprint("event ", i)
				want[data] = true
				if err := send("dies-"+kind, data); err != nil {
					t.Fatal(err)
				}
			}
			delete(want, "event 0") // the one that was looked at
			r.Until(want)
		})
	}
}

func TestCredentials(t *testing.T) {
	s := servers.Redis(t, servers.Password("right"))
	for _, wrong := range []string{"", "wrong"} {
		r := start(t, s, map[string]any{"redisPassword": wrong})
		if err := r.Trouble(); !errors.Is(err, source.ErrDenied) {
			t.Fatal(err)
		}
		r.Stop()
	}
	start(t, s, nil).Connected()
}

func TestDownAtStart(t *testing.T) {
	s := servers.Redis(t)
	s.Kill()
	r := start(t, s, map[string]any{"stream": "late"})
	if err := r.Trouble(); err == nil {
		t.Fatal("it does not say that the broker is away")
	}
	s.Restart()
	r.Connected()
}

func TestInvalid(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"no host": {}, "two kinds": {"redisHost": "x", "list": "a", "stream": "b"}, "duration": {"redisHost": "x", "dialTimeout": "soon"}, "sentinel": {"redisHost": "x", "failover": true},
	} {
		var invalid source.Invalid
		if _, err := redis.New(sourcetest.Config(t, "redis", spec)); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An entry that was deleted while it was under way is no event any more: Redis gives its place, and nothing else.
func TestAnEntryThatIsGone(t *testing.T) {
	s := pool.Get(t, servers.Redis)
	c := client(t, s)
	send := forms(t.Context(), c)["stream"]
	r := start(t, s, map[string]any{"stream": "gone"})
	r.Connected()
	r.Hold()
	if err := send("gone", "deleted"); err != nil {
		t.Fatal(err)
	}
	var id string
	for id == "" && t.Context().Err() == nil {
		pending, err := c.XPending(t.Context(), "gone", "ns-es-ev").Result()
		if err != nil {
			t.Fatal(err)
		}
		id = pending.Lower
	}
	r.Stop()
	if err := c.XDel(t.Context(), "gone", id).Err(); err != nil {
		t.Fatal(err)
	}
	if err := send("gone", "kept"); err != nil {
		t.Fatal(err)
	}
	r = start(t, s, map[string]any{"stream": "gone"})
	if e := r.Next(); string(e.Data) != "kept" {
		t.Errorf("%q came", e.Data)
	}
	r.Stop()
	if pending, err := c.XPending(t.Context(), "gone", "ns-es-ev").Result(); err != nil || pending.Count != 0 {
		t.Errorf("%+v is left of it, %v", pending, err)
	}
}

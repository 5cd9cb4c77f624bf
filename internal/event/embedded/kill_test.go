package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/deliver/letters"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/redis"
	"github.com/openfunction/ofn/test/servers"
)

// child is set in the process that TestKilled kills: the directory and the broker.
const child = "OFN_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(child); dir != "" {
		if err := platform(dir, os.Getenv("OFN_TEST_CHILD_REDIS")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// engineAt is an engine over real storage.
func engineAt(dir string) (*embedded.Engine, *jetstream.Embedded, error) {
	server := jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: filepath.Join(dir, "nats"), Log: slog.New(slog.DiscardHandler)})
	e, err := embedded.New(embedded.Options{
		Log: slog.New(slog.DiscardHandler), State: source.State{Dir: filepath.Join(dir, "state")},
		Sources: map[string]source.New{"redis": redis.New},
		Buses: map[string]func(event.Bus) (bus.Bus, error){"embedded": func(b event.Bus) (bus.Bus, error) {
			return jetstream.New(server, jetstream.Options{Name: b.String()}), nil
		}},
		Deliver: deliver.Options{Letters: letters.New(server, letters.Options{})},
	})
	return e, server, err
}

// platform runs until it is killed.
func platform(dir, addr string) error {
	e, _, err := engineAt(dir)
	if err != nil {
		return err
	}
	spec, err := json.Marshal(map[string]any{"redisHost": addr, "stream": "in"})
	if err != nil {
		return err
	}
	err = e.ApplySource(context.Background(), event.Source{Name: name, Event: "ev", Kind: "redis", Spec: spec, Topic: "t", Bus: event.Name{Name: "default"}})
	if err != nil {
		return err
	}
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test has gone
	return nil
}

// TestKilled: kill -9 of the platform at any point between a broker and the bus loses nothing.
func TestKilled(t *testing.T) {
	const kills, each = 8, 250
	broker, dir := servers.Redis(t), t.TempDir()
	db := driver.NewClient(&driver.Options{Addr: broker.Addr})
	t.Cleanup(func() { _ = db.Close() })
	if err := db.XGroupCreateMkStream(t.Context(), "in", "ns-es-ev", "0").Err(); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for k := range kills {
		stop := run(t, dir, broker.Addr)
		for i := range each {
			data := fmt.Sprint(k, "-", i)
			want[data] = true
			if err := db.XAdd(t.Context(), &driver.XAddArgs{Stream: "in", Values: map[string]any{"data": data}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		progress(t, db, k*each+rand.IntN(each))
		stop()
	}
	stop := run(t, dir, broker.Addr)
	progress(t, db, kills*each)
	stop()
	e, _, err := engineAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	b, release, err := e.Bus(event.Name{Name: "default"})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	total := 0
	err = b.Read(t.Context(), []string{"t"}, bus.From{All: true}, false, func(s bus.Stored) error {
		total++
		delete(want, string(s.Data))
		return nil
	})
	if err != nil || len(want) != 0 || total != kills*each {
		t.Fatalf("%v; %d events are lost, %d are on the bus for %d sent: those that came twice have one id", err, len(want), total, kills*each)
	}
}

// run starts the platform in a process; stop kills it.
func run(t *testing.T, dir, addr string) (stop func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"="+dir, "OFN_TEST_CHILD_REDIS="+addr)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // closed with this process, whatever ends it
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = stdin.Close()
		}
	}
	t.Cleanup(stop)
	return stop
}

// progress waits until the group has been given at least n entries in all, and, when those are all there are, acknowledged them.
func progress(t *testing.T, db *driver.Client, n int) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		groups, err := db.XInfoGroups(t.Context(), "in").Result()
		if err != nil {
			t.Fatal(err)
		}
		length, err := db.XLen(t.Context(), "in").Result()
		if err != nil {
			t.Fatal(err)
		}
		if g := groups[0]; g.EntriesRead >= int64(n) && (int64(n) < length || g.Pending == 0) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the platform does not get on: %+v", groups[0])
		}
	}
}

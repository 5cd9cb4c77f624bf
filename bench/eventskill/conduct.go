//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/test/servers"
)

const (
	entriesOf  = 5  // one event of so many comes from Redis
	startingOf = 10 // one life of so many ends while it begins
	look       = time.Millisecond
	tellEvery  = 10 * time.Second
	pageOf     = 1000 // dead letters read at once
)

// conductor has everything happen.
type conductor struct {
	o        options
	ledger   *ledger
	function *endpoint
	db       *driver.Client
	redis    string
	client   *hooks
	entries  int // published to Redis so far
	kills    int
	started  time.Time
	told     time.Time
	cleanups []func()
}

// Helper implements servers.T.
func (*conductor) Helper() {}

// Logf implements servers.T.
func (*conductor) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Cleanup implements servers.T.
func (c *conductor) Cleanup(f func()) { c.cleanups = append(c.cleanups, f) }

// Skipf implements servers.T.
func (c *conductor) Skipf(format string, args ...any) { c.Fatalf(format, args...) }

// Fatalf implements servers.T.
func (c *conductor) Fatalf(format string, args ...any) { panic(unable(fmt.Sprintf(format, args...))) }

type unable string

func (c *conductor) cleanup() {
	for i := len(c.cleanups) - 1; i >= 0; i-- {
		c.cleanups[i]()
	}
}

func conduct(ctx context.Context, o options) (err error) {
	c := &conductor{o: o, ledger: newLedger(), started: time.Now(), told: time.Now()}
	defer c.cleanup()
	defer func() {
		if u, ok := recover().(unable); ok {
			err = errors.New(string(u))
		}
	}()
	if o.dir == "" {
		if c.o.dir, err = os.MkdirTemp("", "eventskill"); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.o.dir, 0o700); err != nil {
		return err
	}
	c.redis = servers.Redis(c).Addr
	c.db = driver.NewClient(&driver.Options{Addr: c.redis})
	defer func() { _ = c.db.Close() }()
	if err := c.db.XGroupCreateMkStream(ctx, stream, group, "0").Err(); err != nil {
		return err
	}
	c.function = &endpoint{dir: c.o.dir, ledger: c.ledger}
	if err := c.function.start(); err != nil {
		return err
	}
	defer c.function.end()
	if err := c.all(ctx); err != nil {
		return err
	}
	if err := c.bury(ctx); err != nil {
		return err
	}
	return c.tell()
}

// all publishes and kills, and lets what is left flow.
func (c *conductor) all(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var busy, publishers sync.WaitGroup
	defer busy.Wait()
	defer stop()
	var left atomic.Int64
	left.Store(int64(c.o.events - c.o.events/entriesOf))
	c.client = newHooks(c.o.dir, c.ledger, &left)
	for i := range c.o.publishers {
		publishers.Go(func() { c.client.publish(ctx, string(hookKey)+strconv.Itoa(i)) })
	}
	published := make(chan struct{})
	busy.Go(func() {
		publishers.Wait()
		close(published)
	})
	for life := range c.o.kills {
		if time.Since(c.started) > c.o.most {
			left.Store(0)
			break
		}
		if err := c.life(ctx, life); err != nil {
			return err
		}
	}
	return c.last(ctx, published)
}

// life is one of the platform, until it has got a share of the events, or is killed while it begins.
func (c *conductor) life(ctx context.Context, life int) error {
	p, err := spawn("platform", c.o.dir, c.redis, nil)
	if err != nil {
		return err
	}
	defer func() {
		p.signal(syscall.SIGKILL)
		_ = p.wait()
		c.kills++
	}()
	const starting = 300 * time.Millisecond
	if life%startingOf == 1 {
		pause(ctx, rand.N(starting))
		return ctx.Err()
	}
	share := func(of int) int { return int(int64(of) * int64(life+1) / int64(c.o.kills)) }
	if err := c.add(ctx, share(c.o.events/entriesOf)); err != nil {
		return err
	}
	happens := c.fault(ctx, life)
	for c.ledger.published() < share(c.o.events) && ctx.Err() == nil {
		if p.gone() {
			return fmt.Errorf("the platform ended by itself: %w", p.err)
		}
		pause(ctx, look)
		c.progress()
	}
	pause(ctx, rand.N(20*time.Millisecond)) // the point of the kill
	return errors.Join(<-happens, ctx.Err())
}

func (c *conductor) add(ctx context.Context, upTo int) error {
	err := add(ctx, c.db, c.ledger, c.entries, upTo-c.entries)
	c.entries = upTo
	return err
}

// fault has the function killed or stopped in some lives.
func (c *conductor) fault(ctx context.Context, life int) chan error {
	done := make(chan error, 1)
	due := func(times int) bool {
		return times > 0 && life%max(c.o.kills/times, 1) == 0 && life/max(c.o.kills/times, 1) < times
	}
	go func() {
		var err error
		if due(c.o.functionKills) {
			pause(ctx, rand.N(200*time.Millisecond))
			err = c.function.kill()
		}
		if due(c.o.pauses) {
			c.function.rest(ctx, func(ctx context.Context) { pause(ctx, rand.N(time.Second)) })
		}
		done <- err
	}()
	return done
}

// last is the life that ends when nothing waits.
func (c *conductor) last(ctx context.Context, published <-chan struct{}) error {
	p, err := spawn("platform", c.o.dir, c.redis, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.patience)
	defer cancel()
	select {
	case <-published:
	case <-ctx.Done():
		err = errors.New("the publishers did not get on")
	}
	for err == nil && !c.drained(ctx) {
		if !pause(ctx, 100*look) {
			c.Logf("events still wait after %s", c.o.patience)
			break
		}
		c.progress()
	}
	p.signal(syscall.SIGINT)
	return errors.Join(err, p.wait())
}

func (c *conductor) drained(ctx context.Context) bool {
	groups, err := c.db.XInfoGroups(ctx, stream).Result()
	if err != nil || len(groups) != 1 || groups[0].Pending > 0 || groups[0].EntriesRead < int64(c.entries) {
		return false
	}
	resp, err := c.client.client.Get("http://platform" + lagPath)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK && strings.TrimSpace(string(answer)) == "0"
}

// bury reads the dead letters of the platform that has ended.
func (c *conductor) bury(ctx context.Context) error {
	p, err := assemble(c.o.dir)
	if err != nil {
		return err
	}
	defer func() { _ = p.close() }()
	after := ""
	for {
		page, err := p.dead.List(ctx, deliver.Filter{After: after, Limit: pageOf})
		if err != nil {
			return err
		}
		for _, l := range page {
			id, _, _ := strings.Cut(string(l.Event.Data), " ")
			if err := c.ledger.bury(id); err != nil {
				return err
			}
			after = l.ID
		}
		if len(page) < pageOf {
			return nil
		}
	}
}

func (c *conductor) progress() {
	if time.Since(c.told) >= tellEvery {
		c.told = time.Now()
		fmt.Printf("%5s %d kills, %s\n", time.Since(c.started).Round(time.Second), c.kills, c.ledger)
	}
}

// tell prints what became of everything. Anything lost is an error.
func (c *conductor) tell() error {
	lost := c.ledger.lost()
	for _, row := range []struct {
		what string
		n    int
	}{
		{"kills of the platform", c.kills}, {"kills of the function", min(c.o.functionKills, c.o.kills)}, {"pauses of the function", min(c.o.pauses, c.o.kills)},
		{"events acknowledged", c.ledger.acknowledged}, {"events that reached the function", c.ledger.handled}, {"deliveries beyond the first", c.ledger.again},
		{"dead letters", c.ledger.dead}, {"of them taken by the function as well", c.ledger.both}, {"first deliveries out of order", len(c.ledger.disorder)}, {"events lost", len(lost)},
	} {
		fmt.Printf("%-40s %9d\n", row.what, row.n)
	}
	fmt.Printf("%-40s %9s\n", "time", time.Since(c.started).Round(time.Second))
	const shown = 20
	for _, text := range append(lost[:min(len(lost), shown):min(len(lost), shown)], c.ledger.disorder[:min(len(c.ledger.disorder), shown)]...) {
		fmt.Println(" ", text)
	}
	if len(lost)+len(c.ledger.disorder) > 0 {
		return fmt.Errorf("something was lost or out of order; see %s", c.o.dir)
	}
	if c.o.dir != "" {
		return os.RemoveAll(c.o.dir)
	}
	return nil
}

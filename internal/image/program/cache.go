package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// CacheOptions make a Cache.
type CacheOptions struct {
	// Dir is where programs are kept; what is there is removed.
	Dir string
	// Insecure are registry hosts that are spoken to without TLS.
	Insecure []string
	// Most bounds one program, Total all of them, in bytes.
	Most, Total int64
	Log         *slog.Logger
}

// What a cache does at the same time, and when it tries again what did not work.
const (
	atOnce      = 2
	tryAgain    = 5 * time.Minute
	fetchWithin = 5 * time.Minute
)

// Cache has the programs of images that were asked for. Images are taken for what they were when they were fetched first.
type Cache struct {
	opt      CacheOptions
	ctx      context.Context //nolint:containedctx // of the fetching; Close cancels it
	cancel   context.CancelFunc
	fetching sync.WaitGroup
	slots    *semaphore.Weighted
	fetch    func(ctx context.Context, image string) (Program, error)

	mu     sync.Mutex
	closed bool
	images map[string]*cached
	used   int64
}

type cached struct {
	program *Program // nil: not there yet, or not to be had
	until   time.Time
	busy    bool
}

// OpenCache opens an empty cache.
func OpenCache(o CacheOptions) (*Cache, error) {
	if err := errors.Join(os.RemoveAll(o.Dir), os.MkdirAll(o.Dir, 0o700)); err != nil {
		return nil, fmt.Errorf("making the folder of programs: %w", err)
	}
	c := &Cache{opt: o, slots: semaphore.NewWeighted(atOnce), images: map[string]*cached{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.fetch = func(ctx context.Context, image string) (Program, error) {
		return Fetch(ctx, image, o.Dir, o.Insecure, o.Most)
	}
	return c, nil
}

// Get is the program of an image; nil while it is fetched, which the first question begins, and for images that have none.
func (c *Cache) Get(image string) *Program {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.images[image]
	if i == nil {
		i = &cached{}
		c.images[image] = i
	}
	if i.program == nil && !i.busy && !c.closed && time.Now().After(i.until) {
		i.busy = true
		c.fetching.Go(func() { c.fill(image, i) })
	}
	return i.program
}

func (c *Cache) fill(image string, i *cached) {
	p, err := c.load(image)
	c.mu.Lock()
	defer c.mu.Unlock()
	i.busy = false
	if err == nil && c.used+p.Size > c.opt.Total {
		err = errors.Join(fmt.Errorf("there is no room for image %s: the programs of others have %d bytes", image, c.used), os.Remove(p.File))
	}
	switch {
	case err == nil:
		i.program = &p
		c.used += p.Size
		return
	case errors.Is(err, ErrNotAlone):
		i.until = time.Now().AddDate(100, 0, 0) // it will not become one
	default:
		i.until = time.Now().Add(tryAgain)
	}
	if c.ctx.Err() == nil {
		c.opt.Log.Info("copies of an image are started without warm pods", "image", image, "why", err)
	}
}

func (c *Cache) load(image string) (Program, error) {
	ctx, cancel := context.WithTimeout(c.ctx, fetchWithin)
	defer cancel()
	if err := c.slots.Acquire(ctx, 1); err != nil {
		return Program{}, err
	}
	defer c.slots.Release(1)
	return c.fetch(ctx, image)
}

// Close gives up what is being fetched.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.fetching.Wait()
}

package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/sync/semaphore"
)

// CacheOptions make a Cache.
type CacheOptions struct {
	// Dir is where programs are kept; what is there is removed.
	Dir string
	// Insecure are registry hosts that are spoken to without TLS.
	Insecure []string
	// Bases are the images that warm pods wait in, beside the one that programs need which stand alone; Rooms the folders that they have room in.
	Bases []Base
	Rooms []string
	// Login finds credentials for a registry in secrets of a namespace. Nil has none.
	Login func(ctx context.Context, namespace string, secrets []string, registry string) (authn.Authenticator, error)
	// Changed is called when more is known of an image than before. It must not block.
	Changed func()
	// Most bounds one program, Total all of them, in bytes.
	Most, Total int64
	Log         *slog.Logger
}

// Image is one, and who pulls it: what was pulled with the secrets of a namespace is for those alone who name the same ones.
type Image struct {
	Name      string
	Namespace string
	Secrets   []string
}

func (i Image) key() string {
	if len(i.Secrets) == 0 {
		return i.Name
	}
	return strings.Join(append([]string{i.Name, i.Namespace}, i.Secrets...), "\n")
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
	fetch    func(ctx context.Context, image Image) (Program, error)

	reading sync.Mutex // held while bases are read
	bases   map[Base]*base

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
	c := &Cache{opt: o, slots: semaphore.NewWeighted(atOnce), images: map[string]*cached{}, bases: map[Base]*base{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.fetch = c.pull
	return c, nil
}

// Get is the program of an image; nil while it is fetched, which the first question begins, and for images that have none.
func (c *Cache) Get(image Image) *Program {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.images[image.key()]
	if i == nil {
		i = &cached{}
		c.images[image.key()] = i
	}
	if i.program == nil && !i.busy && !c.closed && time.Now().After(i.until) {
		i.busy = true
		c.fetching.Go(func() {
			c.fill(image, i)
			if c.opt.Changed != nil {
				c.opt.Changed()
			}
		})
	}
	return i.program
}

// pull gets what there is to run of an image.
func (c *Cache) pull(ctx context.Context, image Image) (Program, error) {
	var login func(string) (authn.Authenticator, error)
	if len(image.Secrets) > 0 && c.opt.Login != nil {
		login = func(registry string) (authn.Authenticator, error) {
			return c.opt.Login(ctx, image.Namespace, image.Secrets, registry)
		}
	}
	img, err := pull(ctx, image.Name, c.opt.Insecure, login)
	if err != nil {
		return Program{}, err
	}
	p, err := Extract(img, c.opt.Dir, c.opt.Most)
	if err == nil || !errors.Is(err, ErrNotAlone) {
		return p, err
	}
	why := []error{err}
	for _, named := range c.opt.Bases {
		b, err := c.base(ctx, named)
		if err != nil {
			return Program{}, err
		}
		if p, err = b.parts(img, c.opt.Rooms, c.opt.Dir, c.opt.Most); err == nil || !errors.Is(err, ErrNotAlone) {
			return p, err
		}
		why = append(why, fmt.Errorf("warm pods %s: %w", named.Name, err))
	}
	return Program{}, errors.Join(why...)
}

// base is what is known of a Base, whose image it reads once.
func (c *Cache) base(ctx context.Context, of Base) (*base, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if b := c.bases[of]; b != nil {
		return b, nil
	}
	img, err := pull(ctx, of.Image, c.opt.Insecure, nil)
	if err != nil {
		return nil, fmt.Errorf("warm pods %s: %w", of.Name, err)
	}
	b, err := readBase(of, img, c.opt.Rooms)
	if err != nil {
		return nil, fmt.Errorf("warm pods %s: image %s: %w", of.Name, of.Image, err)
	}
	c.bases[of] = b
	return b, nil
}

func (c *Cache) fill(image Image, i *cached) {
	p, err := c.load(image)
	c.mu.Lock()
	defer c.mu.Unlock()
	i.busy = false
	if err == nil && c.used+p.Size > c.opt.Total {
		err = errors.Join(fmt.Errorf("there is no room for image %s: the programs of others have %d bytes", image.Name, c.used), os.Remove(p.File))
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
		c.opt.Log.Info("copies of an image are started without warm pods", "image", image.Name, "why", err)
	}
}

func (c *Cache) load(image Image) (Program, error) {
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

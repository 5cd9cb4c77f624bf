package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
)

// ErrClosed is returned for what comes after Close.
var ErrClosed = errors.New("the event store is closed")

// EmbeddedOptions say where and how an Embedded keeps its events.
type EmbeddedOptions struct {
	// Dir holds everything. One process at a time may use it: its owner keeps others away.
	Dir string
	// MaxMessage is the largest event with its header, in bytes; 0 is 8 MiB.
	MaxMessage int32
	// Reserve is how many bytes of the disk are left free: with less, events are refused. 0 is 64 MiB.
	Reserve int64
	// Listen lets other processes in; nil is nobody but this one.
	Listen *Listen
	Log    *slog.Logger
}

// Embedded is a NATS server in this process. It is started by the first call that needs it, syncs every event to disk before
// it is acknowledged, and is reached through memory only. Its methods may be called from any goroutine.
type Embedded struct {
	opts EmbeddedOptions

	running atomic.Pointer[server.Server]
	failed  atomic.Pointer[failure] // of the server that runs

	mu     sync.Mutex
	conn   *nats.Conn
	closed bool
	healed time.Time // when the server was last started anew because it had given up its disk
}

// NewEmbedded prepares a server; nothing is started or written yet.
func NewEmbedded(o EmbeddedOptions) *Embedded {
	if o.MaxMessage == 0 {
		o.MaxMessage = 8 << 20
	}
	if o.Reserve == 0 {
		o.Reserve = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Embedded{opts: o}
}

// Exists tells whether something was kept here before: then it is to be opened at start, because somebody may wait for it.
func (e *Embedded) Exists() bool {
	entries, err := os.ReadDir(e.streams())
	return err == nil && len(entries) > 0
}

// Open starts the server if it does not run. The error names the directory and says what to do.
func (e *Embedded) Open(ctx context.Context) error {
	_, err := e.Conn(ctx)
	return err
}

// Conn is the connection that everything in this process shares, to a server that runs.
func (e *Embedded) Conn(ctx context.Context) (*nats.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return nil, ErrClosed
	case e.conn != nil:
		return e.conn, nil
	}
	if err := e.start(ctx); err != nil {
		return nil, err
	}
	return e.conn, nil
}

// JetStream is Conn with its streams, for those that keep their own beside the buses.
func (e *Embedded) JetStream(ctx context.Context) (jetstream.JetStream, error) {
	nc, err := e.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return jetstream.New(nc)
}

// Room is nil as long as the disk has room for more. Whoever publishes asks before: a server that meets a full disk gives up
// the stream it was writing.
func (e *Embedded) Room() error { return e.roomOf(e.opts.Reserve) }

// roomOf is nil as long as so many bytes of the disk are left.
func (e *Embedded) roomOf(reserve int64) error {
	free, err := freeBytes(e.opts.Dir)
	for dir := e.opts.Dir; errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir); { // it is made when it is needed
		dir = filepath.Dir(dir)
		free, err = freeBytes(dir)
	}
	if err != nil {
		return fmt.Errorf("finding the room left for events in %s: %w", e.opts.Dir, err)
	}
	if free < reserve {
		return fmt.Errorf("%w: the disk of %s has %d MiB left, %d MiB are kept free; make room there",
			bus.ErrFull, e.opts.Dir, free>>20, reserve>>20)
	}
	return nil
}

// Close stops the server and gives the directory back. What was published is on disk already.
func (e *Embedded) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.stop()
	return nil
}

// InProcessConn connects to the server that runs now, for a client that reconnects: see heal.
func (e *Embedded) InProcessConn() (net.Conn, error) {
	srv := e.running.Load()
	if srv == nil {
		return nil, ErrClosed
	}
	return srv.InProcessConn()
}

// heal starts a server anew that gave up writing, if the disk has room again.
func (e *Embedded) heal(ctx context.Context) error { return e.replace(ctx, e.failure()) }

// replace is heal for who met a failure of one server: it leaves one alone that another has started since, however long that took.
func (e *Embedded) replace(ctx context.Context, met *failure) error {
	const pause = 2 * time.Second
	// Half of what Room asks for is enough: what is kept may have taken the disk up to its reserve, and goes only once it is handled.
	if err := e.roomOf(e.opts.Reserve / 2); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.conn == nil || e.failure() != met || time.Since(e.healed) < pause {
		return nil
	}
	e.opts.Log.Warn("starting the event store anew: it could not write", "dir", e.opts.Dir)
	e.shutdown()
	err := e.serve(ctx)
	e.healed = time.Now()
	return err
}

// Heal is for those that keep their own streams here, after a write that failed: see heal.
func (e *Embedded) Heal(ctx context.Context) error { return e.heal(ctx) }

func (e *Embedded) streams() string {
	return filepath.Join(e.opts.Dir, server.JetStreamStoreDir, "$G", "streams")
}

func (e *Embedded) failure() *failure { return e.failed.Load() }

func (e *Embedded) groups() bool { return true }

func (e *Embedded) share() int64 { return 10 << 30 }

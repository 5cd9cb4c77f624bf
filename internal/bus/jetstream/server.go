package jetstream

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
)

const (
	startTimeout = time.Minute
	readyTimeout = 5 * time.Second // at least, whatever the caller's patience
)

// start brings up the server and the connection; e.mu is held.
func (e *Embedded) start(ctx context.Context) error {
	if err := os.MkdirAll(e.opts.Dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of events: %w", err)
	}
	if err := e.Room(); err != nil {
		return err
	}
	if err := e.serve(ctx); err != nil {
		e.shutdown()
		return err
	}
	nc, err := nats.Connect("", append(e.opts.Listen.login(), nats.InProcessServer(e), nats.Name("ofn"), nats.NoEcho(), nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0), nats.PingInterval(time.Hour),
		nats.ErrorHandler(complain(e.opts.Log)))...)
	if err != nil {
		e.shutdown()
		return fmt.Errorf("connecting to the event store in %s: %w", e.opts.Dir, err)
	}
	if err := e.check(ctx, nc); err != nil {
		nc.Close()
		e.shutdown()
		return err
	}
	e.conn = nc
	return nil
}

// complain tells of what the client has nobody else to tell.
func complain(log *slog.Logger) nats.ErrHandler {
	return func(_ *nats.Conn, sub *nats.Subscription, err error) {
		subject := ""
		if sub != nil {
			subject = sub.Subject
		}
		log.Warn("NATS client", "subject", subject, "error", err)
	}
}

// stop is start's opposite; e.mu is held.
func (e *Embedded) stop() {
	if e.conn != nil {
		e.conn.Close()
		e.conn = nil
	}
	e.shutdown()
}

func (e *Embedded) shutdown() {
	if srv := e.running.Swap(nil); srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

func (e *Embedded) serve(ctx context.Context) error {
	failed := &failure{happened: make(chan struct{})}
	log := &serverLog{log: e.opts.Log, failed: failed}
	options := &server.Options{
		ServerName:             "ofn",
		DontListen:             true,
		JetStream:              true,
		StoreDir:               e.opts.Dir,
		SyncAlways:             true,
		JetStreamMaxMemory:     64 << 20,
		JetStreamMaxStore:      math.MaxInt64 / 4, // buses bound themselves; Room minds the disk
		MaxPayload:             e.opts.MaxMessage,
		MaxPending:             256 << 20,
		NoSigs:                 true,
		NoSystemAccount:        true,
		DisableJetStreamBanner: true,
	}
	e.opts.Listen.apply(options)
	srv, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("preparing the event store in %s: %w", e.opts.Dir, err)
	}
	srv.SetLoggerV2(log, false, false, false)
	e.running.Store(srv)
	e.failed.Store(failed)
	srv.Start()
	wait := startTimeout
	if deadline, ok := ctx.Deadline(); ok { // which reading what is kept may have taken: what is ready by then must not be begun again
		wait = min(wait, max(time.Until(deadline), readyTimeout))
	}
	if !srv.ReadyForConnections(wait) || !srv.JetStreamEnabled() {
		err := fmt.Errorf("starting the event store in %s: %s; make the directory readable and writable, or move it away to start with no events",
			e.opts.Dir, log.why())
		failed.set(err) // so that heal tries again
		return err
	}
	return nil
}

// check finds what the server left out because it could not read it: going on would hide events that were promised to be kept.
func (e *Embedded) check(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	list := js.StreamNames(ctx)
	for name := range list.Name() {
		known[name] = true
	}
	if err := list.Err(); err != nil {
		return fmt.Errorf("listing what is in the event store in %s: %w", e.opts.Dir, err)
	}
	dirs, err := os.ReadDir(e.streams())
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("listing what is in the event store: %w", err)
	}
	for _, d := range dirs {
		dir := filepath.Join(e.streams(), d.Name())
		if known[d.Name()] || !d.IsDir() || strings.HasPrefix(d.Name(), ".") || !holdsEvents(dir) {
			continue
		}
		return fmt.Errorf("the event store is damaged: %s cannot be read; restore it from a copy, or move that directory away to lose the events in it", dir)
	}
	return nil
}

// holdsEvents is false for the remains of a stream whose creation was cut short.
func holdsEvents(stream string) bool {
	blocks, _ := filepath.Glob(filepath.Join(stream, "msgs", "*.blk"))
	for _, b := range blocks {
		if info, err := os.Stat(b); err == nil && info.Size() > 0 {
			return true
		}
	}
	return false
}

func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:gosec,unconvert // sizes of disks; the types differ between systems
}

// serverLog passes on what the server warns of, and remembers it to say why a start failed.
type serverLog struct {
	log    *slog.Logger
	failed *failure

	mu   sync.Mutex
	last []string
}

func (l *serverLog) why() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) == 0 {
		return "it did not become ready in time"
	}
	return strings.Join(l.last, "; ")
}

func (l *serverLog) keep(text string) string {
	text = strings.TrimSpace(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last = append(l.last, text); len(l.last) > 4 {
		l.last = l.last[1:]
	}
	return text
}

func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("event store: " + l.keep(fmt.Sprintf(format, v...)))
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error("event store: " + l.keep(fmt.Sprintf(format, v...)))
	for _, arg := range v {
		if err, ok := arg.(error); ok && isDisk(err) {
			l.failed.set(err)
		}
	}
}

// Fatalf only tells: ending the process is not the server's to decide.
func (l *serverLog) Fatalf(format string, v ...any) { l.Errorf(format, v...) }

func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("event store: " + strings.TrimSpace(fmt.Sprintf(format, v...)))
}

func (*serverLog) Debugf(string, ...any) {}

func (*serverLog) Tracef(string, ...any) {}

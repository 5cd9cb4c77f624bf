package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// ErrNoLog means that no log is kept for a build.
var ErrNoLog = errors.New("no log is kept for this build")

// Logs keeps the log of every build in a file of its own, and lets readers follow those that are being written.
type Logs struct {
	dir string
	max int64

	mu   sync.Mutex
	live map[string]*liveLog
}

// NewLogs keeps logs in dir, at most maxBytes of each. The outcome of a build is kept even when its log was cut.
func NewLogs(dir string, maxBytes int64) (*Logs, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("preparing the directory of build logs: %w", err)
	}
	return &Logs{dir: dir, max: maxBytes, live: map[string]*liveLog{}}, nil
}

// Record returns s with every build's log kept, its outcome as last line. A second build of the same ID overwrites the log of the first.
func (l *Logs) Record(s Strategy) Strategy { return recorded{next: s, logs: l} }

// LogPath is where the log of a build is kept. The file may not exist.
func (l *Logs) LogPath(id string) string {
	return filepath.Join(l.dir, url.PathEscape(id)+".log")
}

// Remove forgets the log of a build. It is no error when there is none.
func (l *Logs) Remove(id string) error {
	if err := os.Remove(l.LogPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a build log: %w", err)
	}
	return nil
}

// Kept are the IDs of the builds whose logs are kept.
func (l *Logs) Kept() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("listing build logs: %w", err)
	}
	var ids []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".log")
		if id, err := url.PathUnescape(name); ok && err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Follow reads the log of a build from its beginning; while the build runs, reading waits for more. It ends with io.EOF when the build has
// ended, and with the error of ctx. ErrNoLog when there is neither a log nor a running build.
func (l *Logs) Follow(ctx context.Context, id string) (io.ReadCloser, error) {
	live, f, err := l.open(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("build %s: %w", id, ErrNoLog)
	}
	if err != nil {
		return nil, fmt.Errorf("opening a build log: %w", err)
	}
	cause := func() error { return context.Cause(ctx) }
	return &follower{file: f, live: live, done: ctx.Done(), cause: cause}, nil
}

// open opens the log of a build, with what is nil when the build does not run. As in begin, both come at once: the file of a build that has
// begun meanwhile would be taken for one that has ended.
func (l *Logs) open(id string) (*liveLog, *os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.Open(l.LogPath(id))
	return l.live[id], f, err
}

func (l *Logs) begin(id string) (*liveLog, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.LogPath(id), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening a build log: %w", err)
	}
	live := &liveLog{file: f, left: l.max, changed: make(chan struct{})}
	l.live[id] = live
	return live, nil
}

func (l *Logs) end(id string, live *liveLog) {
	l.mu.Lock()
	if l.live[id] == live {
		delete(l.live, id)
	}
	l.mu.Unlock()
	live.close()
}

type recorded struct {
	next Strategy
	logs *Logs
}

func (r recorded) Build(ctx context.Context, req Request, log io.Writer) (Result, error) {
	live, err := r.logs.begin(req.ID)
	if err != nil {
		return Result{}, err
	}
	defer r.logs.end(req.ID, live)
	res, err := r.next.Build(ctx, req, io.MultiWriter(live, log))
	live.outcome(res, err)
	return res, err
}

// liveLog is a log that is being written. It takes everything and keeps what fits.
type liveLog struct {
	mu      sync.Mutex
	file    *os.File
	left    int64
	ended   bool
	changed chan struct{} // closed and replaced at every change
}

func (l *liveLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left <= 0 {
		return len(p), nil
	}
	keep := p
	if int64(len(keep)) > l.left {
		keep = append(append([]byte{}, p[:l.left]...), "\n[the rest of this log was not kept]\n"...)
	}
	l.left -= int64(len(p))
	return len(p), l.put(keep)
}

// put needs l.mu.
func (l *liveLog) put(p []byte) error {
	_, err := l.file.Write(p)
	close(l.changed)
	l.changed = make(chan struct{})
	if err != nil {
		return fmt.Errorf("keeping the build log: %w", err)
	}
	return nil
}

func (l *liveLog) outcome(res Result, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("succeeded: %s\n", res.Digest)
	var f *Failure
	switch {
	case errors.As(err, &f):
		text = fmt.Sprintf("failed (%s): %s\n", f.Reason, f.Message)
	case err != nil:
		text = fmt.Sprintf("not finished: %v\n", err)
	}
	// The build's own result matters more than its log.
	_ = l.put([]byte(text))
}

func (l *liveLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	close(l.changed)
	l.changed = make(chan struct{})
	l.file.Close()
}

// state tells whether the log has ended, and what is closed at the next change.
func (l *liveLog) state() (ended bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended, l.changed
}

type follower struct {
	file  *os.File
	live  *liveLog // nil when the build had ended already
	done  <-chan struct{}
	cause func() error // why done is closed
}

func (f *follower) Read(p []byte) (int, error) {
	for {
		ended, changed := true, (<-chan struct{})(nil)
		if f.live != nil {
			ended, changed = f.live.state()
		}
		n, err := f.file.Read(p)
		if n > 0 || ended || !errors.Is(err, io.EOF) {
			return n, err
		}
		select {
		case <-changed:
		case <-f.done:
			return 0, f.cause()
		}
	}
}

// Close releases the file.
func (f *follower) Close() error { return f.file.Close() }

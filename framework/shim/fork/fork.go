// Package fork runs a program once for each call: the call's body is its standard input, its standard output is the answer.
package fork

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/openfunction/ofn/framework/shim/host"
)

// Program is what runs for each call.
type Program struct {
	host.Command
	// Timeout ends a call, with everything the program started; 0 is none.
	Timeout time.Duration
	// Combine makes standard error part of the answer; otherwise it goes to the log.
	Combine bool
	// Debug tells of each call in the log.
	Debug bool
	Log   *slog.Logger
}

// Errors of Run besides those of the program.
var (
	// ErrTimeout says that the program was killed because it ran too long.
	ErrTimeout = errors.New("the program ran too long and was killed")
	// ErrGone says that the caller went away, and the program was killed.
	ErrGone = errors.New("the caller went away")
)

// ExitError is a program that ended badly.
type ExitError struct {
	How   string // "ended with exit code 3"
	Words string // the last it said on standard error, where that is known
}

// Error says how it ended, and its last words.
func (e *ExitError) Error() string {
	if e.Words == "" {
		return "the program " + e.How
	}
	return fmt.Sprintf("the program %s: %s", e.How, e.Words)
}

// Run runs the program for one call. out gets its standard output as it comes; an error of out ends the program.
func (p *Program) Run(w http.ResponseWriter, r *http.Request, env []string, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	if limit := p.limit(r); limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, limit, ErrTimeout)
		defer stop()
	}
	cmd := p.Cmd()
	cmd.Env = append(append([]string{}, cmd.Env...), env...)
	_ = http.NewResponseController(w).EnableFullDuplex() // or the answer waits for a body that the program may not want
	c := &call{r: r, header: w.Header(), out: out}
	c.read.Store(r.ContentLength == 0)
	return p.run(ctx, cmd, c)
}

// limit is the shorter of the contract's time and what the caller waits for.
func (p *Program) limit(r *http.Request) time.Duration {
	limit := p.Timeout
	if ms, err := strconv.ParseInt(r.Header.Get("X-OpenFunction-Timeout-Ms"), 10, 44); err == nil && ms > 0 {
		if caller := time.Duration(ms) * time.Millisecond; limit == 0 || caller < limit {
			limit = caller
		}
	}
	return limit
}

func (p *Program) run(ctx context.Context, cmd *exec.Cmd, c *call) error {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("preparing the program: %w", err)
	}
	stdout, end, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("preparing the program: %w", err), stdin.Close())
	}
	defer stdout.Close()
	cmd.Stdout = end
	if p.Combine {
		cmd.Stderr = end
	}
	began := time.Now()
	err = cmd.Start()
	_ = end.Close() // the program has its own
	if err != nil {
		_ = stdin.Close()
		return host.Explain(cmd.Path, err)
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		c.feed(stdin)
	}()
	unkill := context.AfterFunc(ctx, func() { host.Kill(cmd, syscall.SIGKILL) })
	_, copied := io.Copy(c, stdout)
	if copied != nil {
		host.Kill(cmd, syscall.SIGKILL)
	}
	waited := cmd.Wait()
	unkill()
	host.Kill(cmd, syscall.SIGKILL)            // what it left behind
	ended := outcome(ctx, cmd, waited, copied) // before the caller is cut off below, which looks as if it had gone
	c.leave()
	if c.read.Load() {
		<-fed
	} else { // the caller still sends what nobody reads
		host.BreakOff(c.r)
		<-fed
	}
	if p.Debug {
		p.Log.Info("call ended", "program", cmd.Path, "pid", cmd.Process.Pid, "took", time.Since(began).String(), "how", host.Ending(cmd.ProcessState))
	}
	return ended
}

// call is one call of a program.
type call struct {
	r      *http.Request
	header http.Header // of the answer
	out    io.Writer
	read   atomic.Bool // the whole body
}

// feed gives the program the body. It need not read all, and a caller that goes away ends the context of the run.
func (c *call) feed(stdin io.WriteCloser) {
	defer stdin.Close()
	_, _ = io.Copy(stdin, eof{c.r.Body, &c.read})
}

// eof notes the end of what it reads.
type eof struct {
	io.Reader
	seen *atomic.Bool
}

// Read reads.
func (e eof) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	if errors.Is(err, io.EOF) {
		e.seen.Store(true)
	}
	return n, err
}

// Write takes what the program says.
func (c *call) Write(b []byte) (int, error) {
	c.leave()
	return c.out.Write(b)
}

// leave ends the connection with the answer where the caller still sends, if the answer has not begun: nobody may read the rest.
func (c *call) leave() {
	if !c.read.Load() {
		c.header.Set("Connection", "close")
	}
}

// outcome says why a run failed, the first cause first.
func outcome(ctx context.Context, cmd *exec.Cmd, waited, copied error) error {
	var exit *exec.ExitError
	switch {
	case errors.Is(context.Cause(ctx), ErrTimeout):
		return ErrTimeout
	case ctx.Err() != nil:
		return ErrGone
	case copied != nil:
		return copied
	case errors.As(waited, &exit):
		return &ExitError{How: host.Ending(cmd.ProcessState)}
	case waited != nil:
		return fmt.Errorf("waiting for the program: %w", waited)
	}
	return nil
}

// Stream writes an answer as it comes: each write is flushed.
type Stream struct {
	W     http.ResponseWriter
	Begun bool
}

// Write sends and flushes.
func (s *Stream) Write(b []byte) (int, error) {
	s.Begun = true
	n, err := s.W.Write(b)
	if err == nil {
		err = http.NewResponseController(s.W).Flush()
	}
	return n, err
}

// Buffer holds an answer of a bounded size.
type Buffer struct {
	bytes.Buffer
	Most int
}

// ErrTooLarge says that a program said more than may be held in memory.
var ErrTooLarge = errors.New("the program said more than may be held in memory, and was killed")

// Write refuses what is too much.
func (b *Buffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.Most {
		return 0, ErrTooLarge
	}
	return b.Buffer.Write(p)
}

// ReadFrom hides the one of bytes.Buffer, which knows no bound.
func (b *Buffer) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{b}, r)
}

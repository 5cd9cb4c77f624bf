package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/guest"
)

// errTimeout and errTooMuch are causes of the end of a request.
var (
	errTimeout = errors.New("the time for a request is over")
	errTooMuch = errors.New("the response is larger than is allowed")
)

type connKey struct{}

// call serves one request to a copy.
func call(w http.ResponseWriter, r *http.Request) {
	conn, _ := r.Context().Value(connKey{}).(*copyConn)
	c := conn.owner()
	if c == nil || !c.enter() {
		w.Header().Set("Connection", "close")
		http.Error(w, "this copy of the function is ending", http.StatusServiceUnavailable)
		return
	}
	defer c.exitRequest()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(errStopped) })()
	if c.spec.Timeout > 0 {
		t := time.AfterFunc(c.spec.Timeout, func() { cancel(errTimeout) })
		defer t.Stop()
	}
	body := &watched{ReadCloser: r.Body, endless: r.ContentLength < 0}
	r.Body = body
	_ = http.NewResponseController(w).EnableFullDuplex() // a function may answer while it reads
	began := time.Now()
	out := &limited{ResponseWriter: w, body: body, left: c.spec.Output, cancel: cancel}
	var err error
	if c.program.Kind == guest.Handler {
		err = c.handle(ctx, out, r)
	} else {
		err = c.command(ctx, out, r)
	}

	c.busy.Add(int64(time.Since(began)))
	if err != nil {
		c.failed(out, r, err)
	}
	out.begin()
	body.finish()
}

// watched is a body that knows whether it was read to its end.
type watched struct {
	io.ReadCloser
	endless bool // its length is not known
	ended   bool
}

// Read implements io.Reader.
func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

// open is whether the caller may wait for the answer before it ends the body.
func (b *watched) open() bool { return b.endless && !b.ended }

// finish reads what is left of a body of known length, up to the limit of net/http: left to net/http, that breaks a connection with full
// duplex (go.dev/issue/68560).
func (b *watched) finish() {
	if !b.open() {
		_ = b.Close()
	}
}

// handle has a request handled by an instance that goes on afterwards, unless it failed.
func (c *copyOf) handle(ctx context.Context, out *limited, r *http.Request) error {
	i, err := c.pool.take(ctx, c.maker.Handler)
	if err != nil {
		return err
	}
	err = i.Handle(ctx, &guest.Exchange{Request: r, Writer: out})
	var said *guest.HandlerError
	c.pool.put(i, err == nil || errors.As(err, &said))
	return err
}

// command runs the module once.
func (c *copyOf) command(ctx context.Context, out *limited, r *http.Request) error {
	if err := c.pool.enter(ctx); err != nil {
		return err
	}
	defer c.pool.drop()
	answer := &cgiResponse{to: out}
	for {
		alone := c.pool.alone() // one that ends meanwhile makes room
		err := c.maker.Command(ctx, guest.IO{Stdin: r.Body, Stdout: answer, Env: cgiEnv(r)})
		if errors.Is(err, guest.ErrNoRoom) && !alone {
			if err = c.pool.wait(ctx); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		return answer.finish()
	}
}

// failed answers a request whose handling failed, and logs why. A response that has begun is cut off.
func (c *copyOf) failed(out *limited, r *http.Request, err error) {
	cause := context.Cause(r.Context())
	if cause != nil && !errors.Is(err, errTimeout) && !errors.Is(err, errTooMuch) {
		panic(http.ErrAbortHandler) // the caller is gone
	}
	code, message := http.StatusInternalServerError, "the function failed"
	var trap *guest.TrapError
	switch {
	case errors.Is(err, errTimeout):
		code, message = http.StatusGatewayTimeout, fmt.Sprintf("the function did not answer within %v", c.spec.Timeout)
		err = errors.New(message)
	case errors.Is(err, errTooMuch):
		message = fmt.Sprintf("the response of the function is larger than %d bytes", c.spec.Output)
		err = errors.New(message)
	case errors.Is(err, errStopped):
		code, message = http.StatusServiceUnavailable, "the copy of the function was stopped"
	case errors.Is(err, guest.ErrNoRoom):
		message = "the function has not enough memory"
	case guest.OutOfMemory(err):
		message = "the function ran out of memory"
		err = fmt.Errorf("%w; its limit is %d MiB: raise resources.limits.memory", err, c.budget.Limit()>>20)
	case errors.As(err, &trap):
		message = "the function trapped: " + firstLine(trap.Error())
	}
	if errors.Is(err, guest.ErrNoRoom) {
		err = fmt.Errorf("%w; its limit is %d MiB: raise resources.limits.memory", err, c.budget.Limit()>>20)
	}
	c.log.line("%s %s%s: %v", r.Method, r.URL.Path, requestID(r), err)
	if out.began {
		panic(http.ErrAbortHandler)
	}
	h := out.Header()
	for k := range h {
		h.Del(k)
	}
	out.begin()
	http.Error(out.ResponseWriter, message, code)
}

func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); id != "" {
		return fmt.Sprintf(" (request %.64q)", id)
	}
	return ""
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// limited is a response that may not be larger than it may.
type limited struct {
	http.ResponseWriter
	body   *watched // of the request
	left   int64    // bytes; 0 is no limit
	over   bool
	began  bool
	cancel context.CancelCauseFunc
}

// WriteHeader implements http.ResponseWriter.
func (l *limited) WriteHeader(code int) {
	l.begin()
	l.ResponseWriter.WriteHeader(code)
}

// begin is called before the head goes out. The connection ends with an answer to a body that may never end: see finish.
func (l *limited) begin() {
	if !l.began && l.body.open() {
		l.Header().Set("Connection", "close")
	}
	l.began = true
}

// Write implements http.ResponseWriter.
func (l *limited) Write(p []byte) (int, error) {
	l.begin()
	if l.over || l.left > 0 && int64(len(p)) > l.left {
		l.over = true
		l.cancel(errTooMuch)
		return 0, errTooMuch
	}
	n, err := l.ResponseWriter.Write(p)
	if l.left > 0 {
		if l.left -= int64(n); l.left == 0 {
			l.over = true
		}
	}
	return n, err
}

// FlushError is for http.ResponseController.
func (l *limited) FlushError() error {
	l.begin()
	return http.NewResponseController(l.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (l *limited) Unwrap() http.ResponseWriter { return l.ResponseWriter }

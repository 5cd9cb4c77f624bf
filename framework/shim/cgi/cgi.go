// Package cgi runs a program for each call in the manner of the Common Gateway Interface, RFC 3875. The server's own package net/http/cgi cannot
// end a program that hangs, which is why it is the oracle of the tests and not the code.
package cgi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/openfunction/ofn/framework/shim/fork"
	"github.com/openfunction/ofn/framework/shim/host"
)

// maxHead bounds the header that a program writes.
const maxHead = 64 << 10

// Contract is CGI.
type Contract struct {
	program  fork.Program
	slots    *host.Slots
	failures host.Failures
}

var _ host.Contract = (*Contract)(nil)

// New reads the settings: exec_timeout, OFN_CONCURRENCY and write_debug.
func New(args []string, e host.Env, log *slog.Logger) (*Contract, error) {
	limit, err := e.Duration("exec_timeout", 0)
	if err != nil {
		return nil, err
	}
	n, err := Concurrency(e)
	if err != nil {
		return nil, err
	}
	debug, err := e.Bool("write_debug", false)
	if err != nil {
		return nil, err
	}
	return &Contract{
		program: fork.Program{Command: host.Command{Args: args, Env: e.Child(nil)}, Timeout: limit, Debug: debug, Log: log},
		slots:   host.NewSlots(n, host.MaxWaiting), failures: host.Failures{Log: log, Function: e.Name()},
	}, nil
}

// Concurrency is how many programs run at once: what the platform sends, or 64.
func Concurrency(e host.Env) (int, error) {
	n, err := e.Number("OFN_CONCURRENCY", 0)
	if n == 0 {
		n = 64
	}
	return n, err
}

// Start implements host.Contract.
func (c *Contract) Start(context.Context) error { return c.program.Find() }

// Serve implements host.Contract.
func (c *Contract) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	return host.Site{Handler: c.slots.Limit(http.StatusServiceUnavailable, c), Log: c.failures.Log}.Serve(ctx, l, grace)
}

// ServeHTTP runs the program once.
func (c *Contract) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &reply{w: w}
	err := c.program.Run(w, r, Variables(r), out)
	if err == nil {
		err = out.end()
	}
	var bad *headError
	switch {
	case err == nil:
	case errors.Is(err, fork.ErrGone):
		panic(http.ErrAbortHandler) // so that nobody takes what there is for an answer
	case out.sent:
		c.failures.Late(r, err)
		panic(http.ErrAbortHandler)
	case errors.Is(err, fork.ErrTimeout):
		c.failures.Late(r, err)
		host.Answer(w, http.StatusGatewayTimeout, "the function ran too long")
	case errors.As(err, &bad):
		c.failures.Crash(w, r, err)
	default:
		c.failures.Error(w, r, err)
	}
}

// headError is a program whose output is no answer of CGI.
type headError struct{ problem string }

func (e *headError) Error() string {
	return "what the program wrote is no answer of CGI: " + e.problem + "; it must write header lines such as Content-Type: text/plain, an empty line, and then the body"
}

// reply reads the header that the program writes first and passes the rest on.
type reply struct {
	w    http.ResponseWriter
	head bytes.Buffer
	sent bool
}

// Write takes output of the program.
func (p *reply) Write(b []byte) (int, error) {
	if p.sent {
		return (&fork.Stream{W: p.w}).Write(b)
	}
	p.head.Write(b)
	end, skip := headEnd(p.head.Bytes())
	switch {
	case end < 0 && p.head.Len() > maxHead:
		return 0, &headError{fmt.Sprintf("its header is longer than %d bytes", maxHead)}
	case end < 0:
		return len(b), nil
	}
	head, body := p.head.Bytes()[:end], p.head.Bytes()[end+skip:]
	if err := p.begin(head); err != nil {
		return 0, err
	}
	if len(body) > 0 {
		if _, err := (&fork.Stream{W: p.w}).Write(body); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// headEnd finds the empty line: where the header ends and how long the line ends are.
func headEnd(b []byte) (end, skip int) {
	for i, c := range b {
		if c != '\n' {
			continue
		}
		switch {
		case bytes.HasPrefix(b[i+1:], []byte("\n")):
			return i + 1, 1
		case bytes.HasPrefix(b[i+1:], []byte("\r\n")):
			return i + 1, 2
		}
	}
	if bytes.HasPrefix(b, []byte("\n")) {
		return 0, 1
	}
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return 0, 2
	}
	return -1, 0
}

// begin sends status and header.
func (p *reply) begin(head []byte) error {
	h := http.Header{}
	code := 0
	for line := range strings.Lines(string(head)) {
		k, v, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok || k == "" || strings.ContainsAny(k, " \t") {
			return &headError{fmt.Sprintf("the line %.100q is no header", line)}
		}
		v = textproto.TrimString(v)
		if !strings.EqualFold(k, "Status") {
			h.Add(k, v)
			continue
		}
		n, _, _ := strings.Cut(v, " ")
		var err error
		if code, err = strconv.Atoi(n); err != nil || code < 200 || code > 599 {
			return &headError{fmt.Sprintf("the status %.100q is not a number from 200 to 599", v)}
		}
	}
	if code == 0 {
		code = http.StatusOK
		if h.Get("Location") != "" {
			code = http.StatusFound
		}
	}
	if code == http.StatusOK && h.Get("Content-Type") == "" {
		return &headError{"there is neither a Content-Type nor a Location nor a Status in its header"}
	}
	p.sent = true
	for k, v := range h {
		p.w.Header()[k] = v
	}
	p.w.WriteHeader(code)
	return nil
}

// end is called when the program has ended well.
func (p *reply) end() error {
	switch {
	case p.sent:
		return nil
	case p.head.Len() == 0:
		return &headError{"it wrote nothing"}
	}
	return &headError{"there is no empty line after the header"}
}

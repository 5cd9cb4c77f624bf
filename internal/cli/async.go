package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/connect"
)

// headerCallID tells the id of a call: docs/async.md.
const headerCallID = "X-Openfunction-Call-Id"

// asyncCall is what the flags of invoke say of a call that is not waited for.
type asyncCall struct {
	on, wait             bool
	delay, maxAge        time.Duration
	at, retryOn, key     string
	retries              int
	onSuccess, onFailure string
}

// asyncFlags are those that mean something with --async only.
var asyncFlags = []string{"delay", "at", "max-age", "retries", "retry-on", "idempotency-key", "on-success", "on-failure", "wait"} //nolint:gochecknoglobals // a constant

func (c *asyncCall) bind(f *pflag.FlagSet) {
	f.BoolVar(&c.on, "async", false, "do not wait for the answer: print the call's id once it is on disk")
	f.DurationVar(&c.delay, "delay", 0, "with --async: how long to wait before the first attempt")
	f.StringVar(&c.at, "at", "", "with --async: when to begin, as in 2030-01-31T08:00:00Z")
	f.DurationVar(&c.maxAge, "max-age", 0, "with --async: a call that is older is not begun any more")
	f.IntVar(&c.retries, "retries", 9, "with --async: how often to try again")
	f.StringVar(&c.retryOn, "retry-on", "", "with --async: the answers to try again after, e.g. 429,5xx, or none")
	f.StringVar(&c.key, "idempotency-key", "", "with --async: calls of one key are one call")
	f.StringVar(&c.onSuccess, "on-success", "", "with --async: who gets the result: function:NAME[/PATH], topic:BUS/TOPIC or an https URL")
	f.StringVar(&c.onFailure, "on-failure", "", "with --async: who gets word of a call that failed")
	f.BoolVar(&c.wait, "wait", false, "with --async: wait for the end and print the result")
}

// check refuses flags without --async.
func (c *asyncCall) check(f *pflag.FlagSet) error {
	for _, flag := range asyncFlags {
		if f.Changed(flag) && !c.on {
			return fmt.Errorf("--%s belongs to --async", flag)
		}
	}
	switch {
	case c.retries < 0:
		return errors.New("--retries is a number of attempts after the first")
	case c.delay > 0 && c.at != "":
		return errors.New("--delay and --at exclude each other")
	}
	return nil
}

// headers ask for the call not to be waited for.
func (c *asyncCall) headers(h http.Header, changed func(string) bool) {
	if !c.on {
		return
	}
	set := func(name, value string, given bool) {
		if given {
			h.Set("X-Openfunction-"+name, value)
		}
	}
	h.Set("Prefer", "respond-async")
	set("Delay", c.delay.String(), c.delay > 0)
	set("Not-Before", c.at, c.at != "")
	set("Max-Age", c.maxAge.String(), c.maxAge > 0)
	set("Attempts", strconv.Itoa(c.retries+1), changed("retries"))
	set("Retry-On", c.retryOn, c.retryOn != "")
	set("On-Success", c.onSuccess, c.onSuccess != "")
	set("On-Failure", c.onFailure, c.onFailure != "")
	if c.key != "" {
		h.Set("Idempotency-Key", c.key)
	}
}

// accepted tells the id of a call that the platform has taken, or waits for its end.
func (s *session) accepted(ctx context.Context, fn *v1beta2.Function, c *call, resp *http.Response) error {
	id := resp.Header.Get(headerCallID)
	if resp.StatusCode != http.StatusAccepted || id == "" {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // what was read of it is said
		if resp.StatusCode < http.StatusBadRequest {
			return fmt.Errorf("%s has answered at once (%s): this platform takes no asynchronous calls", fn.Name, resp.Status)
		}
		return fmt.Errorf("the call was not accepted: %w", &connect.StatusError{Code: resp.StatusCode, Message: connect.Message(text)})
	}
	if c.async.wait {
		fmt.Fprintf(s.app.env.Err, "call %s is accepted\n", id)
		return s.waitForCall(ctx, fn.Namespace, id, c.showHead)
	}
	fmt.Fprintln(s.app.env.Out, id)
	again := ""
	if resp.Header.Get("Idempotency-Replayed") != "" {
		again = " (the key is that of an earlier call, which is meant)"
	}
	fmt.Fprintf(s.app.env.Err, "accepted%s; follow it with `ofn calls get %s`, read its result with `ofn calls result %s`\n", again, id, id)
	return nil
}

// pollWait is how long the server is asked to wait for the end of a call, in seconds.
const pollWait = "30"

// waitForCall prints the result of a call once it has ended.
func (s *session) waitForCall(ctx context.Context, namespace, id string, showHead bool) error {
	path := connect.NamespacePath(namespace, "calls/"+id+"/result")
	for {
		resp, err := s.Ask(ctx, http.MethodGet, path, url.Values{"wait": {pollWait}}, nil, nil)
		if err != nil {
			return s.printResult(nil, err, id, showHead)
		}
		if resp.Header.Get(connect.CallState) != "" {
			defer resp.Body.Close()
			return s.printResult(resp, nil, id, showHead)
		}
		resp.Body.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// printResult prints the answer of a function as invoke does.
func (s *session) printResult(resp *http.Response, err error, id string, showHead bool) error {
	if err != nil {
		return callError(id, err)
	}
	if showHead {
		head(s.app.env.Err, resp)
	}
	if _, err := io.Copy(s.app.env.Out, resp.Body); err != nil {
		return fmt.Errorf("reading the result of call %s: %w", id, err)
	}
	if resp.Header.Get("X-Openfunction-Result-Truncated") != "" {
		fmt.Fprintln(s.app.env.Err, "\nthe result was larger than what is kept of one")
	}
	if resp.StatusCode >= http.StatusBadRequest {
		fmt.Fprintf(s.app.env.Err, "\nthe function answered %s; see `ofn calls get %s`\n", resp.Status, id)
		return ExitCode(1)
	}
	return nil
}

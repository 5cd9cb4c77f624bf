// Package lambda speaks the runtime API of AWS Lambda's custom runtimes, so that a bootstrap for provided.al2023 runs unchanged: the program
// asks for the next event and posts what it returns. Calls over HTTP are events of the API Gateway, payload format 2.0; a contract that is raw
// gives the body of a call as the event itself. The API of `aws lambda invoke` is served as well.
package lambda

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/openfunction/ofn/framework/shim/host"
)

// longest is how long an event may take when nobody says.
const longest = 15 * time.Minute

// remindAt is when a program that never asked for an event is spoken of.
const remindAt = 5 * time.Second

// Contract runs bootstraps.
type Contract struct {
	command  host.Command
	env      host.Env
	raw      bool
	limit    time.Duration
	maxBody  int
	n        int // programs that run at the same time
	failures host.Failures

	events  chan *invocation
	slots   *host.Slots
	workers []*worker
	failed  chan error
}

var _ host.Contract = (*Contract)(nil)

// New reads the settings: exec_timeout, OFN_LAMBDA_PROCESSES and OFN_MAX_BODY.
func New(args []string, raw bool, e host.Env, log *slog.Logger) (*Contract, error) {
	c := &Contract{command: host.Command{Args: args}, env: e, raw: raw, failures: host.Failures{Log: log, Function: e.Name()}, events: make(chan *invocation)}
	var err error
	if c.limit, err = e.Duration("exec_timeout", longest); err != nil {
		return nil, err
	}
	if c.limit == 0 {
		c.limit = longest
	}
	if c.maxBody, err = e.MaxBody(); err != nil {
		return nil, err
	}
	if c.n, err = e.Number("OFN_LAMBDA_PROCESSES", 1); err != nil {
		return nil, err
	}
	c.n = max(c.n, 1)
	c.slots = host.NewSlots(host.MaxWaiting, 0)
	c.failed = make(chan error, c.n)
	return c, nil
}

// variables are what the runtime tells a bootstrap, besides the address of its API.
func (c *Contract) variables() host.Env {
	vars := host.Env{
		"_HANDLER": "bootstrap", "LAMBDA_TASK_ROOT": "/var/task", "LAMBDA_RUNTIME_DIR": "/var/runtime",
		"AWS_LAMBDA_FUNCTION_NAME": c.env.Name(), "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
		"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/" + c.env.Name(), "AWS_LAMBDA_LOG_STREAM_NAME": "ofn",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
		"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "TZ": ":UTC",
	}
	for k := range vars {
		if v, ok := c.env[k]; ok {
			vars[k] = v
		}
	}
	return vars
}

// arn names the function in the way of AWS.
func (c *Contract) arn() string {
	return "arn:aws:lambda:" + c.variables()["AWS_REGION"] + ":" + account + ":function:" + c.env.Name()
}

// Start starts the programs and waits until each has asked for an event.
func (c *Contract) Start(ctx context.Context) error {
	c.command.Env = c.env.Child(nil)
	if err := c.command.Find(); err != nil {
		return err
	}
	for range c.n {
		w, err := newWorker(c)
		if err != nil {
			c.stop(0)
			return err
		}
		c.workers = append(c.workers, w)
	}
	for _, w := range c.workers {
		if err := c.await(ctx, w); err != nil {
			c.stop(time.Second)
			return err
		}
	}
	return nil
}

func (c *Contract) await(ctx context.Context, w *worker) error {
	remind := time.NewTimer(remindAt)
	defer remind.Stop()
	for {
		select {
		case <-w.asked:
			return nil
		case err := <-c.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-remind.C:
			c.failures.Log.Warn("the program has not asked for an event yet: it must poll http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next",
				"program", filepath.Base(c.command.Args[0]))
		}
	}
}

// Serve implements host.Contract.
func (c *Contract) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	err := host.Site{Handler: c.slots.Limit(http.StatusServiceUnavailable, c), Log: c.failures.Log, Failed: c.failed}.Serve(ctx, l, grace)
	c.stop(2 * time.Second) // bootstraps hold no calls any more, and many do not know SIGTERM
	return err
}

func (c *Contract) stop(grace time.Duration) {
	for _, w := range c.workers {
		w.stop(grace)
	}
}

// exited is a program that ended although there was work to do.
type exited struct{ how string }

func (e *exited) Error() string { return fmt.Sprintf("the program %s", e.how) }

package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// failure is why a revision, or one of its copies, does not run.
type failure struct {
	reason  string // CamelCase
	message string
	final   bool // another attempt right away would fail the same way
	served  bool // the copy was ready before
}

// Error is the message, for the caller of the function.
func (f *failure) Error() string { return f.message }

// unstarted explains an error of the driver; nil when the start was called off.
func (r *replica) unstarted(ctx, limited context.Context, err error) *failure {
	switch {
	case ctx.Err() != nil:
		return nil
	case limited.Err() != nil:
		return &failure{reason: run.ReasonStartTimeout, message: fmt.Sprintf("the copy was not executed within %v: %v", r.rev.StartTimeout, err), final: true}
	}
	f := &failure{reason: reasonOf(err, "StartFailed"), message: fmt.Sprintf("starting a copy: %v", err), final: final(err)}
	if errors.Is(err, instance.ErrUnenforceable) {
		f.reason, f.final = "Unenforceable", true
	}
	return f
}

// reasoned errors name their reason in one word; what they say is not going to change by itself.
type reasoned interface {
	error
	Reason() string
}

func reasonOf(err error, otherwise string) string {
	if r, ok := errors.AsType[reasoned](err); ok {
		return r.Reason()
	}
	return otherwise
}

func final(err error) bool {
	_, ok := errors.AsType[reasoned](err)
	return ok
}

// unready explains a copy that runs and did not become ready in time; nil when the start was called off.
func (r *replica) unready(ctx context.Context, inst instance.Instance, err error) *failure {
	if ctx.Err() != nil {
		return nil
	}
	f := &failure{reason: run.ReasonNotReady, message: fmt.Sprintf("the copy was not ready after %v: %v", r.rev.StartTimeout, err), final: true}
	if elsewhere, ok := r.elsewhere(inst); ok || r.rev.Container.Probe == nil && !r.spec.Listen.Activation {
		f.reason = run.ReasonNotListening
		f.message = fmt.Sprintf("nothing listens on port %d after %v", r.spec.Listen.Port, r.rev.StartTimeout) + elsewhere +
			": make it listen on the port in the environment variable PORT, or set the port of the function"
	}
	f.message += r.lastWords()
	return f
}

// elsewhere tells where a copy listens instead of on its port; false when it listens there, or cannot be asked.
func (r *replica) elsewhere(inst instance.Instance) (string, bool) {
	l, ok := inst.(instance.Listening)
	if !ok || r.spec.Listen.Activation {
		return "", false
	}
	where, err := l.Listening()
	if err != nil {
		return "", false
	}
	for _, w := range where {
		if reached(w, r.spec.Listen.Port) {
			return "", false
		}
	}
	if len(where) == 0 {
		return "; the process listens nowhere", true
	}
	return "; the process listens on " + strings.Join(where, ", "), true
}

// reached is whether a listener gets what is sent to a port of the copy's loopback, 127.0.0.1.
func reached(listener string, port int) bool {
	a, err := netip.ParseAddrPort(listener)
	return err == nil && int(a.Port()) == port && (a.Addr().IsUnspecified() || a.Addr().Unmap().Is4())
}

// begun returns when the startup probe succeeded. The readiness probe has its time after it.
func (r *replica) begun(ctx context.Context, inst instance.Instance) error {
	if r.startup == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.startup.patience())
	defer cancel()
	return r.startup.await(ctx, inst)
}

// unbegun explains a copy whose startup probe did not succeed in time; nil when the start was called off.
func (r *replica) unbegun(ctx context.Context, inst instance.Instance, err error) *failure {
	if ctx.Err() != nil {
		return nil
	}
	f := &failure{reason: run.ReasonNotStarted, message: fmt.Sprintf("the copy did not pass its startup probe within %v: %v", r.startup.patience(), err), final: true}
	if elsewhere, ok := r.elsewhere(inst); ok {
		f.message += elsewhere
	}
	f.message += r.lastWords()
	return f
}

// crash explains an exit nobody asked for.
func (r *replica) crash(e instance.Exit, when string) *failure {
	if e.Cause != nil {
		return &failure{reason: reasonOf(e.Cause, "StartFailed"), message: e.Cause.Error(), final: final(e.Cause)}
	}
	f := &failure{reason: "ContainerCrashed"}
	switch {
	case e.OutOfMemory:
		f.reason = "OutOfMemory"
		f.message = fmt.Sprintf("the copy was killed%s: it needed more memory than its limit of %d MiB; raise resources.limits.memory", when, r.spec.Limits.MemoryBytes>>20)
	case e.Signal != "":
		f.message = fmt.Sprintf("the process was ended%s by signal %q", when, e.Signal)
	default:
		f.message = fmt.Sprintf("the process exited%s with code %d", when, e.Code)
	}
	if n := e.Strain.ForksRefused; n > 0 && !e.OutOfMemory {
		f.message += fmt.Sprintf("; its limit of %d processes and threads was in its way %d times: raise resources.limits.pids", r.spec.Limits.PIDs, n)
	}
	f.message += r.lastWords()
	return f
}

// lastWords is the end of the copy's log, for a message.
func (r *replica) lastWords() string {
	if s := r.output.lines(); s != "" {
		return "; its last output:\n" + s
	}
	if _, elsewhere := r.output.to.(noSink); elsewhere {
		return "; what it wrote is in its log (ofn logs)" // a pod's, of which only the end is told, and not always
	}
	return "; it wrote nothing"
}

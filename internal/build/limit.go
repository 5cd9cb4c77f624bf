package build

import (
	"context"
	"fmt"
	"io"
)

// Limit lets at most n builds of s run at a time; the others wait, which their log says. Waiting does not count against Request.Timeout.
func Limit(s Strategy, n int) Strategy {
	return &limited{next: s, slots: make(chan struct{}, n)}
}

type limited struct {
	next  Strategy
	slots chan struct{}
}

func (l *limited) Build(ctx context.Context, r Request, log io.Writer) (Result, error) {
	select {
	case l.slots <- struct{}{}:
	default:
		fmt.Fprintf(log, "waiting: %d builds are running, which is the limit\n", cap(l.slots))
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return Result{}, fmt.Errorf("waiting for another build to end: %w", context.Cause(ctx))
		}
	}
	defer func() { <-l.slots }()
	return l.next.Build(ctx, r, log)
}

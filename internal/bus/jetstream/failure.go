package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/openfunction/ofn/internal/bus"
)

// failure is that a server could not write. It then answers no publish of that stream until it is started anew; that its log
// tells is the only sign.
type failure struct {
	once     sync.Once
	happened chan struct{}
	err      error // why; set before happened is closed
}

func (f *failure) set(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.happened)
	})
}

// why is nil as long as nothing happened.
func (f *failure) why() error {
	select {
	case <-f.happened:
	default:
		return nil
	}
	if errors.Is(f.err, syscall.ENOSPC) || errors.Is(f.err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w: %w", bus.ErrFull, errWrite, f.err)
	}
	return fmt.Errorf("%w: %w", errWrite, f.err)
}

// errWrite is of what may or may not have been written.
var errWrite = errors.New("the event store could not write to its disk")

func isDisk(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// until ends a context when the failure happens.
func (f *failure) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-f.happened:
			cancel(f.why())
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-ended
	}
}

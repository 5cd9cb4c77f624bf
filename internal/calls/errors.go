package calls

import (
	"errors"
	"fmt"
)

// What Calls answer. Every error of a method wraps one of them, or is internal.
var (
	ErrInvalid     = errors.New("the call is not valid")
	ErrTooLarge    = errors.New("the call is too large to be kept")
	ErrFull        = errors.New("too many calls wait already")
	ErrUnavailable = errors.New("the call cannot be kept on disk")
	ErrKeyReused   = errors.New("the idempotency key was used for another request")
	ErrNotFound    = errors.New("there is no such call")
	ErrFinished    = errors.New("the call has ended")
	ErrNotFinished = errors.New("the call has not ended")
	ErrClosed      = errors.New("the platform is stopping")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

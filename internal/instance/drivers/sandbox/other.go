//go:build !linux || (!amd64 && !arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/openfunction/ofn/internal/instance"
)

var errUnsupported = fmt.Errorf("the built-in sandbox needs Linux on amd64 or arm64, not %s/%s: %w", runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)

// Driver starts nothing on this system.
type Driver struct{}

// New always fails with an error that wraps errors.ErrUnsupported.
func New(Options) (*Driver, error) { return nil, errUnsupported }

// Start implements instance.Driver.
func (*Driver) Start(context.Context, instance.Spec) (instance.Instance, error) {
	return nil, errUnsupported
}

// Run implements Runner.
func (*Driver) Run(context.Context, Command) (instance.Exit, error) {
	return instance.Exit{}, errUnsupported
}

// Clean implements instance.Driver.
func (*Driver) Clean(context.Context) error { return nil }

// Close implements instance.Driver.
func (*Driver) Close() error { return nil }

// Check tells what this machine lacks.
func Check(Options) []Problem {
	return []Problem{{What: errUnsupported.Error(), Means: "functions cannot run here", Do: "use a Linux machine, or a cluster", Fatal: true}}
}

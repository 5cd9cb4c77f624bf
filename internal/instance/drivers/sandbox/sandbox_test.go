//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
	"github.com/openfunction/ofn/internal/instance/instancetest"
)

func newDriver(t *testing.T, o sandbox.Options) *sandbox.Driver {
	t.Helper()
	if o.StateDir == "" {
		o.StateDir = filepath.Join(t.TempDir(), "state")
	}
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	d, err := sandbox.New(o)
	if err != nil {
		t.Skipf("this machine cannot make sandboxes: %v", err)
	}
	return d
}

func TestSuite(t *testing.T) {
	instancetest.Run(t, instancetest.Options{
		New: func(t *testing.T) instance.Driver {
			return newDriver(t, sandbox.Options{WritableBytes: 16 << 20})
		},
		Unlimited: limited() != nil,
		OneUser:   os.Geteuid() != 0,
		Layer:     os.Getenv(layerEnv),
	})
}

// limited says which limits this machine cannot enforce.
func limited() []sandbox.Problem {
	var out []sandbox.Problem
	for _, p := range sandbox.Check(sandbox.Options{}) {
		if p.Limit {
			out = append(out, p)
		}
	}
	return out
}

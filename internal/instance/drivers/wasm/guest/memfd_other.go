//go:build !linux

package guest

import (
	"errors"
	"os"
)

// nameless makes a file that goes with its last user. Workers run on Linux only; this is for building elsewhere.
func nameless() (*os.File, error) {
	f, err := os.CreateTemp("", "wasm-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

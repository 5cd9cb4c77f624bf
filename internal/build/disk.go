package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

const diskInterval = 250 * time.Millisecond

// LimitDisk returns a context that ends with the given failure as its cause when the files below dir take more than maxBytes. stop ends the
// watch and waits for it; it must be called. The watch samples: a quick writer can pass the limit by what it writes in a quarter of a second.
func LimitDisk(ctx context.Context, dir string, maxBytes int64, f *Failure) (limited context.Context, stop func()) {
	limited, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(diskInterval)
		defer tick.Stop()
		for {
			select {
			case <-limited.Done():
				return
			case <-tick.C:
				if n, err := DiskUsage(dir, maxBytes); err == nil && n > maxBytes {
					cancel(f)
					return
				}
			}
		}
	}()
	return limited, func() { cancel(context.Canceled); <-done }
}

// DiskUsage sums the sizes of the files below dir. It stops counting once it is past enough.
func DiskUsage(dir string, enough int64) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // files come and go during a build
			return nil
		}
		if err != nil {
			return fmt.Errorf("measuring %s: %w", dir, err)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if total += info.Size(); total > enough {
			return filepath.SkipAll
		}
		return nil
	})
	return total, err
}

package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

var _ build.Warmer = (*Strategy)(nil)

// Warm implements build.Warmer: one language after the other. That of one that fails costs its first build some time and nothing else.
func (s *Strategy) Warm(ctx context.Context) error {
	work := filepath.Join(s.opts.Dir, "work", "warm") // no build is called so
	defer os.RemoveAll(work)
	var errs []error
	for _, l := range s.opts.Languages {
		w, ok := l.Language.(lang.Warmer)
		if !ok {
			continue
		}
		if err := emptyDir(work); err != nil {
			return err
		}
		if err := w.Warm(ctx, work); err != nil {
			errs = append(errs, fmt.Errorf("warming the caches of %s: %w", l.Name, err))
		}
	}
	return errors.Join(errs...)
}

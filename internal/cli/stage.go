package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/image/bundle"
)

// stage unpacks an archive that was given in place of a directory; undo removes what it made.
func (d *deployment) stage(ctx context.Context) (undo func(), err error) {
	info, err := os.Stat(d.dir)
	if d.dir == "" || err != nil || !info.Mode().IsRegular() {
		return func() {}, nil //nolint:nilerr // the plan tells what is wrong with a directory
	}
	tmp, err := os.MkdirTemp("", "ofn-deploy-")
	if err != nil {
		return nil, fmt.Errorf("unpacking the source: %w", err)
	}
	undo = func() { _ = os.RemoveAll(tmp) } // what stays is the system's to clear
	dir, err := bundle.Stage(ctx, d.dir, tmp)
	if err != nil {
		undo()
		return nil, err
	}
	d.archive, d.dir = d.dir, dir
	return undo, nil
}

// from is the source as the user named it.
func (p *plan) from() string {
	if p.flags.archive != "" {
		return p.flags.archive
	}
	return p.dir
}

// archiveName is the name of an archive without what tells its kind.
func archiveName(file string) string {
	name := filepath.Base(file)
	for _, ext := range []string{".zip", ".jar", ".war", ".tar", ".tar.gz", ".tgz", ".tar.zst"} {
		if short, ok := strings.CutSuffix(name, ext); ok && short != "" {
			return short
		}
	}
	return name
}

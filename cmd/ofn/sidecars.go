package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/openfunction/ofn/internal/compile"
	"github.com/openfunction/ofn/internal/dapr/daprd"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/run/node"
)

// The daprd that is built when none is there: its version, and the hash of its module as go.sum has it.
const (
	daprdProgram = "daprd"
	daprdModule  = "github.com/dapr/dapr"
	daprdVersion = "v1.16.5"
	daprdSum     = "h1:kMM2K0dZRGYRZe+U2wgu2iJwqAA1o74a6YRi9era5Lo="
	// daprdPackages is about how many packages it is made of, for the progress.
	daprdPackages = 2900
)

// layersName begins the names of the directories in which a daprd is the layer of a root filesystem.
const layersName = "layer-daprd-"

// sidecars runs a real daprd beside copies of functions that ask for one. It implements node.Sidecars.
type sidecars struct{ p *platform }

// Check implements node.Sidecars.
func (s sidecars) Check() error {
	if os.Geteuid() != 0 {
		return errors.New("the annotation openfunction.io/dapr-service-mode: sidecar needs an ofn that runs as root: only then can daprd be in the network of a copy; take the annotation away to use the platform's own Dapr runtime")
	}
	return nil
}

// Program implements node.Sidecars.
func (s sidecars) Program(ctx context.Context, say func(string)) (string, error) {
	path := s.p.settings.daprd
	if path == "" {
		var err error
		if path, err = s.p.compiler().Get(ctx, daprdSource(), say); err != nil {
			return "", fmt.Errorf("%w (or name a daprd with --daprd)", err)
		}
	}
	return daprdLayer(filepath.Join(s.p.settings.dataDir, helpersDir), path)
}

// daprdSource is the program as Dapr publishes it, with all its components.
func daprdSource() compile.Program {
	return compile.Program{Name: daprdProgram, Purpose: "runs beside functions that ask for it", Version: daprdVersion, Find: beside(daprdProgram), Packages: daprdPackages,
		Source: compile.Module(daprdModule, daprdVersion, daprdSum), Args: []string{"-tags=allcomponents", "./cmd/daprd"}}
}

// Resources implements node.Sidecars.
func (s sidecars) Resources(ctx context.Context, namespace, function string) (node.Resources, error) {
	app, components, err := s.p.events.dapr.Sidecar(ctx, event.Name{Namespace: namespace, Name: function})
	if err != nil {
		return node.Resources{}, err
	}
	files, err := daprd.Files(app, components)
	return node.Resources{Files: files, Local: daprd.Local(slices.Concat(app.Components, components))}, err
}

// certificates are where systems keep those of authorities, for a daprd that connects with TLS.
var certificates = [...]string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}

// daprdLayer is a directory with a daprd in it, made once for each program. Those of other programs stay: copies
// may run from them.
func daprdLayer(dir, program string) (string, error) {
	info, err := os.Stat(program)
	if err != nil {
		return "", fmt.Errorf("looking for daprd: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return "", fmt.Errorf("%s is not a program: name the executable file of daprd", program)
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", program, info.Size(), info.ModTime().UnixNano()))
	to := filepath.Join(dir, layersName+hex.EncodeToString(key[:8]))
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(dir, "making-daprd-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(made)
	if err := fillLayer(made, program); err != nil {
		return "", fmt.Errorf("preparing daprd: %w", err)
	}
	if err := os.Rename(made, to); err != nil && !errors.Is(err, os.ErrExist) && !isDir(to) { // another may have been quicker
		return "", fmt.Errorf("preparing daprd: %w", err)
	}
	return to, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// fillLayer puts daprd and certificates into a directory.
func fillLayer(dir, program string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := linkOrCopy(program, filepath.Join(dir, daprdProgram)); err != nil {
		return err
	}
	i := slices.IndexFunc(certificates[:], func(p string) bool { _, err := os.Stat(p); return err == nil })
	if i < 0 {
		return nil
	}
	to := filepath.Join(dir, certificates[0])
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return copyFile(certificates[i], to, 0o644)
}

// linkOrCopy makes a program appear at another path: the same file where that can be, else a copy.
func linkOrCopy(program, to string) error {
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return err
	}
	if os.Link(real, to) == nil {
		return nil
	}
	return copyFile(real, to, 0o755)
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// beside is where a program may be, built: beside this one, or on PATH.
func beside(program string) []string {
	var found []string
	if self, err := os.Executable(); err == nil {
		found = append(found, filepath.Join(filepath.Dir(self), program))
	}
	if path, err := exec.LookPath(program); err == nil {
		found = append(found, path)
	}
	return found
}

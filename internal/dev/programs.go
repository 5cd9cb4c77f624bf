package dev

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build"
)

// listenLabel on an image says that its program takes a listening socket as file descriptor 3.
const listenLabel = "io.openfunction.listen"

// Program is what a build made, ready to run on this machine.
type Program struct {
	File string
	Env  []string // what the build says about the function, "KEY=value"
	// ListenFD says that it takes its listening socket as file descriptor 3, otherwise it listens on the port in $PORT.
	ListenFD bool
	Digest   string // of all that
}

// Programs takes the programs out of the images that builds make. It serves one build at a time.
type Programs struct {
	dir  string
	last Program
	n    int
}

var _ build.Images = (*Programs)(nil)

// NewPrograms keeps programs in a directory that exists and is its own.
func NewPrograms(dir string) *Programs { return &Programs{dir: dir} }

// Write implements build.Images: it keeps the program that the image begins.
func (p *Programs) Write(_ context.Context, _ build.Output, img build.Image) (string, int64, error) {
	entry, err := entrypoint(img)
	if err != nil {
		return "", 0, err
	}
	p.n++
	made := Program{File: filepath.Join(p.dir, fmt.Sprintf("function-%d", p.n)), ListenFD: img.Labels[listenLabel] == "fd"}
	for _, e := range img.Env {
		if strings.HasPrefix(e, "FUNC") { // the rest describes the image's own file system
			made.Env = append(made.Env, e)
		}
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %v\n", made.Env, made.ListenFD)
	size, err := copyProgram(made.File, entry, h)
	if err != nil {
		return "", 0, fmt.Errorf("keeping the program: %w", err)
	}
	made.Digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	p.last = made
	return made.Digest, size, nil
}

// Reuse implements build.Images.
func (p *Programs) Reuse(_ context.Context, _ build.Output, digest string) (bool, error) {
	if p.last.Digest != digest {
		return false, nil
	}
	_, err := os.Stat(p.last.File)
	return err == nil, nil
}

// Last is the program of the build that ended last with success.
func (p *Programs) Last() Program { return p.last }

func entrypoint(img build.Image) (build.Entry, error) {
	if len(img.Entrypoint) == 0 {
		return build.Entry{}, errors.New("the build made an image without an entrypoint")
	}
	name := strings.TrimPrefix(img.Entrypoint[0], "/")
	for _, l := range img.Layers {
		for _, e := range l {
			if e.Path == name && e.Mode.IsRegular() {
				return e, nil
			}
		}
	}
	return build.Entry{}, fmt.Errorf("the build made an image without its entrypoint %s", img.Entrypoint[0])
}

// copyProgram copies because the work directory of a build goes when it ends.
func copyProgram(to string, e build.Entry, h io.Writer) (int64, error) {
	var from io.Reader = strings.NewReader(string(e.Data))
	if e.File != "" {
		f, err := os.Open(e.File)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		from = f
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o700)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.MultiWriter(out, h), from)
	return n, errors.Join(err, out.Close())
}

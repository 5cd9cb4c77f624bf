// Package program finds what of an image a warm pod must be given to run it: the one static program that some images are nothing
// but, such as those that ofn builds of Go functions, which runs wherever a kernel of its kind does; or, of images over the same layers as the pod's own, the files above.
package program

import (
	"archive/tar"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Program is what an image runs.
type Program struct {
	// File is where it was put, Size its bytes.
	File string
	Size int64
	// Args, Env, Dir and User are as the image says; Args[0] is the program's path within the image.
	Args, Env []string
	Dir, User string
	// Base is the name of the Base that it runs in, and File an archive of files; empty for a program that needs none.
	Base string
	// Drop are the names of variables that the base's image gives its processes.
	Drop []string
}

// ErrNotAlone is matched by the errors about images that are something else than one static program.
var ErrNotAlone = errors.New("the image is not one static program")

func notAlone(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotAlone, fmt.Sprintf(format, args...))
}

// pull looks at an image. insecure are registry hosts that are spoken to without TLS.
func pull(ctx context.Context, image string, insecure []string, login func(registry string) (authn.Authenticator, error)) (v1.Image, error) {
	ref, err := name.ParseReference(image)
	if err == nil && slices.Contains(insecure, ref.Context().RegistryStr()) {
		ref, err = name.ParseReference(image, name.Insecure)
	}
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", image, err)
	}
	as := authn.Anonymous
	if login != nil {
		if as, err = login(ref.Context().RegistryStr()); err != nil {
			return nil, fmt.Errorf("image %s: %w", image, err)
		}
	}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuth(as), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return nil, fmt.Errorf("pulling image %s: %w", image, err)
	}
	return img, nil
}

// Extract puts the program of an image into a new file of dir; most bounds it, in bytes.
func Extract(img v1.Image, dir string, most int64) (Program, error) {
	f, err := img.ConfigFile()
	if err != nil {
		return Program{}, fmt.Errorf("reading the configuration: %w", err)
	}
	p := Program{Args: slices.Concat(f.Config.Entrypoint, f.Config.Cmd), Env: f.Config.Env, Dir: f.Config.WorkingDir, User: f.Config.User}
	if len(p.Args) == 0 || !path.IsAbs(p.Args[0]) {
		return p, notAlone("its entrypoint is not the path of a file")
	}
	out, err := os.CreateTemp(dir, "program-")
	if err != nil {
		return p, err
	}
	p.File = out.Name()
	p.Size, err = find(img, p.Args[0], out, most)
	if err = errors.Join(err, out.Close()); err == nil {
		err = static(p.File)
	}
	if err != nil {
		return p, errors.Join(err, os.Remove(p.File))
	}
	return p, nil
}

// beside are folders whose files no program needs that was linked for an image of its own, but those of every machine.
var beside = []string{"etc/", "usr/share/zoneinfo/", "usr/share/ca-certificates/"} //nolint:gochecknoglobals // a table

// find copies the file of a path, and sees to it that there is no other.
func find(img v1.Image, program string, to io.Writer, most int64) (size int64, err error) {
	flat := mutate.Extract(img)
	defer flat.Close()
	want := strings.TrimPrefix(path.Clean(program), "/")
	for in := tar.NewReader(flat); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, fmt.Errorf("reading the layers: %w", err)
		}
		at := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		switch {
		case h.Typeflag == tar.TypeDir:
		case at == want && h.Typeflag == tar.TypeReg:
			if size, err = io.Copy(to, io.LimitReader(in, most+1)); err != nil {
				return 0, fmt.Errorf("reading %s: %w", program, err)
			}
		case slices.ContainsFunc(beside, func(dir string) bool { return strings.HasPrefix(at, dir) }):
		default:
			return 0, notAlone("it has the file /%s, too", at)
		}
	}
	if size == 0 || size > most {
		return 0, notAlone("%s is not there, is empty, or is larger than %d bytes", program, most)
	}
	return size, nil
}

// static refuses what needs an interpreter or other files to run.
func static(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return notAlone("%v", err)
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return notAlone("the program is linked to libraries")
	}
	return nil
}

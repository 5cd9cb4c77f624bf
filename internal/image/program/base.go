package program

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// Base is an image in which warm pods wait. An image whose other files are those of the base, layer by layer, can run there: all
// that is its own must lie in the rooms, which are folders that a warm pod can write.
type Base struct{ Name, Image string }

// holder is the one file that a base may have and other images need not.
const holder = "ofn"

// base is what is known of a Base.
type base struct {
	Base
	order    []v1.Hash
	layers   map[v1.Hash]contents
	dirs     map[string]bool
	env      []string
	os, arch string
}

// contents are what a layer has.
type contents struct {
	rooms   bool   // something in a room
	outside string // the first file elsewhere
}

// rooms are absolute paths of folders.
type rooms []string

// of is the room of a path of an archive ("app/fn"), and whether it is the room itself; empty for none.
func (r rooms) of(at string) (room string, itself bool) {
	for _, dir := range r {
		dir = strings.TrimPrefix(dir, "/")
		if at == dir || strings.HasPrefix(at, dir+"/") {
			return dir, at == dir
		}
	}
	return "", false
}

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// readBase looks at all that an image has.
func readBase(b Base, img v1.Image, r rooms) (*base, error) {
	f, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	out := &base{Base: b, layers: map[v1.Hash]contents{}, dirs: map[string]bool{"": true}, env: f.Config.Env, os: f.OS, arch: f.Architecture}
	all, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the layers: %w", err)
	}
	for _, l := range all {
		id, err := l.DiffID()
		if err != nil {
			return nil, fmt.Errorf("reading the layers: %w", err)
		}
		has := contents{}
		err = walk(l, func(at string, h *tar.Header) error {
			room, itself := r.of(at)
			switch {
			case h.Typeflag == tar.TypeDir:
				out.dirs[at] = true
				has.rooms = has.rooms || room != "" && !itself
			case room != "" && !itself:
				has.rooms = true
			case has.outside == "" && at != holder:
				has.outside = at
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out.order = append(out.order, id)
		out.layers[id] = has
	}
	return out, nil
}

// walk tells of every entry of a layer, the marks of what is removed included.
func walk(l v1.Layer, visit func(at string, h *tar.Header) error) error {
	r, err := l.Uncompressed()
	if err != nil {
		return fmt.Errorf("reading a layer: %w", err)
	}
	defer r.Close()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a layer: %w", err)
		}
		if err := visit(clean(h.Name), h); err != nil {
			return err
		}
	}
}

// own are the layers of an image with files in rooms, from below; an error that matches ErrNotAlone says why it is not one over this
// base.
func (b *base) own(img v1.Image, r rooms) ([]v1.Layer, error) {
	all, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the layers: %w", err)
	}
	var own []v1.Layer
	var common []v1.Hash
	for _, l := range all {
		id, err := l.DiffID()
		if err != nil {
			return nil, fmt.Errorf("reading the layers: %w", err)
		}
		has, known := b.layers[id]
		if known {
			common = append(common, id)
		}
		if !known || has.rooms {
			own = append(own, l)
		}
	}
	left := slices.DeleteFunc(slices.Clone(b.order), func(id v1.Hash) bool { return slices.Contains(common, id) || b.layers[id].outside == "" })
	if len(left) > 0 {
		return nil, notAlone("image %s has the file /%s, which is in a layer that this one has not", b.Image, b.layers[left[0]].outside)
	}
	if !slices.Equal(common, slices.DeleteFunc(slices.Clone(b.order), func(id v1.Hash) bool { return !slices.Contains(common, id) })) {
		return nil, notAlone("its layers are not in the order of those of image %s", b.Image)
	}
	for _, l := range own {
		if id, err := l.DiffID(); err == nil && b.layers[id].rooms {
			continue
		}
		if err := walk(l, func(at string, h *tar.Header) error { return b.fits(at, h, r) }); err != nil {
			return nil, err
		}
	}
	return own, nil
}

// fits is whether a warm pod can have an entry.
func (b *base) fits(at string, h *tar.Header, r rooms) error {
	room, itself := r.of(at)
	switch {
	case h.Typeflag == tar.TypeDir && (room != "" || b.dirs[at]):
		return nil
	case room == "" || itself:
		return notAlone("it has /%s, which image %s has not, and warm pods have room in %s only", at, b.Image, strings.Join(r, ", "))
	case h.Typeflag == tar.TypeReg, h.Typeflag == tar.TypeSymlink:
		return nil
	case h.Typeflag == tar.TypeLink:
		if of, _ := r.of(clean(h.Linkname)); of == room {
			return nil
		}
	}
	return notAlone("/%s is of a kind that warm pods cannot be given", at)
}

// parts puts what an image has in rooms into a new archive of dir, if all else is as in the base.
func (b *base) parts(img v1.Image, r rooms, dir string, most int64) (Program, error) {
	f, err := img.ConfigFile()
	if err != nil {
		return Program{}, fmt.Errorf("reading the configuration: %w", err)
	}
	p := Program{Args: slices.Concat(f.Config.Entrypoint, f.Config.Cmd), Env: f.Config.Env, Dir: f.Config.WorkingDir, User: f.Config.User, Base: b.Name, Drop: names(b.env)}
	switch {
	case len(p.Args) == 0:
		return p, notAlone("it names no program")
	case len(f.Config.Volumes) > 0:
		return p, notAlone("it has volumes")
	case f.OS != b.os || f.Architecture != b.arch:
		return p, notAlone("it is for %s/%s, and image %s for %s/%s", f.OS, f.Architecture, b.Image, b.os, b.arch)
	}
	layers, err := b.own(img, r)
	if err != nil {
		return p, err
	}
	flat, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return p, fmt.Errorf("reading the layers: %w", err)
	}
	out, err := os.CreateTemp(dir, "parts-")
	if err != nil {
		return p, err
	}
	p.File = out.Name()
	size := &bounded{to: out, left: most}
	if err := errors.Join(pack(flat, r, size), out.Close()); err != nil {
		return p, errors.Join(err, os.Remove(p.File))
	}
	p.Size = most - size.left
	return p, nil
}

// pack writes what an image has in rooms.
func pack(img v1.Image, r rooms, to io.Writer) error {
	flat := mutate.Extract(img)
	defer flat.Close()
	out := tar.NewWriter(to)
	for in := tar.NewReader(flat); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		} else if err != nil {
			return fmt.Errorf("reading the layers: %w", err)
		}
		h.Name = clean(h.Name)
		if room, itself := r.of(h.Name); room == "" || itself {
			continue // the room itself is the pod's
		}
		if err := out.WriteHeader(h); err != nil {
			return fmt.Errorf("packing %s: %w", h.Name, err)
		}
		if _, err := io.Copy(out, in); err != nil {
			return fmt.Errorf("packing %s: %w", h.Name, err)
		}
	}
}

// bounded is a writer that takes so many bytes.
type bounded struct {
	to   io.Writer
	left int64
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, notAlone("what it has beside its base is too large for warm pods")
	}
	return b.to.Write(p)
}

// names are those of variables.
func names(env []string) []string {
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		out = append(out, name)
	}
	return out
}

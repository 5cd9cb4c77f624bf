package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cenkalti/backoff/v5"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openfunction/ofn/internal/image/unpack"
)

// Rootfs is an image ready to be mounted.
type Rootfs struct {
	// Layers are directories, lowest first, to be the lower directories of an overlay. They must never be written to.
	Layers []string
	Config Config
}

// Root unpacks what is missing of an image and returns its layers. They stay until release was called, which may be called more
// than once. Layers are shared by all images that have them. Errors about the image are a *Failure.
func (s *Store) Root(ctx context.Context, p Pinned, c Credentials) (Rootfs, func(), error) {
	rec, err := s.record(ctx, p, c)
	if err != nil {
		return Rootfs{}, nil, err
	}
	cfg, err := rec.runConfig()
	if err != nil {
		return Rootfs{}, nil, err
	}
	job := &rooting{s: s, p: p, c: c}
	if job.diffs, job.module, err = rec.diffs(); err != nil {
		return Rootfs{}, nil, err
	}
	job.dirs = s.layerDirs(job.diffs)
	release := s.hold(append(job.dirs, s.flatDir(job.diffs)))
	layers, err := job.layers(ctx)
	if err != nil {
		release()
		return Rootfs{}, nil, explain("unpacking", p.Ref, c, err)
	}
	return Rootfs{Layers: layers, Config: cfg}, release, nil
}

func (s *Store) layerDirs(diffs []v1.Hash) []string {
	dirs := make([]string, len(diffs))
	for i, d := range diffs {
		dirs[i] = s.path("layers", d.Algorithm, d.Hex)
	}
	return dirs
}

// flatDir is where an image's layers are laid over one another when the kernel's whiteouts cannot be had.
func (s *Store) flatDir(diffs []v1.Hash) string {
	h := sha256.New()
	for _, d := range diffs {
		fmt.Fprintln(h, d)
	}
	return s.path("flat", "sha256", hex.EncodeToString(h.Sum(nil)))
}

// rooting is one call of Root.
type rooting struct {
	s     *Store
	p     Pinned
	c     Credentials
	diffs []v1.Hash
	dirs  []string
	img   v1.Image // opened when the first layer is missing
	// module is whether it is the artifact of a WebAssembly module.
	module bool
}

func (j *rooting) layers(ctx context.Context) ([]string, error) {
	flat := j.s.flatDir(j.diffs)
	if exists(flat) {
		return []string{flat}, nil
	}
	for i, dir := range j.dirs {
		err := j.s.fill(ctx, dir, func(tmp string) error { return j.unpack(ctx, tmp, i, j.s.whiteouts()) })
		if errors.Is(err, unpack.ErrWhiteout) {
			return []string{flat}, j.s.fill(ctx, flat, func(tmp string) error { return j.flatten(ctx, tmp) })
		}
		if err != nil {
			return nil, err
		}
	}
	return j.dirs, nil
}

func (s *Store) whiteouts() unpack.Whiteouts {
	if s.overlay {
		return unpack.Overlay
	}
	return unpack.Refuse
}

func (j *rooting) flatten(ctx context.Context, tmp string) error {
	for i := range j.diffs {
		if err := j.unpack(ctx, tmp, i, unpack.Apply); err != nil {
			return err
		}
	}
	return nil
}

// unpack writes layer i into dir, trying again from an empty directory when the connection fails midway.
func (j *rooting) unpack(ctx context.Context, dir string, i int, w unpack.Whiteouts) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = j.s.o.Retry
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := j.try(ctx, dir, i, w)
		if err != nil && (w == unpack.Apply || !transient(err)) {
			err = backoff.Permanent(err)
		} else if err != nil {
			j.s.o.Log.Warn("image: unpacking a layer failed, trying again", "image", j.p, "layer", j.diffs[i], "error", err)
			if rmErr := errors.Join(removeAll(dir), os.Mkdir(dir, 0o755)); rmErr != nil {
				err = backoff.Permanent(errors.Join(err, rmErr))
			}
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pause), backoff.WithMaxTries(3))
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		err = permanent.Unwrap()
	}
	return err
}

func transient(err error) bool {
	var refused *unpack.Error
	var failure *Failure
	var path *fs.PathError
	return !errors.As(err, &refused) && !errors.As(err, &failure) && !errors.As(err, &path) &&
		!errors.Is(err, unpack.ErrWhiteout) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

func (j *rooting) try(ctx context.Context, dir string, i int, w unpack.Whiteouts) error {
	if j.img == nil {
		img, err := j.s.find(ctx, j.p.byDigest(), j.c)
		if err != nil {
			return err
		}
		j.img = img
	}
	layers, err := j.img.Layers()
	if err != nil {
		return err
	}
	r, err := layers[i].Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	if j.module {
		return writeModule(dir, r, j.s.o.Limits.Bytes)
	}
	if err := j.s.extract(ctx, dir, r, j.diffs[i], w); err != nil {
		var refused *unpack.Error
		if errors.As(err, &refused) {
			return &Failure{Reason: InvalidImage, Ref: j.p.Ref.String(), Err: err,
				Message: fmt.Sprintf("image %s cannot be unpacked: layer %s: %v", j.p.Ref, j.diffs[i], err)}
		}
		return fmt.Errorf("layer %s: %w", j.diffs[i], err)
	}
	return nil
}

// extract writes one layer, however it is compressed, and checks that it is the one the config names: the directory will
// serve every image that names it.
func (s *Store) extract(ctx context.Context, dir string, r io.Reader, want v1.Hash, w unpack.Whiteouts) error {
	if err := s.unpacks.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.unpacks.Release(1)
	plain, err := unpack.Decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	sum := sha256.New()
	_, err = unpack.Tar(ctx, dir, io.TeeReader(plain, sum), unpack.Options{Limits: s.o.Limits, Whiteouts: w, Own: os.Geteuid() == 0})
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); want.Algorithm != "sha256" || got != want.Hex {
		return &unpack.Error{Problem: fmt.Sprintf("its content is sha256:%s, the image's config says %s", got, want)}
	}
	return nil
}

// fillLock lets one caller at a time fill a directory.
type fillLock struct {
	turn    chan struct{}
	waiting int
}

// fill makes dir with what f writes into a directory of its own, whole or not at all. Of many callers one does the work; when it
// fails the next one tries.
func (s *Store) fill(ctx context.Context, dir string, f func(tmp string) error) error {
	unlock, err := s.lock(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	if exists(dir) {
		return nil
	}
	tmp, err := os.MkdirTemp(s.path("tmp"), "layer-")
	if err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := f(tmp); err != nil {
		return errors.Join(err, removeAll(tmp))
	}
	if err := unpack.Sync(tmp); err != nil {
		return errors.Join(err, removeAll(tmp))
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

func (s *Store) lock(ctx context.Context, dir string) (unlock func(), err error) {
	s.mu.Lock()
	l := s.locks[dir]
	if l == nil {
		l = &fillLock{turn: make(chan struct{}, 1)}
		s.locks[dir] = l
	}
	l.waiting++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.waiting--; l.waiting == 0 {
			delete(s.locks, dir)
		}
	}
	select {
	case l.turn <- struct{}{}:
		return func() { <-l.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

func exists(dir string) bool {
	_, err := os.Lstat(dir)
	return err == nil
}

// removeAll removes a tree even where directories in it may not be written to.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walkErr := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return err
	})
	return errors.Join(walkErr, os.RemoveAll(dir))
}

package image

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Config is how an image wants to be run.
type Config struct {
	Entrypoint   []string
	Cmd          []string
	Env          []string // "KEY=value"
	WorkingDir   string
	User         string   // "", "1000", "1000:1000", "nobody", "app:staff"
	ExposedPorts []string // "8080/tcp", sorted
	Labels       map[string]string
	StopSignal   string
}

// Resolve finds the image a reference means now: first in the platform's own registry, then at the registry it names.
// An image that a digest names and that these credentials were given before, or that needs none, is found without asking anyone; others
// must be let in by the registry even though the image is here. Errors about the image are a *Failure.
func (s *Store) Resolve(ctx context.Context, ref string, c Credentials) (Pinned, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return Pinned{}, err
	}
	if r.Digest != "" {
		if rec, err := s.load(r.Digest); err == nil && rec.lets(r.LocalRepo(), r.Digest, c) {
			return Pinned{r, r.Digest}, nil
		}
	}
	img, own, err := s.search(ctx, r, c)
	if err != nil {
		return Pinned{}, explain("pulling", r, c, err)
	}
	d, err := s.remember(r, img, own || c.Anonymous(), c)
	if err != nil {
		return Pinned{}, explain("pulling", r, c, err)
	}
	return Pinned{r, d}, nil
}

// Config tells how the image wants to be run.
func (s *Store) Config(ctx context.Context, p Pinned, c Credentials) (Config, error) {
	rec, err := s.record(ctx, p, c)
	if err != nil {
		return Config{}, err
	}
	return rec.runConfig()
}

func (r record) runConfig() (Config, error) {
	f, err := r.config()
	if err != nil {
		return Config{}, err
	}
	if m, err := r.manifest(); err == nil && isModule(m) {
		return Config{Entrypoint: []string{"/" + moduleFile}}, nil
	}
	out := Config{
		Entrypoint: f.Config.Entrypoint, Cmd: f.Config.Cmd, Env: f.Config.Env, WorkingDir: f.Config.WorkingDir,
		User: f.Config.User, Labels: f.Config.Labels, StopSignal: f.Config.StopSignal,
	}
	for p := range f.Config.ExposedPorts {
		out.ExposedPorts = append(out.ExposedPorts, p)
	}
	slices.Sort(out.ExposedPorts)
	return out, nil
}

// Image opens a resolved image for reading: the base of a build, or a bundle of source.
func (s *Store) Image(ctx context.Context, p Pinned, c Credentials) (v1.Image, error) {
	img, err := s.find(ctx, p.byDigest(), c)
	if err != nil {
		return nil, explain("pulling", p.Ref, c, err)
	}
	return img, nil
}

// find looks a reference up and picks the image for this machine.
func (s *Store) find(ctx context.Context, r Ref, c Credentials) (v1.Image, error) {
	img, _, err := s.search(ctx, r, c)
	return img, err
}

// search is find that also tells whether the image is in the platform's own registry.
func (s *Store) search(ctx context.Context, r Ref, c Credentials) (img v1.Image, own bool, err error) {
	at, err := r.local()
	if err != nil {
		return nil, false, err
	}
	img, err = s.get(r, at, s.atLocal(ctx)...)
	if err == nil || statusOf(err) != http.StatusNotFound {
		return img, true, err
	}
	if r.Host == LocalHost {
		return nil, false, &Failure{Reason: NotFound, Ref: r.String(), Err: err,
			Message: fmt.Sprintf("there is no image %s in the platform's own registry", r)}
	}
	if at, err = s.remoteRef(r); err != nil {
		return nil, false, err
	}
	img, err = s.get(r, at, s.atRemote(ctx, c)...)
	return img, false, err
}

func (s *Store) get(r Ref, at name.Reference, options ...remote.Option) (v1.Image, error) {
	desc, err := remote.Get(at, options...)
	if err != nil {
		return nil, err
	}
	switch {
	case desc.MediaType.IsIndex():
		return s.pick(r, desc)
	case desc.MediaType.IsImage():
		return desc.Image()
	}
	return nil, &Failure{Reason: InvalidImage, Ref: r.String(), Message: fmt.Sprintf("%s is not an image: its media type is %s", r, desc.MediaType)}
}

// pick chooses the image for this machine out of an index.
func (s *Store) pick(r Ref, desc *remote.Descriptor) (v1.Image, error) {
	index, err := desc.ImageIndex()
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var offers []string
	var module v1.Hash // runs on every machine
	for _, d := range m.Manifests {
		if d.Platform == nil || d.Platform.OS == "unknown" { // attestations
			continue
		}
		if d.Platform.OS == s.o.OS && d.Platform.Architecture == s.o.Arch && d.MediaType.IsImage() {
			return index.Image(d.Digest)
		}
		if forWasm(d.Platform.Architecture) && d.MediaType.IsImage() {
			module = d.Digest
		}
		offers = append(offers, d.Platform.String())
	}
	if module.Hex != "" {
		return index.Image(module)
	}
	return nil, s.mismatch(r, offers)
}

func (s *Store) mismatch(r Ref, offers []string) error {
	slices.Sort(offers)
	list := strings.Join(slices.Compact(offers), ", ")
	return &Failure{Reason: ArchitectureMismatch, Ref: r.String(), Message: fmt.Sprintf(
		"image %s is for %s, this machine is %s/%s: use an image that offers %[3]s/%[4]s", r, list, s.o.OS, s.o.Arch)}
}

// remember checks that the image can run here and writes its record, with who was let at it.
func (s *Store) remember(r Ref, img v1.Image, everybody bool, c Credentials) (digest string, err error) {
	d, err := img.Digest()
	if err != nil {
		return "", err
	}
	by := reader{Name: r.LocalRepo()}
	if !everybody {
		by.Login = c.fingerprint(by.Name, d.String())
	}
	s.recording.Lock() // a reader may be added to the record of another
	defer s.recording.Unlock()
	if rec, err := s.load(d.String()); err == nil {
		if !rec.add(by) {
			return d.String(), nil
		}
		return d.String(), s.save(d.String(), rec)
	}
	var rec record
	rec.add(by)
	if rec.Manifest, err = img.RawManifest(); err != nil {
		return "", err
	}
	if rec.Config, err = img.RawConfigFile(); err != nil {
		return "", err
	}
	if err := s.check(r, rec); err != nil {
		return "", err
	}
	return d.String(), s.save(d.String(), rec)
}

func (s *Store) check(r Ref, rec record) error {
	f, err := rec.config()
	if err != nil {
		return &Failure{Reason: InvalidImage, Ref: r.String(), Err: err, Message: fmt.Sprintf("%s is not a container image: %v", r, err)}
	}
	m, err := rec.manifest()
	if err != nil {
		return err
	}
	if isModule(m) {
		return nil
	}
	if len(m.Layers) != len(f.RootFS.DiffIDs) {
		return &Failure{Reason: InvalidImage, Ref: r.String(), Message: fmt.Sprintf(
			"%s is not a container image: its manifest has %d layers, its config %d", r, len(m.Layers), len(f.RootFS.DiffIDs))}
	}
	if forWasm(f.Architecture) {
		return nil
	}
	if f.OS != "" && f.OS != s.o.OS || f.Architecture != "" && f.Architecture != s.o.Arch {
		return s.mismatch(r, []string{f.Platform().String()})
	}
	return nil
}

// record returns what is known of a pinned image, asking its registry when the record is gone.
func (s *Store) record(ctx context.Context, p Pinned, c Credentials) (record, error) {
	rec, err := s.load(p.Digest)
	if err == nil {
		return rec, nil
	}
	if _, err := s.Resolve(ctx, p.String(), c); err != nil {
		return record{}, err
	}
	return s.load(p.Digest)
}

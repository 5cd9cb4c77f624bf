package image

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestGC(t *testing.T) {
	ctx, s := t.Context(), newStore(t, Options{})
	base := layerOf(t, entry{name: "base", body: "b"})
	kept := pushed(t, s, "kept", base, layerOf(t, entry{name: "fn", body: "kept"}))
	held := pushed(t, s, "held", base, layerOf(t, entry{name: "fn", body: "held"}))
	gone := pushed(t, s, "gone", base, layerOf(t, entry{name: "fn", body: "gone"}))
	_, releaseKept, err := s.Root(ctx, kept, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	releaseKept()
	root, release, err := s.Root(ctx, held, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	_, releaseGone, err := s.Root(ctx, gone, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	releaseGone()
	releaseGone() // twice is once
	keep := func(ref string) bool { return strings.HasPrefix(ref, "docker.io/library/kept") }
	f, err := s.GC(ctx, keep)
	if err != nil {
		t.Fatal(err)
	}
	if f.Images != 1 || f.Layers != 1 || f.Registry.Manifests != 2 {
		t.Errorf("freed %+v", f)
	}
	if _, err := os.Stat(filepath.Join(root.Layers[1], "fn")); err != nil {
		t.Errorf("a layer in use is gone: %v", err)
	}
	release()
	if f, err := s.GC(ctx, keep); err != nil || f.Layers != 1 || f.Images != 1 {
		t.Errorf("after release: %+v (%v)", f, err)
	}
	if got := list(t, s.path("layers/sha256")); len(got) != 2 {
		t.Errorf("layers of the kept image: %v", got)
	}
	if got := list(t, s.path("tmp")); len(got) != 0 {
		t.Errorf("left in tmp: %v", got)
	}
	if _, err := s.Resolve(ctx, "gone", Credentials{}); err == nil {
		t.Error("the image that was not kept is there")
	}
}

// The rules that GC's comment states for what is outside of the registry.
func TestGCKeeps(t *testing.T) {
	const here = "other"
	for name, c := range map[string]struct {
		keep        func(ref string) bool
		hold, spoil bool
		kept        bool
	}{
		"by digest":                       {keep: func(ref string) bool { return strings.Contains(ref, "@") }, kept: true},
		"by digest under its second name": {keep: func(ref string) bool { return strings.HasPrefix(ref, "docker.io/library/second@") }, kept: true},
		"not by tag":                      {keep: func(ref string) bool { return !strings.Contains(ref, "@") }},
		"not by another name":             {keep: func(ref string) bool { return strings.HasPrefix(ref, here) }},
		"held":                            {keep: func(string) bool { return false }, hold: true, kept: true},
		"held, without a rule":            {hold: true, kept: true},
		"nothing":                         {},
		"a record that cannot be read":    {keep: func(string) bool { return true }, spoil: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, s := t.Context(), newStore(t, Options{})
			p := pushed(t, s, "first", layerOf(t, entry{name: "fn", body: "x"}))
			img, err := s.Image(ctx, p, Credentials{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Push(ctx, "second", img, Credentials{}, true); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Resolve(ctx, "second", Credentials{}); err != nil {
				t.Fatal(err)
			}
			_, release, err := s.Root(ctx, p, Credentials{})
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			if !c.hold {
				release()
			}
			at := s.path("images/sha256", strings.TrimPrefix(p.Digest, "sha256:"))
			if c.spoil {
				if err := os.WriteFile(at, []byte("{"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.GC(ctx, c.keep); err != nil {
				t.Fatal(err)
			}
			_, err = os.Stat(at)
			if layers := list(t, s.path("layers/sha256")); (err == nil) != c.kept || (len(layers) == 1) != c.kept {
				t.Errorf("record: %v, layers: %v; want them kept: %v", err, layers, c.kept)
			}
		})
	}
}

// rawManifest is a remote.Taggable.
type rawManifest []byte

func (r rawManifest) RawManifest() ([]byte, error)        { return r, nil }
func (r rawManifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// pushedModule puts a WebAssembly artifact, whose config has no rootfs, into the store's own registry and resolves it.
func pushedModule(t *testing.T, s *Store, ref string) Pinned {
	t.Helper()
	r, err := ParseRef(ref)
	if err != nil {
		t.Fatal(err)
	}
	at, err := r.local()
	if err != nil {
		t.Fatal(err)
	}
	add := func(content string, media types.MediaType) v1.Descriptor {
		l := static.NewLayer([]byte(content), media)
		if err := remote.WriteLayer(at.Context(), l, s.atLocal(t.Context())...); err != nil {
			t.Fatal(err)
		}
		d, err := partial.Descriptor(l)
		if err != nil {
			t.Fatal(err)
		}
		return *d
	}
	module := add("\x00asm", "application/wasm")
	config := add(fmt.Sprintf(`{"architecture":"wasm","os":"wasip1","layerDigests":[%q]}`, module.Digest), "application/vnd.wasm.config.v0+json")
	m, err := json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{module}})
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Put(at, rawManifest(m), s.atLocal(t.Context())...); err != nil {
		t.Fatal(err)
	}
	p, err := s.Resolve(t.Context(), ref, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What is unpacked of a module stays as that of other images does: while its record is kept, and both while it is held.
func TestGCOfModules(t *testing.T) {
	s := newStore(t, Options{})
	p := pushedModule(t, s, "module")
	_, release, err := s.Root(t.Context(), p, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	there := func(want bool, when string) {
		t.Helper()
		_, err := os.Stat(s.path("images/sha256", strings.TrimPrefix(p.Digest, "sha256:")))
		if layers := list(t, s.path("layers/sha256")); (err == nil) != want || (len(layers) == 1) != want {
			t.Errorf("%s: record %v, layers %v; want them kept: %v", when, err, layers, want)
		}
	}
	for _, step := range []struct {
		when       string
		keep, kept bool
		before     func()
	}{
		{"held", false, true, func() {}}, {"kept", true, true, release}, {"neither", false, false, func() {}},
	} {
		step.before()
		if _, err := s.GC(t.Context(), func(string) bool { return step.keep }); err != nil {
			t.Fatal(err)
		}
		there(step.kept, step.when)
	}
}

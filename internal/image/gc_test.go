package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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

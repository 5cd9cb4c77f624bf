package image

import (
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/openfunction/ofn/internal/image/assemble"
	"github.com/openfunction/ofn/internal/image/registry"
)

// BenchmarkWarm is what a cold start of a function pays for its image once it is unpacked.
func BenchmarkWarm(b *testing.B) {
	r, err := registry.Open(b.TempDir(), registry.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	s, err := Open(b.TempDir(), r, Options{})
	if err != nil {
		b.Fatal(err)
	}
	img := empty.Image
	for i := range 4 {
		l, err := assemble.Layer([]assemble.File{{Path: fmt.Sprintf("f%d", i), Data: make([]byte, 1<<20)}})
		if err != nil {
			b.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := s.Push(b.Context(), "fn", img, Credentials{}, true); err != nil {
		b.Fatal(err)
	}
	p, err := s.Resolve(b.Context(), "fn", Credentials{})
	if err != nil {
		b.Fatal(err)
	}
	for name, ref := range map[string]string{"tag": "fn", "digest": p.String()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p, err := s.Resolve(b.Context(), ref, Credentials{})
				if err != nil {
					b.Fatal(err)
				}
				_, release, err := s.Root(b.Context(), p, Credentials{})
				if err != nil {
					b.Fatal(err)
				}
				release()
			}
		})
	}
}

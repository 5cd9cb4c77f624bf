package install

import (
	"debug/elf"
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openfunction/ofn/internal/image/assemble"
)

// program is where ofn lies in its image.
const program = "/ofn"

// Image packs a binary of ofn as the image that its operator runs from: that file, a user who is not root, and authorities of
// certificates. The same binary makes the same image.
func Image(binary, version string, certificates []byte) (v1.Image, error) {
	arch, err := architecture(binary)
	if err != nil {
		return nil, err
	}
	base, err := assemble.Base(certificates)
	if err != nil {
		return nil, fmt.Errorf("making the base: %w", err)
	}
	layer, err := assemble.Layer([]assemble.File{{Path: program, Mode: 0o755, From: binary}})
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", binary, err)
	}
	user := strconv.Itoa(assemble.Nobody)
	return assemble.Image(assemble.Spec{
		Layers: []v1.Layer{base, layer}, Entrypoint: []string{program}, User: user + ":" + user, OS: "linux", Arch: arch,
		Env: []string{"HOME=/home"},
		Labels: map[string]string{
			"org.opencontainers.image.title":   "ofn",
			"org.opencontainers.image.version": version,
			"org.opencontainers.image.source":  "https://github.com/openfunction/ofn",
		},
	})
}

// Index is the images of binaries for several architectures as one: a node takes that of its own. The same binaries make the same, in
// whatever order they come.
func Index(binaries []string, version string, certificates []byte) (v1.ImageIndex, error) {
	of := map[string]string{}
	var all []mutate.IndexAddendum
	for _, b := range binaries {
		arch, err := architecture(b)
		if err != nil {
			return nil, err
		}
		if other := of[arch]; other != "" {
			return nil, fmt.Errorf("%s and %s are both for %s: give one for each architecture", other, b, arch)
		}
		of[arch] = b
		image, err := Image(b, version, certificates)
		if err != nil {
			return nil, err
		}
		all = append(all, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	slices.SortFunc(all, func(a, b mutate.IndexAddendum) int {
		return strings.Compare(a.Descriptor.Platform.Architecture, b.Descriptor.Platform.Architecture)
	})
	return mutate.IndexMediaType(mutate.AppendManifests(empty.Index, all...), types.OCIImageIndex), nil
}

// Onto lays a binary of ofn over an image of a function, for warm pods of functions that share its other layers.
func Onto(base v1.Image, binary string) (v1.Image, error) {
	arch, err := architecture(binary)
	if err != nil {
		return nil, err
	}
	of, err := base.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image of the function: %w", err)
	}
	if of.OS != "linux" || of.Architecture != arch {
		return nil, fmt.Errorf("the image is for %s/%s, and %s for linux/%s", of.OS, of.Architecture, binary, arch)
	}
	layer, err := assemble.Layer([]assemble.File{{Path: program, Mode: 0o755, From: binary}})
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", binary, err)
	}
	return assemble.Image(assemble.Spec{Base: base, Layers: []v1.Layer{layer}})
}

// architecture is that of a static program for Linux, as images name it; others would not run in an image that holds nothing else.
func architecture(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s is no program for Linux: %w; build one with GOOS=linux CGO_ENABLED=0 go build ./cmd/ofn and name it with --binary", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s needs libraries that the image does not have: build it with CGO_ENABLED=0", path)
		}
	}
	arch, ok := map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}[f.Machine]
	if !ok {
		return "", fmt.Errorf("%s is for %s: images are made for amd64 and arm64", path, f.Machine)
	}
	return arch, nil
}

package registry

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Docker's media types of the same two documents.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// document is what the registry must understand of a manifest or index.
type document struct {
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType"`
	Config       *ocispec.Descriptor  `json:"config"`
	Layers       []ocispec.Descriptor `json:"layers"`
	Manifests    []ocispec.Descriptor `json:"manifests"`
	Subject      *ocispec.Descriptor  `json:"subject"`
	Annotations  map[string]string    `json:"annotations"`
}

// parseManifest checks data as far as a registry may. Media types it does not know are kept as they are, referring to nothing.
func parseManifest(mediaType string, data []byte) (document, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return d, fmt.Errorf("%w: not JSON: %v", ociregistry.ErrManifestInvalid, err)
	}
	switch mediaType {
	case ocispec.MediaTypeImageManifest, dockerManifest, ocispec.MediaTypeImageIndex, dockerList:
	default:
		return document{}, nil
	}
	if d.MediaType != "" && d.MediaType != mediaType {
		return d, fmt.Errorf("%w: it says mediaType %s, the request says Content-Type %s", ociregistry.ErrManifestInvalid, d.MediaType, mediaType)
	}
	for _, ref := range d.descriptors() {
		if err := ref.Digest.Validate(); err != nil {
			return d, fmt.Errorf("%w: digest %q: %v", ociregistry.ErrManifestInvalid, ref.Digest, err)
		}
	}
	return d, nil
}

func (d document) descriptors() []ocispec.Descriptor {
	all := slices.Concat(d.Layers, d.Manifests)
	if d.Config != nil {
		all = append(all, *d.Config)
	}
	if d.Subject != nil {
		all = append(all, *d.Subject)
	}
	return all
}

// blobs are the digests of what must be in the repository before the manifest may be; foreign layers, which are
// fetched from their URLs, need not.
func (d document) blobs() []digest.Digest {
	var out []digest.Digest
	if d.Config != nil {
		out = append(out, d.Config.Digest)
	}
	for _, l := range d.Layers {
		if !foreign(l.MediaType) {
			out = append(out, l.Digest)
		}
	}
	return out
}

func (d document) manifests() []digest.Digest {
	var out []digest.Digest
	for _, m := range d.Manifests {
		out = append(out, m.Digest)
	}
	return out
}

func foreign(mediaType string) bool {
	return strings.Contains(mediaType, ".nondistributable.") || strings.Contains(mediaType, ".foreign.")
}

// referrer is the descriptor under which the referrers API lists the manifest.
func (d document) referrer(desc ocispec.Descriptor) ocispec.Descriptor {
	desc.ArtifactType, desc.Annotations = d.ArtifactType, d.Annotations
	if desc.ArtifactType == "" && d.Config != nil {
		desc.ArtifactType = d.Config.MediaType
	}
	return desc
}

package export

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/openfunction/ofn/internal/image"
)

// Transfer moves images between the platform's own registry, other registries and directories. One is for one run.
type Transfer struct {
	// Own sends requests to the platform's own registry; nil where there is none.
	Own http.RoundTripper
	// Logins are for the other registries.
	Logins    authn.Keychain
	UserAgent string
	// PlainHTTP speaks without TLS to the registry that images are pushed to.
	PlainHTTP bool

	mu sync.Mutex
	// layers are where layers have been pushed to, so that another repository of the same registry can have them without sending.
	layers map[v1.Hash]name.Repository
}

// Sent is what became of an image.
type Sent struct {
	Image
	// There says that the target had it already, and nothing was sent.
	There bool `json:"there,omitempty"`
	// Bytes of all its layers.
	Bytes int64 `json:"bytes"`
}

func (t *Transfer) own(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuth(authn.Anonymous), remote.WithTransport(t.Own), remote.WithUserAgent(t.UserAgent)}
}

func (t *Transfer) other(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(t.Logins), remote.WithUserAgent(t.UserAgent)}
}

// ownRef is an image as the platform's own registry keeps it.
func ownRef(written string) (name.Reference, error) {
	ref, err := image.ParseRef(written)
	if err != nil {
		return nil, err
	}
	at := image.LocalHost + "/" + ref.LocalRepo()
	if ref.Digest != "" {
		return name.NewDigest(at + "@" + ref.Digest)
	}
	return name.NewTag(at + ":" + ref.Tag)
}

// Digest implements Registry.
func (t *Transfer) Digest(ctx context.Context, written string) (string, error) {
	ref, err := ownRef(written)
	if err != nil {
		return "", err
	}
	d, err := remote.Head(ref, t.own(ctx)...)
	switch {
	case status(err) == http.StatusNotFound:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("looking for image %s in the registry of this machine: %w", written, err)
	}
	return d.Digest.String(), nil
}

func status(err error) int {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// get finds an image where it is: in the platform's own registry, if there is one and it has it, or in its own.
func (t *Transfer) get(ctx context.Context, written string) (*remote.Descriptor, error) {
	if t.Own != nil {
		ref, err := ownRef(written)
		if err != nil {
			return nil, err
		}
		d, err := remote.Get(ref, t.own(ctx)...)
		if err == nil || status(err) != http.StatusNotFound {
			return d, refusal(err, "reading image "+written)
		}
	}
	ref, err := name.ParseReference(written)
	if err != nil {
		return nil, fmt.Errorf("%q is not an image reference: %w", written, err)
	}
	d, err := remote.Get(ref, t.other(ctx)...)
	return d, refusal(err, "reading image "+written)
}

// refusal says what to do about a registry that wants other credentials.
func refusal(err error, doing string) error {
	switch code := status(err); {
	case err == nil:
		return nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("%s: the registry refuses these credentials (log in with `docker login`, or name a secret with --push-secret): %w", doing, err)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%s: the registry speaks without TLS: --plain-http allows that: %w", doing, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// Push copies an image to another registry by its digest. Layers that are there are not sent again.
func (t *Transfer) Push(ctx context.Context, i Image) (Sent, error) {
	d, err := t.get(ctx, i.From)
	if err != nil {
		return Sent{Image: i}, err
	}
	var options []name.Option
	if t.PlainHTTP {
		options = append(options, name.Insecure)
	}
	to, err := name.NewDigest(i.To, options...)
	if err != nil {
		return Sent{Image: i}, fmt.Errorf("%q is not an image reference: %w", i.To, err)
	}
	return t.write(ctx, d, i, to, t.other(ctx))
}

// Import puts an image of a layout into the platform's own registry, under the name that it has.
func (t *Transfer) Import(ctx context.Context, from remote.Taggable, written string) error {
	ref, err := image.ParseRef(written)
	if err != nil {
		return err
	}
	label := ref.Tag
	if ref.Digest != "" {
		label = tagFor(ref.Digest)
	}
	tag, err := name.NewTag(image.LocalHost + "/" + ref.LocalRepo() + ":" + label)
	if err != nil {
		return fmt.Errorf("naming %s: %w", written, err)
	}
	return refusal(remote.Push(tag, from, t.own(ctx)...), "sending image "+written)
}

// write pushes an image or an index, under a tag, which keeps a registry from taking it for garbage.
func (t *Transfer) write(ctx context.Context, d *remote.Descriptor, i Image, to name.Digest, options []remote.Option) (Sent, error) {
	sent := Sent{Image: i}
	tag := to.Context().Tag(tagFor(to.DigestStr()))
	if there, err := remote.Head(to, options...); err == nil && there.Digest == d.Digest {
		sent.There = true
		return sent, refusal(remote.Tag(tag, d, options...), "naming image "+i.To)
	}
	if d.MediaType.IsIndex() {
		index, err := d.ImageIndex()
		if err != nil {
			return sent, fmt.Errorf("reading image %s: %w", i.From, err)
		}
		return sent, refusal(remote.WriteIndex(tag, index, options...), "sending image "+i.From)
	}
	img, err := d.Image()
	if err != nil {
		return sent, fmt.Errorf("reading image %s: %w", i.From, err)
	}
	layers, err := img.Layers()
	if err != nil {
		return sent, fmt.Errorf("reading image %s: %w", i.From, err)
	}
	for _, l := range layers {
		if n, err := l.Size(); err == nil {
			sent.Bytes += n
		}
	}
	if err := remote.Write(tag, mounting{img, t, to.Context()}, options...); err != nil {
		return sent, refusal(err, "sending image "+i.From)
	}
	t.remember(layers, to.Context())
	return sent, nil
}

// tagFor is a tag that says which image it is: "ofn-" and the beginning of the digest.
func tagFor(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return "ofn-" + hex[:min(len(hex), 16)]
}

func (t *Transfer) remember(layers []v1.Layer, at name.Repository) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.layers == nil {
		t.layers = map[v1.Hash]name.Repository{}
	}
	for _, l := range layers {
		if h, err := l.Digest(); err == nil {
			t.layers[h] = at
		}
	}
}

// mounting is an image whose layers say where the registry that it goes to has them already.
type mounting struct {
	v1.Image
	t  *Transfer
	to name.Repository
}

// Layers implements v1.Image.
func (m mounting) Layers() ([]v1.Layer, error) {
	layers, err := m.Image.Layers()
	if err != nil {
		return nil, err
	}
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	out := make([]v1.Layer, len(layers))
	for i, l := range layers {
		out[i] = l
		h, err := l.Digest()
		if err != nil {
			return nil, err
		}
		if at, ok := m.t.layers[h]; ok && at.RegistryStr() == m.to.RegistryStr() && at.RepositoryStr() != m.to.RepositoryStr() {
			out[i] = &remote.MountableLayer{Layer: l, Reference: at.Digest(h.String())}
		}
	}
	return out, nil
}

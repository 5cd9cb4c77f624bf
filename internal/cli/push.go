package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/openfunction/ofn/internal/cli/progress"
	"github.com/openfunction/ofn/internal/image/bundle"
)

// sourceRegistry is a repository for sources and the way there.
type sourceRegistry struct {
	tag     name.Tag
	options []remote.Option
	failed  func(error) error // explains
}

// ownRegistry is that of a machine, behind its API server.
func (s *session) ownRegistry(p *plan) (sourceRegistry, error) {
	tag, err := name.NewTag(fmt.Sprintf("%s/%s/%s-source:latest", localRegistry, p.function.GetNamespace(), p.function.GetName()), name.StrictValidation)
	if err != nil {
		return sourceRegistry{}, fmt.Errorf("naming the source: %w", err)
	}
	return sourceRegistry{tag, []remote.Option{remote.WithAuth(authn.Anonymous), remote.WithTransport(toServer{s.HTTP.Transport, s.URL})}, s.pushFailed}, nil
}

// imageRegistry is that of the function's image, for clusters. Sources lie beside the image, because nothing else may be pushed to for
// certain, each under the tag of its image with an addition.
func imageRegistry(p *plan) (sourceRegistry, error) {
	var none sourceRegistry
	options := []name.Option{}
	if p.insecure {
		options = append(options, name.Insecure)
	}
	image := p.image()
	ref, err := name.ParseReference(image, options...)
	if err != nil {
		return none, fmt.Errorf("reading the image %s: %w", image, err)
	}
	of := "latest"
	if t, ok := ref.(name.Tag); ok {
		of = t.TagStr()
	}
	return sourceRegistry{ref.Context().Tag(of[:min(len(of), maxTag)] + "-source"), []remote.Option{remote.WithAuthFromKeychain(authn.DefaultKeychain)}, func(err error) error {
		var answer *transport.Error
		if errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden) {
			return fmt.Errorf("the registry of the image does not let you push the source to %s: log in with `docker login %s`: %w", ref.Context().Name(), ref.Context().RegistryStr(), err)
		}
		return fmt.Errorf("sending the source to the registry of the image: %w; a registry without TLS needs --plain-http, or `ofn install --insecure-registry %s`", err, ref.Context().RegistryStr())
	}}, nil
}

// maxTag is how much of an image's tag fits before the addition.
const maxTag = 120

// pushSource packs the directory and sends it to the registry of the control plane, or, on a cluster, to that of the image.
func (s *session) pushSource(ctx context.Context, p *plan, display *progress.Display) error {
	begin := time.Now()
	at := imageRegistry
	if !p.cluster {
		at = s.ownRegistry
	}
	to, err := at(p)
	if err != nil {
		return err
	}
	display.Step("packing %s", p.from())
	packed, err := bundle.Pack(ctx, p.dir, bundle.Options{})
	if err != nil {
		return err
	}
	for _, path := range packed.Skipped {
		display.Line("left out %s: only files and links inside the directory can be packed", path)
	}
	digest, err := packed.Image.Digest()
	if err != nil {
		return fmt.Errorf("packing the source: %w", err)
	}
	display.Step("sending the source (%s)", humanize.IBytes(uint64(packed.Bytes)))
	// The tag keeps the source from being collected as garbage; the manifest names the digest.
	err = remote.Write(to.tag, packed.Image, append(to.options, remote.WithContext(ctx), remote.WithUserAgent("ofn/"+s.app.env.Version))...)
	if err != nil {
		return to.failed(err)
	}
	display.Line("packed and sent %d files (%s) from %s in %s", packed.Files, humanize.IBytes(uint64(packed.Bytes)), p.from(), progress.Duration(time.Since(begin)))
	p.bundle = to.tag.Repository.Name() + "@" + digest.String()
	return nil
}

func (s *session) pushFailed(err error) error {
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("sending the source: %w", err)
	}
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return withoutRegistry(s.Cluster)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("these credentials may not send sources to %s: allow them to use the path /v2/*, or use --git or --image: %w", s.URL, err)
	}
	return fmt.Errorf("sending the source: %w", err)
}

// toServer sends the requests for the registry of the control plane to its API server, which serves it under /v2/.
type toServer struct {
	next http.RoundTripper
	base *url.URL
}

// RoundTrip implements http.RoundTripper.
func (t toServer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = t.base.Scheme, t.base.Host, ""
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(r)
}

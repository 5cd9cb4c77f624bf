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

// pushSource packs the directory and sends it to the registry of the control plane.
func (s *session) pushSource(ctx context.Context, p *plan, display *progress.Display) error {
	begin := time.Now()
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
	repo := fmt.Sprintf("%s/%s/%s-source", localRegistry, p.function.GetNamespace(), p.function.GetName())
	tag, err := name.NewTag(repo+":latest", name.StrictValidation)
	if err != nil {
		return fmt.Errorf("naming the source: %w", err)
	}
	// The tag keeps the source from being collected as garbage; the manifest names the digest.
	err = remote.Write(tag, packed.Image, remote.WithContext(ctx), remote.WithAuth(authn.Anonymous),
		remote.WithTransport(toServer{s.HTTP.Transport, s.URL}), remote.WithUserAgent("ofn/"+s.app.env.Version))
	if err != nil {
		return s.pushFailed(err)
	}
	display.Line("packed and sent %d files (%s) from %s in %s", packed.Files, humanize.IBytes(uint64(packed.Bytes)), p.from(), progress.Duration(time.Since(begin)))
	p.bundle = tag.Repository.Name() + "@" + digest.String()
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

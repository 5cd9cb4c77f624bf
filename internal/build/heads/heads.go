// Package heads asks sources what they are now, without a git program and without a disk: for the operator, whose image has neither.
package heads

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/time/rate"

	"github.com/openfunction/ofn/internal/build"
)

// Options of a Resolver.
type Options struct {
	// HTTP asks git servers and registries; Dial connects to those of ssh. Both keep to what they may reach.
	HTTP http.RoundTripper
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Insecure are registry hosts without TLS.
	Insecure []string
	// PerSecond bounds the questions; 0 is without limit.
	PerSecond float64
	// Timeout bounds one question; 0 is 30 s.
	Timeout time.Duration
	// MaxBytes bounds one answer; 0 is 64 MiB, which are half a million branches and tags.
	MaxBytes  int64
	UserAgent string
}

// Resolver implements build.HeadResolver. It may be used by many goroutines.
type Resolver struct {
	o     Options
	limit *rate.Limiter
}

var _ build.HeadResolver = (*Resolver)(nil)

// New makes a Resolver.
func New(o Options) *Resolver {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	limit := rate.Inf
	if o.PerSecond > 0 {
		limit = rate.Limit(o.PerSecond)
	}
	return &Resolver{o, rate.NewLimiter(limit, 1)}
}

var (
	fullSHA  = regexp.MustCompile(`^[0-9a-fA-F]{40}$|^[0-9a-fA-F]{64}$`)
	shortSHA = regexp.MustCompile(`^[0-9a-fA-F]{7,63}$`)
)

// Head is the commit or the digest of the bundle that the source names now. What the user must change is a *build.Failure.
func (r *Resolver) Head(ctx context.Context, s build.Source) (string, error) {
	if s.Bundle == "" && fullSHA.MatchString(s.Revision) {
		return strings.ToLower(s.Revision), nil
	}
	if err := r.limit.Wait(ctx); err != nil {
		return "", fmt.Errorf("waiting for the turn of %s: %w", s.URL, err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	if s.Bundle != "" {
		return r.bundle(ctx, s)
	}
	ask, err := r.way(s)
	if err != nil {
		return "", err
	}
	refs, err := ask(ctx, s)
	if err != nil {
		return "", err
	}
	return find(refs, s)
}

// way is how a git repository is asked, by its address.
func (r *Resolver) way(s build.Source) (func(context.Context, build.Source) (*packp.AdvRefs, error), error) {
	if !strings.Contains(s.URL, "://") {
		if _, _, err := scp(s.URL); err != nil {
			return nil, err
		}
		return r.overSSH, nil
	}
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, failure("SourceInvalid", "source URL %q has no valid host", s.URL)
	case u.Scheme == "https", u.Scheme == "http":
		return r.overHTTP, nil
	case u.Scheme == "ssh":
		return r.overSSH, nil
	}
	return nil, failure("SourceInvalid", "source URL %q cannot be followed on a cluster: want https://, http://, ssh:// or user@host:path", s.URL)
}

// find prefers a branch over a tag of the same name, and takes full names too. A tag is the commit that it points to.
func find(refs *packp.AdvRefs, s build.Source) (string, error) {
	if s.Revision == "" || s.Revision == "HEAD" {
		if refs.Head == nil {
			return "", failure("SourceNotFound", "%s has no default branch: it is empty, or name a revision", s.URL)
		}
		return refs.Head.String(), nil
	}
	for _, full := range []string{"refs/heads/" + s.Revision, "refs/tags/" + s.Revision, s.Revision} {
		for _, of := range []map[string]plumbing.Hash{refs.Peeled, refs.References} {
			if sha, ok := of[full]; ok {
				return sha.String(), nil
			}
		}
	}
	if shortSHA.MatchString(s.Revision) { // an abbreviated commit never moves
		return strings.ToLower(s.Revision), nil
	}
	return "", failure("SourceNotFound", "revision %q is not a branch, tag or commit of %s", s.Revision, s.URL)
}

// bundle is the digest of a source bundle.
func (r *Resolver) bundle(ctx context.Context, s build.Source) (string, error) {
	ref, err := name.ParseReference(s.Bundle)
	if err != nil {
		return "", failure("SourceInvalid", "bundle %q: %v", s.Bundle, err)
	}
	if digest, ok := ref.(name.Digest); ok {
		return digest.DigestStr(), nil
	}
	if slices.Contains(r.o.Insecure, ref.Context().RegistryStr()) {
		if ref, err = name.ParseReference(s.Bundle, name.Insecure); err != nil {
			return "", failure("SourceInvalid", "bundle %q: %v", s.Bundle, err)
		}
	}
	auth := authn.Anonymous
	if a := s.Auth; a.Username != "" || a.Password != "" || a.Token != "" {
		auth = authn.FromConfig(authn.AuthConfig{Username: a.Username, Password: a.Password, RegistryToken: a.Token})
	}
	found, err := remote.Head(ref, remote.WithContext(ctx), remote.WithTransport(r.o.HTTP), remote.WithAuth(auth), remote.WithUserAgent(r.o.UserAgent))
	var answer *transport.Error
	switch {
	case err == nil:
		return found.Digest.String(), nil
	case !errors.As(err, &answer):
	case answer.StatusCode == http.StatusNotFound:
		return "", failure("SourceNotFound", "there is no bundle %s", s.Bundle)
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		return "", failure("SourceAuth", "the registry of %s asks for credentials, or refuses those of build.srcRepo.credentials", s.Bundle)
	}
	return "", fmt.Errorf("asking for bundle %s: %w", s.Bundle, err)
}

func failure(reason, format string, args ...any) *build.Failure {
	return &build.Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

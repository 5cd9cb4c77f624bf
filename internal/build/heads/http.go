package heads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/openfunction/ofn/internal/build"
)

// mostRedirects is how often a server may send the question elsewhere.
const mostRedirects = 5

// overHTTP asks a server that speaks git's smart protocol over HTTP.
func (r *Resolver) overHTTP(ctx context.Context, s build.Source) (*packp.AdvRefs, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, failure("SourceInvalid", "source URL %q is none", s.URL)
	}
	host := u.Host
	u = u.JoinPath("info", "refs")
	u.RawQuery = "service=git-upload-pack"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", host, err)
	}
	req.Header.Set("User-Agent", "git/"+r.o.UserAgent) // by which servers know a client of git
	if password := or(s.Auth.Password, s.Auth.Token); password != "" {
		req.SetBasicAuth(or(s.Auth.Username, "oauth2"), password)
	}
	answer, err := (&http.Client{Transport: r.o.HTTP, CheckRedirect: redirected}).Do(req)
	if err != nil {
		return nil, unreachable(host, err)
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		return nil, failure("SourceAuth", "%s asks for credentials or does not exist: see the secret in build.srcRepo.credentials", s.URL)
	case answer.StatusCode == http.StatusNotFound:
		return nil, failure("SourceNotFound", "there is no git repository at %s, or it is private", s.URL)
	case answer.StatusCode != http.StatusOK:
		return nil, failure("SourceUnreachable", "%s answered %s", host, answer.Status)
	case !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/x-git-upload-pack-advertisement"):
		return nil, failure("SourceUnreachable", "%s does not speak git's smart protocol", s.URL)
	}
	return r.decode(s, answer.Body)
}

// redirected keeps credentials from going elsewhere, and a question from losing its encryption.
func redirected(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > mostRedirects:
		return errors.New("too many redirects")
	case first.Scheme == "https" && next.URL.Scheme != "https":
		return errors.New("the server sends https elsewhere without TLS")
	case next.URL.Host != first.Host:
		next.Header.Del("Authorization")
	}
	return nil
}

// decode reads what a server advertises.
func (r *Resolver) decode(s build.Source, from io.Reader) (*packp.AdvRefs, error) {
	limited := &io.LimitedReader{R: from, N: r.o.MaxBytes}
	refs := packp.NewAdvRefs()
	err := refs.Decode(limited)
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs):
		return packp.NewAdvRefs(), nil
	case err != nil && limited.N <= 0:
		return nil, failure("SourceTooLarge", "the branches and tags of %s take more than %d MiB", s.URL, r.o.MaxBytes>>20)
	case err != nil:
		return nil, fmt.Errorf("reading the branches of %s: %w", s.URL, err)
	}
	return refs, nil
}

func unreachable(host string, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) { // it repeats the whole address
		err = wrapped.Err
	}
	return fmt.Errorf("asking %s: %w", host, err)
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Package image has the images that functions run from: it finds them, in the platform's own registry or any other, and
// keeps their layers unpacked for the sandboxes to mount. There is no image daemon.
package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/semaphore"

	"github.com/openfunction/ofn/internal/image/registry"
	"github.com/openfunction/ofn/internal/image/unpack"
)

// Options steer a Store.
type Options struct {
	// InsecureHosts are registry hosts ("registry.lan:5000") that may be spoken to without TLS. Loopback always may.
	InsecureHosts []string
	// OS and Arch are the platform whose images run here; empty are those of this program.
	OS, Arch string
	// Limits bound one unpacked layer.
	Limits unpack.Limits
	// Transport reaches other registries; nil is http.DefaultTransport's settings.
	Transport http.RoundTripper
	// Retry is the first pause of the back-off after a transient error; 0 is 300 ms.
	Retry time.Duration
	// Log receives what no caller is told; nil discards.
	Log *slog.Logger
}

// Store finds images and keeps their unpacked layers in one directory. It is safe for concurrent use.
//
// The files of layers belong to the owners their images name and have their modes, so that the directory itself must not be open to
// other users of the machine; it is made with mode 0700, an existing one is left as it is.
type Store struct {
	dir      string
	o        Options
	registry *registry.Registry
	overlay  bool                // whiteouts can be made in the kernel's form
	unpacks  *semaphore.Weighted // bounds layers unpacked at a time

	recording sync.Mutex // held while records are changed

	mu    sync.Mutex
	inUse map[string]int       // directories under dir that roots hold
	locks map[string]*fillLock // directories that are being filled
}

// Open opens the store in dir above a registry. The registry stays the caller's to close.
func Open(dir string, r *registry.Registry, o Options) (*Store, error) {
	if o.OS == "" {
		o.OS = runtime.GOOS
	}
	if o.Arch == "" {
		o.Arch = runtime.GOARCH
	}
	if o.Retry == 0 {
		o.Retry = 300 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Transport == nil {
		o.Transport = remote.DefaultTransport
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	s := &Store{dir: dir, o: o, registry: r, unpacks: semaphore.NewWeighted(2), inUse: map[string]int{}, locks: map[string]*fillLock{}}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	s.overlay = unpack.CanOverlay(s.path("tmp"))
	s.o.Transport = onlyTLS{next: o.Transport, insecure: o.InsecureHosts}
	return s, nil
}

// prepare makes the directories and removes what an interrupted unpacking left.
func (s *Store) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := removeAll(s.path("tmp")); err != nil {
		return err
	}
	for _, d := range []string{"tmp", "images/sha256", "layers/sha256", "flat/sha256"} {
		if err := os.MkdirAll(s.path(d), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// backOff is the library's retry of single requests: transient errors, four tries.
func (s *Store) backOff() remote.Option {
	return remote.WithRetryBackoff(remote.Backoff{Duration: s.o.Retry, Factor: 3, Jitter: 0.1, Steps: 4})
}

// atLocal are the options to reach the platform's own registry, at the moment without a port.
func (s *Store) atLocal(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithTransport(s.registry.Transport()), remote.WithRetryBackoff(remote.Backoff{Steps: 1})}
}

func (s *Store) atRemote(ctx context.Context, c Credentials) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(s.o.Transport), remote.WithAuth(c.authenticator()),
		s.backOff(), remote.WithUserAgent("ofn"),
	}
}

func (s *Store) remoteRef(r Ref) (name.Reference, error) {
	if plainAllowed(s.o.InsecureHosts, r.Host) {
		return r.remote(name.Insecure)
	}
	return r.remote()
}

// Push stores an image under a reference and returns its digest. local keeps it in the platform's own registry under
// its full name; otherwise it goes to the registry that the name says, and a local image of that name gives way to it.
func (s *Store) Push(ctx context.Context, ref string, img v1.Image, c Credentials, local bool) (string, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return "", err
	}
	d, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("pushing %s: %w", r, err)
	}
	if local || r.Host == LocalHost {
		err = s.pushLocal(ctx, r, img)
	} else {
		err = s.pushRemote(ctx, r, img, c)
	}
	if err != nil {
		return "", explain("pushing", r, c, err)
	}
	return d.String(), nil
}

func (s *Store) pushLocal(ctx context.Context, r Ref, img v1.Image) error {
	at, err := r.local()
	if err != nil {
		return err
	}
	return remote.Write(at, img, s.atLocal(ctx)...)
}

func (s *Store) pushRemote(ctx context.Context, r Ref, img v1.Image, c Credentials) error {
	at, err := s.remoteRef(r)
	if err != nil {
		return err
	}
	if err := remote.Write(at, img, s.atRemote(ctx, c)...); err != nil {
		return err
	}
	return s.Delete(ctx, r.String())
}

// Tag makes a reference name an image that its repository already has, as Push with the same arguments put it there. It
// is false when the image is there no more.
func (s *Store) Tag(ctx context.Context, ref, digest string, c Credentials, local bool) (bool, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return false, err
	}
	byDigest := Ref{Host: r.Host, Repo: r.Repo, Digest: digest}
	at, from, options := r.local, byDigest.local, s.atLocal(ctx)
	if !local && r.Host != LocalHost {
		at = func() (name.Reference, error) { return s.remoteRef(r) }
		from = func() (name.Reference, error) { return s.remoteRef(byDigest) }
		options = s.atRemote(ctx, c)
	}
	err = retag(at, from, options)
	if statusOf(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, explain("tagging", r, c, err)
}

func retag(at, from func() (name.Reference, error), options []remote.Option) error {
	source, err := from()
	if err != nil {
		return err
	}
	to, err := at()
	if err != nil {
		return err
	}
	desc, err := remote.Get(source, options...)
	if err != nil {
		return err
	}
	tag, ok := to.(name.Tag)
	if !ok {
		return nil // a digest names itself
	}
	return remote.Tag(tag, desc, options...)
}

// Delete removes a tag, or an image by digest, from the platform's own registry; nothing there is no error. What the
// tag pointed at goes with the next GC.
func (s *Store) Delete(ctx context.Context, ref string) error {
	r, err := ParseRef(ref)
	if err != nil {
		return err
	}
	at, err := r.local()
	if err != nil {
		return err
	}
	err = remote.Delete(at, s.atLocal(ctx)...)
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	return explain("deleting", r, Credentials{}, err)
}

// errPlainHTTP says that a registry answers only without TLS and that this was not allowed.
var errPlainHTTP = errors.New("it speaks plain HTTP only; serve it with TLS, or list it among the insecure registries")

// onlyTLS refuses plain HTTP to hosts for which it was not allowed: the client library allows it for all private networks.
type onlyTLS struct {
	next     http.RoundTripper
	insecure []string
}

func (t onlyTLS) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.URL.Scheme != "https" && !plainAllowed(t.insecure, q.URL.Host) {
		return nil, errPlainHTTP
	}
	return t.next.RoundTrip(q)
}

func plainAllowed(insecure []string, hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback() || slices.Contains(insecure, hostport)
}

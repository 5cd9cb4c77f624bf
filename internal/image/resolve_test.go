package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openfunction/ofn/internal/image/assemble"
	"github.com/openfunction/ofn/internal/image/registry"
)

// The platform's own registry wins, so that what was built here runs although a remote image has the same name.
func TestLocalComesFirst(t *testing.T) {
	ctx, s, ref := t.Context(), newStore(t, Options{}), serve(t)+"/me/fn:v1"
	push := func(body string, local bool) string {
		d, err := s.Push(ctx, ref, imageOf(t, "amd64", layerOf(t, entry{name: "fn", body: body})), Credentials{}, local)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	resolved := func() string {
		p, err := s.Resolve(ctx, ref, Credentials{})
		if err != nil {
			t.Fatal(err)
		}
		return p.Digest
	}
	far := push("far", false)
	if got := resolved(); got != far {
		t.Errorf("resolved %s, want the remote %s", got, far)
	}
	near := push("near", true)
	if got := resolved(); got != near {
		t.Errorf("resolved %s, want the local %s", got, near)
	}
	far = push("farther", false) // an image pushed away is not shadowed by an older one kept here
	if got := resolved(); got != far {
		t.Errorf("resolved %s, want the remote %s", got, far)
	}
}

func TestArchitectures(t *testing.T) {
	ctx, host := t.Context(), serve(t)
	amd := imageOf(t, "amd64", layerOf(t, entry{name: "fn", body: "amd"}))
	arm := imageOf(t, "arm64", layerOf(t, entry{name: "fn", body: "arm"}))
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: amd, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	at, err := name.ParseReference(host + "/both")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(at, index); err != nil {
		t.Fatal(err)
	}
	want, err := amd.Digest()
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Options{})
	p, err := s.Resolve(ctx, host+"/both", Credentials{})
	if err != nil || p.Digest != want.String() {
		t.Errorf("resolved %s (%v), want %s", p.Digest, err, want)
	}
	s390 := newStore(t, Options{OS: "linux", Arch: "s390x"})
	_, err = s390.Resolve(ctx, host+"/both", Credentials{})
	if reasonOf(err) != ArchitectureMismatch || !strings.Contains(err.Error(), "is for linux/amd64, linux/arm64, this machine is linux/s390x") {
		t.Errorf("index: %v", err)
	}
	if _, err := s.Push(ctx, host+"/one", arm, Credentials{}, false); err != nil {
		t.Fatal(err)
	}
	_, err = s.Resolve(ctx, host+"/one", Credentials{})
	if reasonOf(err) != ArchitectureMismatch || !strings.Contains(err.Error(), "is for linux/arm64, this machine is linux/amd64") {
		t.Errorf("image: %v", err)
	}
}

// guarded is a registry that wants a user and password and fails now and then.
func guarded(t *testing.T, failures int32) (host string, requests *atomic.Int32) {
	t.Helper()
	r, requests := newRegistry(t), new(atomic.Int32)
	left := new(atomic.Int32)
	left.Store(failures)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		requests.Add(1)
		if user, password, _ := q.BasicAuth(); user != "me" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if q.URL.Path != "/v2/" && left.Add(-1) >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.ServeHTTP(w, q)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), requests
}

func TestCredentials(t *testing.T) {
	ctx, s := t.Context(), newStore(t, Options{})
	host, _ := guarded(t, 0)
	ref, good := host+"/me/fn", Credentials{Username: "me", Password: "secret"}
	img := imageOf(t, "amd64", layerOf(t, entry{name: "fn", body: "x"}))
	if _, err := s.Push(ctx, ref, img, good, false); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		creds Credentials
		want  string
	}{
		"none":                  {Credentials{}, "refused anonymous access: the image does not exist, or needs credentials; name a secret of type"},
		"a secret without them": {Credentials{Secret: "secret default/push"}, "secret default/push holds no credentials for it"},
		"wrong":                 {Credentials{Username: "me", Password: "guess", Secret: "secret default/push"}, `refused the credentials of secret default/push (user "me")`},
	} {
		_, err := s.Resolve(ctx, ref, c.creds)
		if reasonOf(err) != Unauthorized || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Push(ctx, ref, img, c.creds, false); reasonOf(err) != Unauthorized {
			t.Errorf("%s: pushing: %v", name, err)
		}
	}
	if _, err := s.Resolve(ctx, ref, good); err != nil {
		t.Error(err)
	}
}

func TestTransientErrorsAreTriedAgain(t *testing.T) {
	ctx, good := t.Context(), Credentials{Username: "me", Password: "secret"}
	img := imageOf(t, "amd64", layerOf(t, entry{name: "fn", body: "x"}))
	host, _ := guarded(t, 2)
	s := newStore(t, Options{})
	if _, err := s.Push(ctx, host+"/fn", img, good, false); err != nil {
		t.Errorf("two failures: %v", err)
	}
	host, _ = guarded(t, 1000)
	if _, err := s.Push(ctx, host+"/fn", img, good, false); reasonOf(err) != PullFailed {
		t.Errorf("a registry that is down: %v", err)
	}
}

// An image that a digest names starts again without its registry for whom the registry let in before, and for nobody else.
func TestDigestNeedsNoRegistry(t *testing.T) {
	ctx, s, good := t.Context(), newStore(t, Options{}), Credentials{Username: "me", Password: "secret"}
	host, requests := guarded(t, 0)
	if _, err := s.Push(ctx, host+"/fn", imageOf(t, "amd64", layerOf(t, entry{name: "fn", body: "x"})), good, false); err != nil {
		t.Fatal(err)
	}
	p, err := s.Resolve(ctx, host+"/fn", good)
	if err != nil {
		t.Fatal(err)
	}
	if _, release, err := s.Root(ctx, p, good); err != nil {
		t.Fatal(err)
	} else {
		release()
	}
	before := requests.Load()
	named := good
	named.Secret = "secret default/pull" // says where they are from, not who one is
	again, err := s.Resolve(ctx, p.String(), named)
	if err != nil {
		t.Fatal(err)
	}
	root, release, err := s.Root(ctx, again, named)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if got := requests.Load(); got != before || len(root.Layers) != 1 {
		t.Errorf("%d requests more, %d layers", got-before, len(root.Layers))
	}
	for name, c := range map[string]Credentials{"none": {}, "wrong": {Username: "me", Password: "guess"}, "a token": {Token: "secret"}} {
		for range 2 { // being refused is not being let in
			if _, err := s.Resolve(ctx, p.String(), c); reasonOf(err) != Unauthorized {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	data, err := os.ReadFile(s.path("images/sha256", strings.TrimPrefix(p.Digest, "sha256:")))
	if err != nil || strings.Contains(string(data), "secret") {
		t.Errorf("the record says %s (%v)", data, err)
	}
}

// What a registry gives to everybody, and what is in the platform's own, asks for no credentials later.
func TestOpenImages(t *testing.T) {
	ctx, s := t.Context(), newStore(t, Options{})
	srv := httptest.NewServer(newRegistry(t))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	img := imageOf(t, "amd64", layerOf(t, entry{name: "fn", body: "x"}))
	for ref, local := range map[string]bool{host + "/fn": false, "registry.example.com/own": true} {
		if _, err := s.Push(ctx, ref, img, Credentials{}, local); err != nil {
			t.Fatal(err)
		}
	}
	open, err := s.Resolve(ctx, host+"/fn", Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := s.Resolve(ctx, "registry.example.com/own", Credentials{Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	srv.Close()
	if err := s.Delete(ctx, "registry.example.com/own"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []Pinned{open, own} {
		if _, err := s.Resolve(ctx, p.String(), Credentials{Username: "somebody", Password: "else"}); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	// The same image under another name is another's to give.
	if _, err := s.Resolve(ctx, host+"/private@"+open.Digest, Credentials{}); err == nil {
		t.Error("found under a name that was never asked for")
	}
}

func TestReadersAreBounded(t *testing.T) {
	var r record
	for i := range 3 * maxReaders {
		c := Credentials{Token: fmt.Sprint(i)}
		if by := (reader{"fn", c.fingerprint("fn", "d")}); !r.add(by) || r.add(by) || !r.lets("fn", "d", c) {
			t.Fatalf("reader %d", i)
		}
	}
	if len(r.Readers) != maxReaders || len(r.Names) != 1 || r.lets("fn", "d", Credentials{Token: "0"}) || r.lets("other", "d", Credentials{Token: fmt.Sprint(3*maxReaders - 1)}) {
		t.Errorf("%d readers, names %v", len(r.Readers), r.Names)
	}
}

// toPlain answers every request with a plain HTTP registry, as one in a private network would.
type toPlain struct{ r *registry.Registry }

func (p toPlain) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.URL.Scheme == "https" {
		return nil, errors.New("http: server gave HTTP response to HTTPS client")
	}
	return p.r.Transport().RoundTrip(q)
}

func TestPlainHTTPMustBeAllowed(t *testing.T) {
	r := newRegistry(t)
	img := imageOf(t, "amd64", layerOf(t, entry{name: "fn", body: "x"}))
	for _, host := range []string{"10.1.2.3:5000", "registry.lan:5000", "registry.local"} {
		closed := newStore(t, Options{Transport: toPlain{r}})
		if _, err := closed.Push(t.Context(), host+"/fn", img, Credentials{}, false); reasonOf(err) == "" {
			t.Errorf("%s: pushed without TLS: %v", host, err)
		}
		open := newStore(t, Options{Transport: toPlain{r}, InsecureHosts: []string{host}})
		if _, err := open.Push(t.Context(), host+"/fn", img, Credentials{}, false); err != nil {
			t.Errorf("%s, allowed: %v", host, err)
		}
	}
}

func TestNotAnImage(t *testing.T) {
	ctx, s := t.Context(), newStore(t, Options{})
	two, err := mutate.AppendLayers(empty.Image, layerOf(t, entry{name: "a", body: "x"}))
	if err != nil {
		t.Fatal(err)
	}
	f, err := two.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	f = f.DeepCopy()
	f.RootFS.DiffIDs = nil
	bad, err := mutate.ConfigFile(two, f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(ctx, "ofn.local/bad", bad, Credentials{}, true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(ctx, "ofn.local/bad", Credentials{}); reasonOf(err) != InvalidImage {
		t.Errorf("%v", err)
	}
}

func TestTag(t *testing.T) {
	host := serve(t)
	for _, ref := range []string{"ofn.local/fn", host + "/fn"} {
		ctx, s := t.Context(), newStore(t, Options{})
		d, err := s.Push(ctx, ref+":one", imageOf(t, "amd64", layerOf(t, entry{name: "fn", body: ref})), Credentials{}, false)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := s.Tag(ctx, ref+":two", d, Credentials{}, false)
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", ref, ok, err)
		}
		if p, err := s.Resolve(ctx, ref+":two", Credentials{}); err != nil || p.Digest != d {
			t.Errorf("%s: %v (%v)", ref, p, err)
		}
		gone := "sha256:" + strings.Repeat("0", 64)
		if ok, err := s.Tag(ctx, ref+":three", gone, Credentials{}, false); err != nil || ok {
			t.Errorf("%s: an image that is not there: %v, %v", ref, ok, err)
		}
	}
}

// What assemble makes is what the store runs.
func TestAssembledImage(t *testing.T) {
	ctx, s := context.Background(), newStore(t, Options{})
	base, err := assemble.Base([]byte("certificates"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := assemble.Image(assemble.Spec{Layers: []v1.Layer{base}, Entrypoint: []string{"/fn"}, User: "nobody", Port: 8080, OS: "linux", Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(ctx, "fn", img, Credentials{}, true); err != nil {
		t.Fatal(err)
	}
	p, err := s.Resolve(ctx, "fn", Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	root, release, err := s.Root(ctx, p, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if root.Config.User != "nobody" {
		t.Errorf("user %q", root.Config.User)
	}
	if data, err := os.ReadFile(root.Layers[0] + "/etc/ssl/certs/ca-certificates.crt"); err != nil || string(data) != "certificates" {
		t.Errorf("%q (%v)", data, err)
	}
}

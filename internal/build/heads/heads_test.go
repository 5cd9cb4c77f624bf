package heads_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/heads"
)

// sha is a commit of forty times that digit.
func sha(digit string) string { return strings.Repeat(digit, 40) }

func packet(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }

// advertised is what a repository says of itself: main is the default branch, v1 an annotated tag of 3, "both" a branch and a tag.
func advertised() string {
	var out strings.Builder
	out.WriteString(packet(sha("1") + " HEAD\x00symref=HEAD:refs/heads/main agent=git/2\n"))
	for _, r := range []string{"4 refs/heads/both", "1 refs/heads/main", "2 refs/heads/next", "5 refs/tags/both", "6 refs/tags/light", "7 refs/tags/v1", "3 refs/tags/v1^{}"} {
		digit, ref, _ := strings.Cut(r, " ")
		out.WriteString(packet(sha(digit) + " " + ref + "\n"))
	}
	return out.String() + "0000"
}

// git answers as a server of git's smart protocol does; a password that is not empty is asked for.
func git(password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, got, _ := r.BasicAuth()
		switch {
		case r.URL.Path != "/repo.git/info/refs" || r.URL.RawQuery != "service=git-upload-pack":
			http.NotFound(w, r)
		case got != password:
			http.Error(w, "who are you?", http.StatusUnauthorized)
		default:
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, packet("# service=git-upload-pack\n")+"0000"+advertised())
		}
	})
}

func resolver(o heads.Options) *heads.Resolver {
	if o.HTTP == nil {
		o.HTTP = http.DefaultTransport
	}
	o.Dial = (&net.Dialer{}).DialContext
	return heads.New(o)
}

func reason(err error) string {
	var f *build.Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestRevisions(t *testing.T) {
	srv := httptest.NewServer(git(""))
	defer srv.Close()
	for revision, want := range map[string]string{
		"": sha("1"), "HEAD": sha("1"), "main": sha("1"), "next": sha("2"), "v1": sha("3"), "both": sha("4"), "light": sha("6"),
		"refs/tags/both": sha("5"), "refs/heads/next": sha("2"), "ABCDEF1": "abcdef1", strings.Repeat("A", 40): sha("a"), "none": "SourceNotFound",
	} {
		got, err := resolver(heads.Options{}).Head(t.Context(), build.Source{URL: srv.URL + "/repo.git", Revision: revision})
		if got+reason(err) != want {
			t.Errorf("%q is %s (%v), want %s", revision, got, err, want)
		}
	}
}

func TestHTTP(t *testing.T) {
	private := httptest.NewServer(git("s3cret"))
	defer private.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	defer page.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		_, _ = io.WriteString(w, packet("# service=git-upload-pack\n")+"0000"+advertised()[:150])
	}))
	defer broken.Close()
	for name, test := range map[string]struct {
		url  string
		auth build.Auth
		max  int64
		want string
	}{
		"password":       {private.URL + "/repo.git", build.Auth{Username: "ada", Password: "s3cret"}, 0, sha("1")},
		"token":          {private.URL + "/repo.git", build.Auth{Token: "s3cret"}, 0, sha("1")},
		"a line end":     {private.URL + "/repo.git/", build.Auth{Token: "s3cret"}, 0, sha("1")},
		"anonymous":      {private.URL + "/repo.git", build.Auth{}, 0, "SourceAuth"},
		"another":        {private.URL + "/other.git", build.Auth{Token: "s3cret"}, 0, "SourceNotFound"},
		"a page":         {page.URL, build.Auth{}, 0, "SourceUnreachable"},
		"breaks off":     {broken.URL, build.Auth{}, 0, "reading the branches"},
		"too large":      {private.URL + "/repo.git", build.Auth{Token: "s3cret"}, 100, "SourceTooLarge"},
		"git's own port": {"git://127.0.0.1/x", build.Auth{}, 0, "SourceInvalid"},
		"a file":         {"file:///etc", build.Auth{}, 0, "SourceInvalid"},
		"a path":         {"/etc", build.Auth{}, 0, "SourceInvalid"},
		"nobody":         {"http://127.0.0.1:1/x", build.Auth{}, 0, "asking 127.0.0.1:1"},
	} {
		got, err := resolver(heads.Options{MaxBytes: test.max}).Head(t.Context(), build.Source{URL: test.url, Auth: test.auth})
		if !strings.HasPrefix(got+reason(err), test.want) {
			t.Errorf("%s: %q (%v), want %s", name, got, err, test.want)
		}
	}
}

// A server that sends the question elsewhere does not thereby tell the other one the password.
func TestRedirects(t *testing.T) {
	var told string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told += r.Header.Get("Authorization")
		git("").ServeHTTP(w, r)
	}))
	defer other.Close()
	to := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusFound)
	}))
	defer first.Close()
	got, err := resolver(heads.Options{}).Head(t.Context(), build.Source{URL: first.URL + "/repo.git", Auth: build.Auth{Token: "s3cret"}})
	if err == nil && got == sha("1") && told != "" {
		t.Errorf("the other server was told %q", told)
	}
	if err != nil {
		t.Error(err)
	}
	round := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusFound)
	}))
	defer round.Close()
	_, err = resolver(heads.Options{HTTP: round.Client().Transport}).Head(t.Context(), build.Source{URL: round.URL + "/repo.git"})
	if err == nil || !strings.Contains(err.Error(), "without TLS") {
		t.Errorf("from https to http: %v", err)
	}
}

func TestBounded(t *testing.T) {
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer srv.Close()
	defer close(hang)
	_, err := resolver(heads.Options{Timeout: 50 * time.Millisecond}).Head(t.Context(), build.Source{URL: srv.URL})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("from a server that hangs: %v", err)
	}
	few := resolver(heads.Options{PerSecond: 0.001})
	fast := httptest.NewServer(git(""))
	defer fast.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 2 {
		_, err = few.Head(ctx, build.Source{URL: fast.URL + "/repo.git"})
		if (err != nil) != (i == 1) {
			t.Errorf("question %d: %v", i, err)
		}
	}
}

func TestBundles(t *testing.T) {
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	ref, err := name.NewTag(strings.TrimPrefix(srv.URL, "http://") + "/team/x:v1-source")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, empty.Image); err != nil {
		t.Fatal(err)
	}
	digest, _ := empty.Image.Digest()
	for bundle, want := range map[string]string{
		ref.Name():                     digest.String(),
		ref.Context().Name() + ":none": "SourceNotFound",
		"UPPER/x":                      "SourceInvalid",
		"nowhere.invalid/x@sha256:" + sha("1")[:32] + sha("2")[:32]: "sha256:" + sha("1")[:32] + sha("2")[:32],
	} {
		got, err := resolver(heads.Options{}).Head(t.Context(), build.Source{Bundle: bundle})
		if got+reason(err) != want {
			t.Errorf("%s: %q (%v), want %s", bundle, got, err, want)
		}
	}
}

func newKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// serveSSH lets one key run git-upload-pack, and takes down what else is run.
func serveSSH(t *testing.T, host ssh.Signer, client ssh.PublicKey) (address string) {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if string(k.Marshal()) != string(client.Marshal()) {
			return nil, errors.New("another key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); answerSSH(c, config) })
		}
	})
	return l.Addr().String()
}

func answerSSH(c net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range channels {
		channel, requests, err := n.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			_ = r.Reply(true, nil)
			if strings.HasSuffix(string(r.Payload), `git-upload-pack '/it'\''s.git'`) {
				_, _ = io.WriteString(channel, advertised())
			}
			channel.Close()
		}
	}
}

func TestSSH(t *testing.T) {
	mine, private := newKey(t)
	_, another := newKey(t)
	host, _ := newKey(t)
	wrong, _ := newKey(t)
	address := serveSSH(t, host, mine.PublicKey())
	known := func(k ssh.Signer) []byte { return []byte(knownhosts.Line([]string{address}, k.PublicKey()) + "\n") }
	for name, test := range map[string]struct {
		auth build.Auth
		want string
	}{
		"a known host":   {build.Auth{SSHKey: private, KnownHosts: known(host)}, sha("1")},
		"any host":       {build.Auth{SSHKey: private}, sha("1")},
		"another host":   {build.Auth{SSHKey: private, KnownHosts: known(wrong)}, "SourceAuth"},
		"another key":    {build.Auth{SSHKey: another}, "SourceAuth"},
		"no key":         {build.Auth{Token: "x"}, "SourceAuth"},
		"a broken key":   {build.Auth{SSHKey: []byte("x")}, "SourceAuth"},
		"broken hosts":   {build.Auth{SSHKey: private, KnownHosts: []byte("x\n")}, "SourceAuth"},
		"too many hosts": {build.Auth{SSHKey: private, KnownHosts: make([]byte, 1<<20)}, "SourceAuth"},
	} {
		got, err := resolver(heads.Options{}).Head(t.Context(), build.Source{URL: "ssh://git@" + address + "/it's.git", Auth: test.auth})
		if got+reason(err) != test.want {
			t.Errorf("%s: %q (%v), want %s", name, got, err, test.want)
		}
	}
	if _, err := resolver(heads.Options{}).Head(t.Context(), build.Source{URL: "git@127.0.0.1:x", Auth: build.Auth{SSHKey: []byte("x")}}); reason(err) != "SourceAuth" {
		t.Errorf("user@host:path: %v", err)
	}
}

func FuzzAdvertised(f *testing.F) {
	f.Add(advertised(), "main")
	f.Add("0000", "")
	f.Fuzz(func(t *testing.T, text, revision string) {
		srv := roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-git-upload-pack-advertisement"}}, Body: io.NopCloser(strings.NewReader(text))}, nil
		})
		got, err := resolver(heads.Options{HTTP: srv, MaxBytes: 4096}).Head(context.Background(), build.Source{URL: "http://x/y", Revision: revision})
		if err == nil && got == "" {
			t.Error("nothing, without an error")
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

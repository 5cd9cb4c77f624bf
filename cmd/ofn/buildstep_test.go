package main

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/pod"
)

// aRegistry wants the login ada:secret for everything, and holds source bundles.
func aRegistry(t *testing.T) (host string, bundle func(repo string, files map[string]string)) {
	t.Helper()
	inner := registry.New()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	host = strings.TrimPrefix(s.URL, "http://")
	return host, func(repo string, files map[string]string) {
		t.Helper()
		var data bytes.Buffer
		tw := tar.NewWriter(&data)
		for path, text := range files {
			if err := tw.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(text))}); err != nil {
				t.Fatal(err)
			}
			if _, err := tw.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data.Bytes())), nil })
		if err != nil {
			t.Fatal(err)
		}
		img, err := mutate.AppendLayers(empty.Image, layer)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(reference(t, host+"/"+repo), img, login()); err != nil {
			t.Fatal(err)
		}
	}
}

func login() remote.Option {
	return remote.WithAuth(&authn.Basic{Username: "ada", Password: "secret"})
}

func reference(t *testing.T, ref string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// step runs one build as the pod does, with these secrets mounted.
func step(t *testing.T, r pod.Request, fetchInto string, secrets map[string]map[string]string) (pod.Outcome, string) {
	t.Helper()
	mounts := t.TempDir()
	for what, data := range secrets {
		dir := filepath.Join(mounts, what, "..data") // as the kubelet lays them out
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for key, text := range data {
			if err := os.WriteFile(filepath.Join(dir, key), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join("..data", key), filepath.Join(mounts, what, key)); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := buildStep{dir: t.TempDir(), secrets: mounts, outcome: filepath.Join(t.TempDir(), "outcome"), fetchInto: fetchInto, log: &log}
	err = s.run(t.Context(), text)
	data, reading := os.ReadFile(s.outcome)
	if reading != nil {
		t.Fatal(reading)
	}
	o, _ := pod.ParseOutcome(string(data))
	if (err == nil) != (o.Reason == "") {
		t.Errorf("it ended with %v, and said %+v", err, o)
	}
	return o, log.String()
}

const dockerConfig = `{"auths":{"HOST":{"username":"ada","password":"secret"}}}`

func TestBuildStep(t *testing.T) {
	host, bundle := aRegistry(t)
	bundle("src:1", map[string]string{"sub/app.wasm": "\x00asm\x01\x00\x00\x00"})
	logins := map[string]map[string]string{
		pod.SecretSource: {"username": "ada", "password": "secret\n"},
		pod.SecretPush:   {".dockerconfigjson": strings.ReplaceAll(dockerConfig, "HOST", host)},
	}
	request := pod.Request{ID: "ns/one", Function: "ns/fn", Bundle: host + "/src:1", SubPath: "sub", Image: host + "/fn:1", Target: build.TargetWasm,
		Secrets: map[string]string{pod.SecretSource: "git", pod.SecretPush: "push"}}

	t.Run("builds and pushes", func(t *testing.T) {
		o, log := step(t, request, "", logins)
		made, err := remote.Head(reference(t, request.Image), login())
		if err != nil || o.Result.Digest != made.Digest.String() || len(o.Result.Sources) != 1 || !strings.HasPrefix(o.Result.Sources[0].BundleDigest, "sha256:") {
			t.Errorf("%+v, %v; the log is\n%s", o, err, log)
		}
		if strings.Contains(log, "secret") {
			t.Error("the log tells a password:", log)
		}
	})
	t.Run("fetches only", func(t *testing.T) {
		into := filepath.Join(t.TempDir(), "source")
		step(t, request, into, logins)
		if _, err := os.Stat(filepath.Join(into, "sub/app.wasm")); err != nil {
			t.Error(err)
		}
	})
	for name, test := range map[string]struct {
		change       func(*pod.Request)
		secrets      map[string]map[string]string
		reason, says string
	}{
		"a secret that is not there":    {func(*pod.Request) {}, map[string]map[string]string{pod.SecretSource: logins[pod.SecretSource]}, "SecretMissing", `"push" is not in namespace "ns"`},
		"a secret for another host":     {func(*pod.Request) {}, map[string]map[string]string{pod.SecretSource: logins[pod.SecretSource], pod.SecretPush: {".dockerconfigjson": dockerConfig}}, "SecretInvalid", "no login for"},
		"no login for the source":       {func(r *pod.Request) { r.Secrets = nil }, nil, "", "anonymous"},
		"the registry of one machine":   {func(r *pod.Request) { r.Image = "ofn.local/x" }, logins, "ImageInvalid", "ofn.local/x"},
		"what the user has to mend":     {func(r *pod.Request) { r.Target = "" }, logins, "RuntimeMismatch", "app.wasm"},
		"a directory that is not there": {func(r *pod.Request) { r.SubPath = "nope" }, logins, "SourceNotFound", "nope"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request
			test.change(&r)
			o, _ := step(t, r, "", test.secrets)
			if o.Reason == "" || test.reason != "" && o.Reason != test.reason || !strings.Contains(o.Message, test.says) {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// A build begins with what its image has in caches, and does not change that.
func TestBuildStepBeginsWithCaches(t *testing.T) {
	s := buildStep{dir: t.TempDir(), caches: t.TempDir()}
	if err := s.beginWithCaches(); err != nil {
		t.Error("an image without caches:", err)
	}
	kept := filepath.Join(s.caches, "build", "cache", "go", "build", "00")
	if err := os.MkdirAll(kept, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(kept, "object"), []byte("compiled"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := s.beginWithCaches(); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(s.dir, "build", "cache", "go", "build", "00")
	if err := os.WriteFile(filepath.Join(at, "another"), nil, 0o600); err != nil {
		t.Error("the build cannot write into its caches:", err)
	}
	if data, err := os.ReadFile(filepath.Join(at, "object")); err != nil || string(data) != "compiled" {
		t.Errorf("it found %q, %v", data, err)
	}
	if there, err := os.ReadDir(kept); err != nil || len(there) != 1 {
		t.Errorf("the image has %v, %v", there, err)
	}
}

func TestBuildStepIsEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := filepath.Join(t.TempDir(), "outcome")
	s := buildStep{dir: t.TempDir(), outcome: out, log: io.Discard}
	if err := s.run(ctx, `{"id":"ns/one","image":"registry.example.com/x","url":"https://git.example.com/x"}`); err == nil {
		t.Error("it went on")
	}
	data, err := os.ReadFile(out)
	if o, _ := pod.ParseOutcome(string(data)); err != nil || o.Reason != "Interrupted" {
		t.Errorf("it left %s (%v)", data, err)
	}
}

func TestBuilderImages(t *testing.T) {
	for name, test := range map[string]struct {
		images []string
		wrong  string
	}{
		"none":             {nil, ""},
		"one":              {[]string{"r/x:1"}, ""},
		"one and another":  {[]string{"r/x:1", "go=r/go:1"}, ""},
		"another only":     {[]string{"go=r/go:1"}, "without a language"},
		"unknown language": {[]string{"r/x", "cobol=r/y"}, "cobol"},
		"no image":         {[]string{"r/x", "go="}, "go="},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := (&buildSettings{images: test.images}).pods([]string{"HTTPS_PROXY=http://p", "SSL_CERT_FILE=/x"})
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || len(o.Env) != 1 || len(test.images) > 0 && o.Image != "r/x:1" {
				t.Errorf("got %+v, %v", o, err)
			}
		})
	}
}

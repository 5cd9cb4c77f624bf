package native_test

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/buildtest"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// privateProxy serves the module proxy over TLS to whoever knows the password, and returns its URL and the file of its certificate.
func privateProxy(t *testing.T, user, password string) (url, certificate string) {
	t.Helper()
	files := http.FileServer(http.Dir(strings.TrimPrefix(proxy(t), "file://")))
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	certificate = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return srv.URL, certificate
}

// A login reaches the go command, and neither the image, the log, nor what is left on the disk.
func TestPrivateModule(t *testing.T) {
	const password = langtest.Password
	url, certificate := privateProxy(t, "ada", password)
	for name, c := range map[string]struct{ password, fails string }{
		"right": {password, ""}, "wrong": {"wr0ng-of-the-build", "ModuleMissing"}, "none": {"", "ModuleMissing"},
	} {
		t.Run(name, func(t *testing.T) {
			src, dir, images := t.TempDir(), t.TempDir(), &buildtest.Images{}
			write(t, src, map[string]string{"hello.go": usesText, "go.mod": "module hello\n\ngo 1.20\n\nrequire example.org/text v1.0.0\n"})
			o := options(t, buildtest.Deps{Dir: dir, Sources: sources(dirBundle{src}), Images: images})
			o.golang.GoProxy, o.golang.GoSumDB, o.golang.ModCache, o.golang.Env = url, "off", t.TempDir(), []string{"SSL_CERT_FILE=" + certificate}
			t.Cleanup(func() { makeWritable(dir); makeWritable(o.golang.ModCache) })
			r := request()
			if c.password != "" {
				r.Dependencies.Logins = []build.HostLogin{{Host: strings.TrimPrefix(url, "https://"), Auth: build.Auth{Username: "ada", Password: c.password}}}
			}
			var log bytes.Buffer
			res, err := o.strategy(t).Build(t.Context(), r, &log)
			if reason(err) != c.fails || (err == nil) != (c.fails == "") {
				t.Fatalf("got %q: %v, want %q\n%s", reason(err), err, c.fails, log.String())
			}
			if text := log.String(); strings.Contains(text, "-of-the-build") {
				t.Errorf("the log says %s", text)
			}
			if err != nil && strings.Contains(err.Error(), "-of-the-build") {
				t.Errorf("the error says %v", err)
			}
			if err == nil {
				notIn(t, images, res.Digest, password)
			}
			langtest.Forgotten(t, dir)
		})
	}
}

func notIn(t *testing.T, images *buildtest.Images, digest, text string) {
	t.Helper()
	files, err := images.Files(digest)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if strings.Contains(name, ".netrc") || bytes.Contains(data, []byte(text)) {
			t.Errorf("%s of the image holds the login", name)
		}
	}
}

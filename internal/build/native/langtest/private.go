package langtest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
)

// The login that Private wants. The password is a word that nothing else says.
const (
	User     = "ada"
	Password = "s3cr3t" + mark
)

// mark is in every password of these tests, wrong ones too.
const mark = "-of-the-build"

// Private serves a registry or repository to whoever logs in, by name and password or with the password as a token.
func Private(t *testing.T, registry http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if (user != User || password != Password) && token != Password {
			w.Header().Add("WWW-Authenticate", `Basic realm="private"`)
			w.Header().Add("WWW-Authenticate", `Cargo login_url="http://`+r.Host+`/me"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		registry.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// Login is the login for a server of Private.
func Login(srv *httptest.Server) build.Dependencies {
	return build.Dependencies{Logins: []build.HostLogin{{Host: strings.TrimPrefix(srv.URL, "http://"), Auth: build.Auth{Username: User, Password: Password}}}}
}

// Files serves files by their path.
func Files(files map[string][]byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	})
}

// Forgotten fails the test when a file below a directory, or a text, tells the password.
func Forgotten(t *testing.T, dir string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(text, mark) {
			t.Errorf("the password is told in %s", text)
		}
	}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(p)
		if bytes.Contains(data, []byte(mark)) {
			t.Errorf("%s holds the password", p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

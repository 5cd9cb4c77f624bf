package source_test

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/source"
)

// backend serves the repositories beside r by git's own server program.
func backend(t *testing.T, r repo) http.Handler {
	t.Helper()
	core, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(strings.TrimSpace(string(core)), "git-http-backend")
	if _, err := os.Stat(program); err != nil {
		t.Skip("git has no http-backend here")
	}
	return &cgi.Handler{Path: program, Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1", "HOME=/nonexistent"}}
}

// withPassword lets in who knows the password and asks the others.
func withPassword(password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, p, _ := r.BasicAuth(); p != password || user == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func TestHTTPS(t *testing.T) {
	r := newRepo(t)
	srv := httptest.NewTLSServer(withPassword("s3cret", backend(t, r)))
	defer srv.Close()
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := fetcher(source.Options{Env: []string{"SSL_CERT_FILE=" + certificate}})
	src := build.Source{URL: srv.URL + "/repo/.git"}
	for name, auth := range map[string]build.Auth{"password": {Username: "ada", Password: "s3cret"}, "token": {Token: "s3cret"}} {
		src.Auth = auth
		if tree, err := trusting.Fetch(t.Context(), src, t.TempDir(), io.Discard); err != nil || tree.Result.CommitSHA != r.git("rev-parse", "HEAD") {
			t.Errorf("%s: got %+v (%v)", name, tree, err)
		}
	}
	if _, err := fetcher(source.Options{}).Head(t.Context(), src); reason(err) != "SourceUnreachable" || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

// A server that sends git elsewhere does not thereby tell the other one the password.
func TestRedirectKeepsCredentials(t *testing.T) {
	r := newRepo(t)
	handler := backend(t, r)
	for name, ask := range map[string]bool{"the other is open": false, "the other asks": true} {
		t.Run(name, func(t *testing.T) {
			var told atomic.Bool
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if q.Header.Get("Authorization") != "" {
					told.Store(true)
				}
				if ask {
					withPassword("another", handler).ServeHTTP(w, q)
					return
				}
				handler.ServeHTTP(w, q)
			}))
			defer other.Close()
			var moved http.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				http.Redirect(w, q, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+q.URL.RequestURI(), http.StatusFound)
			})
			if ask { // git itself goes no further than the first answer when it had to say who it is before
				moved = withPassword("s3cret", moved)
			}
			first := httptest.NewServer(moved)
			defer first.Close()
			src := build.Source{URL: first.URL + "/repo/.git", Auth: build.Auth{Username: "ada", Password: "s3cret"}}
			_, err := fetcher(source.Options{}).Fetch(t.Context(), src, t.TempDir(), io.Discard)
			if ask && reason(err) != "SourceAuth" || !ask && err != nil {
				t.Errorf("got %v", err)
			}
			if told.Load() {
				t.Error("the other server was told the password")
			}
		})
	}
}

func TestSubmodules(t *testing.T) {
	lib, main := newRepo(t), newRepo(t)
	lib.write("lib.go", "package lib")
	lib.commit("the library")
	main.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", lib.dir, "lib")
	main.commit("with a library")
	fetch := func(t *testing.T, url string, auth build.Auth, o source.Options) (string, error) {
		dir := t.TempDir()
		_, err := fetcher(o).Fetch(t.Context(), build.Source{URL: url, Auth: auth}, dir, io.Discard)
		return dir, err
	}
	t.Run("local", func(t *testing.T) {
		dir, err := fetch(t, "file://"+main.dir, build.Auth{}, source.Options{AllowLocal: true})
		if text, _ := os.ReadFile(filepath.Join(dir, "lib/lib.go")); err != nil || string(text) != "package lib" {
			t.Errorf("lib.go is %q (%v)", text, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "lib/.git")); !os.IsNotExist(err) {
			t.Error("a link to the submodule's repository is left")
		}
	})
	// A repository from elsewhere must not name those of this machine.
	srv := httptest.NewServer(withPassword("s3cret", backend(t, main)))
	defer srv.Close()
	auth := build.Auth{Token: "s3cret"}
	t.Run("local, named by a remote one", func(t *testing.T) {
		if _, err := fetch(t, srv.URL+"/repo/.git", auth, source.Options{}); reason(err) != "SourceUnreachable" || !strings.Contains(err.Error(), "submodule") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("relative, with the same login", func(t *testing.T) {
		if err := os.CopyFS(filepath.Join(filepath.Dir(main.dir), "lib"), os.DirFS(lib.dir)); err != nil {
			t.Fatal(err)
		}
		main.git("submodule", "--quiet", "set-url", "lib", "../../lib/.git")
		main.commit("relative")
		dir, err := fetch(t, srv.URL+"/repo/.git", auth, source.Options{})
		if text, _ := os.ReadFile(filepath.Join(dir, "lib/lib.go")); err != nil || string(text) != "package lib" {
			t.Errorf("lib.go is %q (%v)", text, err)
		}
	})
}

func TestHeadTimesOut(t *testing.T) {
	newRepo(t)
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer srv.Close()
	defer close(hang)
	f := fetcher(source.Options{Timeout: 100 * time.Millisecond})
	if _, err := f.Head(t.Context(), build.Source{URL: srv.URL + "/x"}); reason(err) != "SourceTimeout" {
		t.Errorf("got %v", err)
	}
}

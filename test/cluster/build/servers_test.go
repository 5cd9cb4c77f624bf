package build_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Where pods and the node find what the tests serve: the node's address, on which nothing else of a test cluster listens.
const (
	registryHost = "10.123.0.1:5000"
	gitHost      = "10.123.0.1:5080"
	user         = "robot"
	password     = "s3cret$(x)"                       // with what Kubernetes and Tekton would take for a variable
	slowSource   = "http://" + gitHost + "/slow/.git" // answers when nobody asks any more
)

// services are a registry without TLS and a git server, each with a public and a private half: what lies below /private/ is for user only.
type services struct {
	repositories string // folder of the git server
	servers      []*http.Server
	work         sync.WaitGroup
}

func serve(dir string) (*services, error) {
	exec, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("asking git where its programs are: %w", err)
	}
	s := &services{repositories: dir}
	git := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(exec)), "git-http-backend"), Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1"}}
	for addr, h := range map[string]http.Handler{registryHost: images(registry.New(registry.Logger(log.New(io.Discard, "", 0)))), gitHost: slow(private(git))} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			s.close()
			return nil, err
		}
		server := &http.Server{Handler: h}
		s.servers = append(s.servers, server)
		s.work.Go(func() { _ = server.Serve(l) }) // until close
	}
	return s, nil
}

func (s *services) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
	s.work.Wait()
}

// down is whether the registry is.
var down atomic.Bool

// images is a registry, which may be down, and asks for a login where private does.
func images(registry http.Handler) http.Handler {
	asking := private(registry)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case down.Load():
			http.Error(w, "the registry is down", http.StatusServiceUnavailable)
		case r.URL.Path == "/v2/":
			// By which clients learn that there are logins; who sends none is served what is public.
			if login(r) {
				registry.ServeHTTP(w, r)
				return
			}
			if r.Header.Get("Authorization") != "" {
				challenge(w)
				return
			}
			registry.ServeHTTP(w, r)
		default:
			asking.ServeHTTP(w, r)
		}
	})
}

func login(r *http.Request) bool {
	u, p, ok := r.BasicAuth()
	return ok && u == user && p == password
}

func challenge(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="tests"`)
	w.WriteHeader(http.StatusUnauthorized)
}

func private(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/private/") && !login(r) {
			challenge(w)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func slow(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/slow/") {
			<-r.Context().Done()
			return
		}
		h.ServeHTTP(w, r)
	})
}

// repository makes a git repository of files, NAME below the git server, and returns its URL and the commit.
func (s *services) repository(ctx context.Context, path string, files map[string]string) (url, commit string, err error) {
	dir := filepath.Join(s.repositories, filepath.FromSlash(path))
	for file, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return "", "", err
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			return "", "", err
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."},
		{"-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-q", "-m", "first"}, {"rev-parse", "HEAD"}} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", "", fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
		commit = strings.TrimSpace(string(out))
	}
	return "http://" + gitHost + "/" + path + "/.git", commit, nil
}

// pushed is the image that the registry has under a name.
func pushed(t *testing.T, image string, options ...remote.Option) v1.Image {
	t.Helper()
	ref, err := name.ParseReference(image, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref, append(options, remote.WithContext(t.Context()))...)
	if err != nil {
		t.Fatalf("the registry has no %s: %v", image, err)
	}
	return img
}

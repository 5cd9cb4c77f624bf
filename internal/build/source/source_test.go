package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/source"
)

// repo is a git repository made for a test.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T) repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	r := repo{t, filepath.Join(t.TempDir(), "repo")}
	r.write("README.md", "about")
	r.write("functions/one/one.go", "package one")
	r.write("functions/two/two.go", "package two")
	r.git("init", "-q", "-b", "main")
	r.commit("first")
	return r
}

func (r repo) write(name, text string) {
	r.t.Helper()
	at := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r repo) commit(text string) string {
	r.t.Helper()
	r.git("add", ".")
	r.git("commit", "-q", "-m", text)
	return r.git("rev-parse", "HEAD")
}

func (r repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", append([]string{"-c", "user.name=Ada", "-c", "user.email=ada@example.com"}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func fetcher(o source.Options) *source.Fetcher {
	o.Git, _ = exec.LookPath("git") // newRepo skips without
	o.SSH, _ = exec.LookPath("ssh")
	return source.New(o)
}

func reason(err error) string {
	var f *build.Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	return ""
}

func TestFetchRevisions(t *testing.T) {
	r := newRepo(t)
	first := r.git("rev-parse", "HEAD")
	r.git("tag", "-a", "v1", "-m", "annotated")
	r.git("checkout", "-q", "-b", "dev")
	r.write("README.md", "on dev")
	dev := r.commit("second")
	r.git("checkout", "-q", "main")
	r.write("README.md", "on main")
	tip := r.commit("third")
	for _, c := range []struct{ revision, sha, branch, readme string }{
		{"", tip, "main", "on main"},
		{"dev", dev, "dev", "on dev"},
		{"refs/heads/dev", dev, "dev", "on dev"},
		{"v1", first, "", "about"},
		{first, first, "", "about"},
		{first[:8], first, "", "about"},
		{dev, dev, "", "on dev"},
	} {
		t.Run("revision "+c.revision, func(t *testing.T) {
			f := fetcher(source.Options{AllowLocal: true})
			s := build.Source{URL: "file://" + r.dir, Revision: c.revision}
			dir := t.TempDir()
			tree, err := f.Fetch(t.Context(), s, dir, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			want := build.SourceResult{Name: "default", CommitSHA: c.sha, CommitAuthor: "Ada", BranchName: c.branch}
			if tree.Result != want || tree.SubPath != "." {
				t.Errorf("got %+v, want %+v", tree, want)
			}
			if got, _ := os.ReadFile(filepath.Join(dir, "README.md")); string(got) != c.readme {
				t.Errorf("README.md is %q, want %q", got, c.readme)
			}
			if _, err := os.Stat(filepath.Join(dir, ".git")); !os.IsNotExist(err) {
				t.Error(".git was left in the source")
			}
			head, err := f.Head(t.Context(), s)
			if err != nil || !strings.HasPrefix(c.sha, head) {
				t.Errorf("Head is %q (%v), want %s", head, err, c.sha)
			}
		})
	}
}

func TestFetchFailures(t *testing.T) {
	r := newRepo(t)
	local := "file://" + r.dir
	for _, c := range []struct {
		name, says, reason string
		source             build.Source
		options            source.Options
	}{
		{"no source", "names no source", "SourceInvalid", build.Source{}, source.Options{}},
		{"local not allowed", "ofn deploy", "SourceInvalid", build.Source{URL: local}, source.Options{}},
		{"program", "want https://", "SourceInvalid", build.Source{URL: "ext::sh -c id"}, source.Options{}},
		{"option as URL", "want https://", "SourceInvalid", build.Source{URL: "--upload-pack=id"}, source.Options{}},
		{"option as host", "no valid host", "SourceInvalid", build.Source{URL: "ssh://-oProxyCommand=id/x"}, source.Options{}},
		{"password in URL", "credentials", "SourceInvalid", build.Source{URL: "https://me:secret@git.invalid/x"}, source.Options{}},
		{"option as revision", "not the name", "SourceInvalid", build.Source{URL: local, Revision: "--all"}, source.Options{AllowLocal: true}},
		{"revision", "it is not a branch", "SourceNotFound", build.Source{URL: local, Revision: "nosuch"}, source.Options{AllowLocal: true}},
		{"commit", "is not in", "SourceNotFound", build.Source{URL: local, Revision: strings.Repeat("ab", 20)}, source.Options{AllowLocal: true}},
		{"repository", "no git repository", "SourceNotFound", build.Source{URL: local + "-nosuch"}, source.Options{AllowLocal: true}},
		{"sub-path", "it has: functions/one, functions/two", "SourceNotFound", build.Source{URL: local, SubPath: "functions/three"}, source.Options{AllowLocal: true}},
		{"sub-path is a file", "is a file", "SourceNotFound", build.Source{URL: local, SubPath: "README.md"}, source.Options{AllowLocal: true}},
		{"sub-path climbs", "climbs out", "SourceInvalid", build.Source{URL: local, SubPath: "a/../../.."}, source.Options{AllowLocal: true}},
		{"too large", "larger than", "SourceTooLarge", build.Source{URL: local}, source.Options{AllowLocal: true, MaxBytes: 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := fetcher(c.options).Fetch(t.Context(), c.source, t.TempDir(), io.Discard)
			says := strings.TrimPrefix(c.says, "it ")
			if reason(err) != c.reason || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret@") {
				t.Errorf("got %q: %v, want %q saying %q", reason(err), err, c.reason, says)
			}
		})
	}
}

func TestNoGit(t *testing.T) {
	_, err := source.New(source.Options{}).Head(t.Context(), build.Source{URL: "https://git.invalid/x"})
	if reason(err) != "SourceUnreachable" || !strings.Contains(err.Error(), "no git") {
		t.Errorf("got %v", err)
	}
}

func TestSubPathThroughLink(t *testing.T) {
	r := newRepo(t)
	if err := os.Symlink("/etc", filepath.Join(r.dir, "out")); err != nil {
		t.Fatal(err)
	}
	r.commit("link")
	_, err := fetcher(source.Options{AllowLocal: true}).Fetch(t.Context(), build.Source{URL: "file://" + r.dir, SubPath: "out"}, t.TempDir(), io.Discard)
	if reason(err) != "SourceInvalid" {
		t.Errorf("got %v, want SourceInvalid", err)
	}
}

// A repository cannot make git run anything: neither hooks nor filters it brings are used.
func TestNothingOfTheRepositoryRuns(t *testing.T) {
	r := newRepo(t)
	mark := filepath.Join(t.TempDir(), "ran")
	r.write(".gitattributes", "* filter=evil\n")
	r.write(".gitconfig", "[filter \"evil\"]\n\tsmudge = touch "+mark+"\n")
	r.write(".git/hooks/post-checkout", "#!/bin/sh\ntouch "+mark+"\n")
	if err := os.Chmod(filepath.Join(r.dir, ".git/hooks/post-checkout"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.commit("evil")
	if _, err := fetcher(source.Options{AllowLocal: true}).Fetch(t.Context(), build.Source{URL: "file://" + r.dir}, t.TempDir(), io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the repository ran a program")
	}
}

func TestHTTPCredentials(t *testing.T) {
	r := newRepo(t)
	srv := httptest.NewServer(withPassword("s3cret", backend(t, r)))
	defer srv.Close()
	for _, c := range []struct {
		name, reason, says string
		auth               build.Auth
	}{
		{"password", "", "", build.Auth{Username: "ada", Password: "s3cret"}},
		{"token", "", "", build.Auth{Token: "s3cret"}},
		{"none", "SourceAuth", "name a secret", build.Auth{}},
		{"wrong", "SourceAuth", "refuses those of the secret", build.Auth{Username: "ada", Password: "wr0ng"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			var log bytes.Buffer
			_, err := fetcher(source.Options{}).Fetch(t.Context(), build.Source{URL: srv.URL + "/repo/.git", Auth: c.auth}, dir, &log)
			if reason(err) != c.reason || (err == nil) != (c.reason == "") {
				t.Fatalf("got %v, want %q", err, c.reason)
			}
			if err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "wr0ng")) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if strings.Contains(log.String(), "s3cret") {
				t.Errorf("the password is in the log: %s", log.String())
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	newRepo(t)
	srv := httptest.NewServer(http.NotFoundHandler())
	url := srv.URL
	f := fetcher(source.Options{})
	if _, err := f.Head(t.Context(), build.Source{URL: url + "/x"}); reason(err) != "SourceNotFound" {
		t.Errorf("no repository: got %v", err)
	}
	srv.Close()
	if _, err := f.Head(t.Context(), build.Source{URL: url + "/x"}); reason(err) != "SourceUnreachable" {
		t.Errorf("no server: got %v", err)
	}
}

func TestFetchEndsWithContext(t *testing.T) {
	newRepo(t)
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer srv.Close()
	defer close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	log := writer(func() { cancel() }) // the first line says that fetching begins
	_, err := fetcher(source.Options{}).Fetch(ctx, build.Source{URL: srv.URL + "/x"}, t.TempDir(), log)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

type writer func()

func (w writer) Write(p []byte) (int, error) { w(); return len(p), nil }

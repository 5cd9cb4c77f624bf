package buildtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

func seedRequest(name string) build.Request {
	r := request(name)
	r.Env["FUNC_NAME"] = "HelloWorld"
	return r
}

func mustBuild(t *testing.T, s build.Strategy, r build.Request) (build.Result, string) {
	t.Helper()
	var log bytes.Buffer
	res, err := s.Build(t.Context(), r, &log)
	if err != nil {
		t.Fatalf("building: %v\nlog:\n%s", err, log.String())
	}
	return res, log.String()
}

// reproducible: another directory and another identity give the same image.
func reproducible(t *testing.T, h Harness, dir string) {
	one, two := &Images{}, &Images{}
	src := h.Sources(bundle{files: seed(t)})
	r := seedRequest("same")
	a, _ := mustBuild(t, h.New(t, Deps{Dir: dir, Sources: src, Images: one}), r)
	r.ID = "elsewhere/again"
	b, _ := mustBuild(t, h.New(t, Deps{Dir: t.TempDir(), Sources: src, Images: two}), r)
	if a.Digest != b.Digest {
		t.Errorf("digests differ: %s and %s", a.Digest, b.Digest)
	}
}

// reuse: an unchanged source is not built again while its image is there, and is when it is not.
func reuse(t *testing.T, h Harness, dir string) {
	images := &Images{}
	source := seed(t)
	s := h.New(t, Deps{Dir: dir, Sources: h.Sources(bundle{files: source}), Images: images})
	first, _ := mustBuild(t, s, seedRequest("reuse"))
	again := seedRequest("reuse")
	again.ID = "test/reuse-2"
	second, _ := mustBuild(t, s, again)
	if first.Digest != second.Digest || first.Size != second.Size || images.Writes() != 1 {
		t.Errorf("unchanged: %+v then %+v with %d writes, want one", first, second, images.Writes())
	}
	images.Forget()
	third, _ := mustBuild(t, s, again)
	if third.Digest != first.Digest || images.Writes() != 2 {
		t.Errorf("image gone: %s with %d writes, want %s and 2", third.Digest, images.Writes(), first.Digest)
	}
	source["hello.go"] = bytes.ReplaceAll(source["hello.go"], []byte("Hello"), []byte("Bye"))
	again.Env["FUNC_NAME"] = "ByeWorld"
	fourth, _ := mustBuild(t, s, again)
	if fourth.Digest == first.Digest {
		t.Error("a changed source gave the same image")
	}
}

// stall is a log whose reader stops the build at its first line that holds a word.
type stall struct {
	word string
	do   func()
	once sync.Once
}

func (s *stall) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.word) {
		s.once.Do(s.do)
	}
	return len(p), nil
}

// cancelled: a build ends when its context does, and says so by its error, not by a failure of the user's.
func cancelled(t *testing.T, h Harness, dir string) {
	s := h.New(t, Deps{Dir: dir, Sources: h.Sources(bundle{files: seed(t)}), Images: &Images{}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := s.Build(ctx, seedRequest("cancel"), &stall{word: "compiling", do: cancel})
	var f *build.Failure
	if !errors.Is(err, context.Canceled) || errors.As(err, &f) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
}

// timeout: a build that takes longer than it may is a failure of the user's.
func timeout(t *testing.T, h Harness, dir string) {
	s := h.New(t, Deps{Dir: dir, Sources: slow{}, Images: &Images{}})
	r := seedRequest("timeout")
	r.Timeout = 50 * time.Millisecond
	_, err := s.Build(t.Context(), r, io.Discard)
	var f *build.Failure
	if !errors.As(err, &f) || f.Reason != "Timeout" {
		t.Errorf("error is %v, want a failure for Timeout", err)
	}
}

// slow is a source that never comes.
type slow struct{}

// Fetch waits for ctx to end.
func (slow) Fetch(ctx context.Context, _ build.Source, _ string, _ io.Writer) (build.Tree, error) {
	<-ctx.Done()
	return build.Tree{}, context.Cause(ctx)
}

// Head waits for ctx to end.
func (slow) Head(ctx context.Context, _ build.Source) (string, error) {
	<-ctx.Done()
	return "", context.Cause(ctx)
}

// interrupted: what a killed build left under its ID is not in the next one, and a finished build leaves nothing but caches.
func interrupted(t *testing.T, h Harness, dir string) {
	images := &Images{}
	broken := seed(t)
	broken["left.go"] = []byte("package hello\n\nfunc broken( {\n")
	r := seedRequest("interrupted")
	s := h.New(t, Deps{Dir: dir, Sources: h.Sources(bundle{files: broken}), Images: images})
	if _, err := s.Build(t.Context(), r, io.Discard); err == nil {
		t.Fatal("a source with a syntax error was built")
	}
	s = h.New(t, Deps{Dir: dir, Sources: h.Sources(bundle{files: seed(t)}), Images: images})
	res, _ := mustBuild(t, s, r)
	content, err := images.Files(res.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, has := content["workspace/left.go"]; has {
		t.Error("a file of the earlier build is in the image")
	}
	left, err := filepath.Glob(filepath.Join(dir, "work", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("work directories were left: %v (%v)", left, err)
	}
}

// fromGit: a repository with a branch and a sub-path.
func fromGit(t *testing.T, h Harness, dir string) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	repo := t.TempDir()
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), git, append([]string{"-C", repo, "-c", "user.name=Ada", "-c", "user.email=ada@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if err := writeTree(filepath.Join(repo, "functions/hello"), seed(t)); err != nil {
		t.Fatal(err)
	}
	run("init", "-q", "-b", "main")
	run("add", ".")
	run("commit", "-qm", "one")
	run("branch", "release")
	images := &Images{}
	s := h.New(t, Deps{Dir: dir, Sources: h.Sources(nil), Images: images})
	r := seedRequest("git")
	r.Source = build.Source{URL: "file://" + repo, Revision: "release", SubPath: "functions/hello"}
	res, _ := mustBuild(t, s, r)
	want := build.SourceResult{Name: "default", CommitSHA: run("rev-parse", "release"), CommitAuthor: "Ada", BranchName: "release"}
	if len(res.Sources) != 1 || res.Sources[0] != want {
		t.Errorf("sources are %+v, want %+v", res.Sources, want)
	}
	c, err := images.Config(res.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Config.Labels["org.opencontainers.image.revision"]; got != want.CommitSHA {
		t.Errorf("label revision is %q, want %q", got, want.CommitSHA)
	}
}

// parallel: builds with different IDs do not disturb one another.
func parallel(t *testing.T, h Harness, dir string) {
	s := h.New(t, Deps{Dir: dir, Sources: h.Sources(bundle{files: seed(t)}), Images: &Images{}})
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			r := seedRequest(fmt.Sprintf("parallel-%d", i))
			if _, err := s.Build(t.Context(), r, io.Discard); err != nil {
				t.Errorf("build %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

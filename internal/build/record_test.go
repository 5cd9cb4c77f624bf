package build_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

// strategy is a build made of a function.
type strategy func(ctx context.Context, r build.Request, log io.Writer) (build.Result, error)

func (s strategy) Build(ctx context.Context, r build.Request, log io.Writer) (build.Result, error) {
	return s(ctx, r, log)
}

func newLogs(t *testing.T, max int64) *build.Logs {
	t.Helper()
	l, err := build.NewLogs(t.TempDir(), max)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRecord(t *testing.T) {
	for _, c := range []struct {
		name, says string
		err        error
	}{
		{"success", "line\nsucceeded: sha256:1\n", nil},
		{"failure", "line\nfailed (CompileFailed): hello.go:1\n", &build.Failure{Reason: "CompileFailed", Message: "hello.go:1"}},
		{"trouble", "line\nnot finished: disk on fire\n", errors.New("disk on fire")},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLogs(t, 1000)
			s := l.Record(strategy(func(_ context.Context, _ build.Request, log io.Writer) (build.Result, error) {
				fmt.Fprintln(log, "line")
				return build.Result{Digest: "sha256:1"}, c.err
			}))
			var out bytes.Buffer
			if _, err := s.Build(t.Context(), build.Request{ID: "ns/../b"}, &out); !errors.Is(err, c.err) {
				t.Fatal(err)
			}
			kept, err := os.ReadFile(l.LogPath("ns/../b"))
			if err != nil || string(kept) != c.says || out.String() != "line\n" {
				t.Errorf("kept %q (%v), passed on %q, want %q", kept, err, out.String(), c.says)
			}
		})
	}
}

func TestRecordIsBounded(t *testing.T) {
	l := newLogs(t, 10)
	s := l.Record(strategy(func(_ context.Context, _ build.Request, log io.Writer) (build.Result, error) {
		for range 100 {
			fmt.Fprint(log, "0123456")
		}
		return build.Result{}, &build.Failure{Reason: "R", Message: "why"}
	}))
	s.Build(t.Context(), build.Request{ID: "b"}, io.Discard)
	kept, _ := os.ReadFile(l.LogPath("b"))
	if want := "0123456012\n[the rest of this log was not kept]\nfailed (R): why\n"; string(kept) != want {
		t.Errorf("kept %q, want %q", kept, want)
	}
}

func TestFollow(t *testing.T) {
	l := newLogs(t, 1000)
	if _, err := l.Follow(t.Context(), "ns/b"); !errors.Is(err, build.ErrNoLog) {
		t.Errorf("before the build: %v", err)
	}
	first, second := make(chan struct{}), make(chan struct{})
	s := l.Record(strategy(func(_ context.Context, _ build.Request, log io.Writer) (build.Result, error) {
		fmt.Fprintln(log, "one")
		close(first)
		<-second
		fmt.Fprintln(log, "two")
		return build.Result{Digest: "d"}, nil
	}))
	done := make(chan struct{})
	go func() { defer close(done); s.Build(t.Context(), build.Request{ID: "ns/b"}, io.Discard) }()
	<-first
	r, err := l.Follow(t.Context(), "ns/b")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil || string(head) != "one\n" {
		t.Fatalf("read %q (%v)", head, err)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	other, err := l.Follow(impatient, "ns/b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(other); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader whose context ended got %v", err)
	}
	other.Close()
	close(second)
	rest, err := io.ReadAll(r)
	if err != nil || string(rest) != "two\nsucceeded: d\n" {
		t.Errorf("read %q (%v)", rest, err)
	}
	<-done
	if kept, err := l.Kept(); err != nil || len(kept) != 1 || kept[0] != "ns/b" {
		t.Errorf("kept are %q (%v)", kept, err)
	}
	if err := errors.Join(l.Remove("ns/b"), l.Remove("ns/b")); err != nil {
		t.Error(err)
	}
	if kept, err := l.Kept(); err != nil || len(kept) != 0 {
		t.Errorf("kept are %q (%v)", kept, err)
	}
}

// Who follows a build from the moment when there is a log is told all of it.
func TestFollowAsTheBuildBegins(t *testing.T) {
	l := newLogs(t, 1000)
	for i := range 200 {
		id, release := fmt.Sprint(i), make(chan struct{})
		s := l.Record(strategy(func(_ context.Context, _ build.Request, log io.Writer) (build.Result, error) {
			<-release
			return build.Result{Digest: "d"}, nil
		}))
		done := make(chan struct{})
		go func() { defer close(done); s.Build(t.Context(), build.Request{ID: id}, io.Discard) }()
		r, err := l.Follow(t.Context(), id)
		for errors.Is(err, build.ErrNoLog) {
			r, err = l.Follow(t.Context(), id)
		}
		if err != nil {
			t.Fatal(err)
		}
		close(release)
		if text, err := io.ReadAll(r); err != nil || string(text) != "succeeded: d\n" {
			t.Errorf("build %d: read %q (%v)", i, text, err)
		}
		r.Close()
		<-done
	}
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, most := 0, 0
		s := build.Limit(strategy(func(context.Context, build.Request, io.Writer) (build.Result, error) {
			running++
			most = max(most, running)
			time.Sleep(time.Second)
			running--
			return build.Result{}, nil
		}), 1)
		var waiting bytes.Buffer
		go s.Build(t.Context(), build.Request{}, io.Discard)
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Build(impatient, build.Request{}, &waiting); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a build that gave up waiting got %v", err)
		}
		if _, err := s.Build(t.Context(), build.Request{}, &waiting); err != nil || most != 1 {
			t.Errorf("got %v with %d at a time", err, most)
		}
		if !strings.Contains(waiting.String(), "waiting: 1 builds are running") {
			t.Errorf("log is %q", waiting.String())
		}
	})
}

func TestLimitDisk(t *testing.T) {
	dir := t.TempDir()
	full := &build.Failure{Reason: "DiskFull"}
	ctx, stop := build.LimitDisk(t.Context(), dir, 100, full)
	defer stop()
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 101), 0o600); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if context.Cause(ctx) != error(full) {
		t.Errorf("cause is %v", context.Cause(ctx))
	}
}

func TestLayer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("from disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := build.Layer{
		{Path: "d", Mode: fs.ModeDir | 0o755},
		{Path: "d/data", Mode: 0o644, Data: []byte("data")},
		{Path: "d/file", Mode: 0o755, File: file},
		{Path: "d/link", Mode: fs.ModeSymlink | 0o777, Link: "file"},
	}
	var one, two bytes.Buffer
	if err := errors.Join(l.WriteTar(&one), os.Chtimes(file, time.Now(), time.Unix(1, 0)), l.WriteTar(&two)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the same layer gave different bytes")
	}
	var got []string
	for tr := tar.NewReader(&one); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, _ := io.ReadAll(tr)
		got = append(got, fmt.Sprintf("%s %o %d:%d %s%s", h.Name, h.Mode, h.Uid, h.Gid, h.Linkname, content))
	}
	want := []string{"d/ 755 0:0 ", "d/data 644 0:0 data", "d/file 755 0:0 from disk", "d/link 777 0:0 file"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := (build.Layer{{Path: "x", File: file + "-nosuch"}}).WriteTar(io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gave %v", err)
	}
}

package copylog_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node/copylog"
)

var (
	revA = run.Key{Namespace: "ns", Name: "fn-1"}
	revB = run.Key{Namespace: "ns", Name: "fn-2"}
)

func open(t *testing.T, o copylog.Options) *copylog.Store {
	t.Helper()
	s, err := copylog.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read returns "copy text" lines.
func read(t *testing.T, s *copylog.Store, q copylog.Query) []string {
	t.Helper()
	q.Namespace = "ns"
	r, err := s.Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var lines []string
	for sc := bufio.NewScanner(r); sc.Scan(); {
		at, rest, _ := strings.Cut(sc.Text(), " ")
		if _, err := time.Parse(time.RFC3339, at); err != nil {
			t.Errorf("line %q does not begin with a time: %v", sc.Text(), err)
		}
		lines = append(lines, rest)
	}
	return lines
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestMergedInTheOrderOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, copylog.Options{})
		a, b := s.Sink(revA, "fn", "a"), s.Sink(revB, "fn", "b")
		begin := time.Now()
		for i := range 4 {
			time.Sleep(time.Second)
			fmt.Fprintf([]io.Writer{a, b}[i%2], "line %d\n", i)
		}
		a.Close()
		equal(t, read(t, s, copylog.Query{Function: "fn"}), "a line 0", "b line 1", "a line 2", "b line 3")
		equal(t, read(t, s, copylog.Query{Function: "fn", Tail: 3}), "b line 1", "a line 2", "b line 3")
		equal(t, read(t, s, copylog.Query{Since: begin.Add(3 * time.Second)}), "a line 2", "b line 3")
		equal(t, read(t, s, copylog.Query{Revision: "fn-2"}), "b line 1", "b line 3")
		equal(t, read(t, s, copylog.Query{Copy: "a", Tail: 1}), "a line 2")
		equal(t, read(t, s, copylog.Query{Function: "other"}))
	})
}

func TestLines(t *testing.T) {
	s := open(t, copylog.Options{})
	k := s.Sink(revA, "", "a")
	for _, p := range []string{"one\ntw", "", "o\n\nthr", "ee"} {
		if n, err := io.WriteString(k, p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	equal(t, read(t, s, copylog.Query{}), "a one", "a two", "a ")
	k.Close()
	equal(t, read(t, s, copylog.Query{}), "a one", "a two", "a ", "a three")
	if n, err := io.WriteString(k, "late\n"); n != 5 || err != nil {
		t.Error("a write after the end fails:", n, err)
	}
	k = s.Sink(revA, "", "b")
	io.WriteString(k, strings.Repeat("x", 100_000)+"\n")
	if got := read(t, s, copylog.Query{Copy: "b"}); len(got) != 7 || len(strings.Join(got, "")) != 100_000+7*len("b ") {
		t.Errorf("a line of 100,000 bytes became %d lines", len(got))
	}
}

func TestBounded(t *testing.T) {
	dir := t.TempDir()
	s, err := copylog.Open(dir, copylog.Options{MaxSize: 1000, Dead: 2})
	if err != nil {
		t.Fatal(err)
	}
	for c := range 5 {
		k := s.Sink(revA, "fn", fmt.Sprint("c", c))
		for i := range 200 {
			fmt.Fprintf(k, "line %d\n", i)
		}
		k.Close()
		os.Chtimes(filepath.Join(dir, "ns/fn/fn-1", fmt.Sprint("c", c, ".log")), time.Time{}, time.Unix(int64(c+1), 0))
	}
	s.Sink(revA, "fn", "last").Close()
	files, _ := filepath.Glob(filepath.Join(dir, "ns/fn/fn-1/*"))
	size := int64(0)
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if len(files) != 4 || size > 4*1100 {
		t.Errorf("%d bytes in %v, want two files of about 1000 bytes for each of two dead copies", size, files)
	}
	lines := read(t, s, copylog.Query{})
	if n := len(lines); n == 0 || lines[n-1] != "c4 line 199" && lines[n-1] != "c3 line 199" {
		t.Errorf("the newest line is not there: %q", lines)
	}
	s.Forget(revA, "fn")
	equal(t, read(t, s, copylog.Query{}))
	if left, _ := os.ReadDir(filepath.Join(dir, "ns")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFollow(t *testing.T) {
	s := open(t, copylog.Options{})
	a := s.Sink(revA, "fn", "a")
	io.WriteString(a, "before\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := s.Read(ctx, copylog.Query{Namespace: "ns", Function: "fn", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sc := bufio.NewScanner(r)
	expect := func(want string) {
		t.Helper()
		if !sc.Scan() || !strings.HasSuffix(sc.Text(), " "+want) {
			t.Fatalf("got %q, want %q", sc.Text(), want)
		}
	}
	expect("a before")
	io.WriteString(a, "after\n")
	expect("a after")
	b := s.Sink(revB, "fn", "b")
	io.WriteString(b, "new copy\n")
	expect("b new copy")
	io.WriteString(s.Sink(revB, "other", "c"), "not ours\n")
	io.WriteString(b, "again\n")
	expect("b again")
	cancel()
	if sc.Scan() || sc.Err() != nil {
		t.Errorf("after the end: %q, %v", sc.Text(), sc.Err())
	}
}

func TestSlowFollowerIsToldWhatItMissed(t *testing.T) {
	s := open(t, copylog.Options{})
	k := s.Sink(revA, "fn", "a")
	r, err := s.Read(t.Context(), copylog.Query{Namespace: "ns", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 5000 {
		fmt.Fprintf(k, "line %d\n", i)
	}
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		if strings.Contains(sc.Text(), "lines are not shown") {
			return
		}
	}
	t.Error("5000 lines were read by nobody and none was missed")
}

func TestNamesThatClimb(t *testing.T) {
	dir := t.TempDir()
	s, err := copylog.Open(filepath.Join(dir, "logs"), copylog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := s.Sink(run.Key{Namespace: "..", Name: "x"}, "..", "y")
	io.WriteString(k, "out\n")
	k.Close()
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
		t.Errorf("wrote outside: %v", files)
	}
	if _, err := s.Read(t.Context(), copylog.Query{Namespace: "../.."}); err == nil {
		t.Error("read outside")
	}
}

func TestHammer(t *testing.T) {
	s := open(t, copylog.Options{MaxSize: 4000})
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for i := range 20 {
				k := s.Sink(revA, "fn", fmt.Sprintf("c%d-%d", p, i))
				for range 50 {
					io.WriteString(k, "some words of output\n")
				}
				k.Close()
			}
		})
		wg.Go(func() {
			for i := range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				r, err := s.Read(ctx, copylog.Query{Namespace: "ns", Follow: i%2 == 0, Tail: i % 3})
				if err != nil {
					t.Error(err)
				} else {
					io.CopyN(io.Discard, r, 10)
					cancel()
					r.Close()
				}
				cancel()
			}
		})
	}
	wg.Wait()
}

package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/openfunction/ofn/internal/image/assemble"
	"github.com/openfunction/ofn/internal/image/unpack"
)

// source writes files into a new directory.
func source(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(body), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// list names the files and links below a directory.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		out = append(out, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func pack(t *testing.T, dir string) Packed {
	t.Helper()
	p, err := Pack(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestIgnoring(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"nothing but .git", map[string]string{"fn.go": "", ".git/HEAD": "", "sub/.git": "", ".env": ""}, []string{".env", "fn.go"}},
		{"gitignore", map[string]string{".gitignore": "# comment\nnode_modules\n/bin/\n*.log\n!keep.log\n", "node_modules/a": "", "sub/node_modules/b": "",
			"bin/x": "", "sub/bin/x": "", "a.log": "", "keep.log": "", "fn.go": ""}, []string{".gitignore", "fn.go", "keep.log", "sub/bin/x"}},
		{"nested gitignore", map[string]string{"sub/.gitignore": "secret\n", "sub/secret": "", "secret": ""}, []string{"secret", "sub/.gitignore"}},
		{"ofnignore instead of gitignore", map[string]string{".ofnignore": "docs/\n", ".gitignore": "gen.go\n", "gen.go": "", "docs/a": "", "fn.go": ""},
			[]string{".gitignore", ".ofnignore", "fn.go", "gen.go"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, out := pack(t, source(t, c.files)), t.TempDir()
			if err := Unpack(t.Context(), p.Image, out, unpack.Limits{}); err != nil {
				t.Fatal(err)
			}
			if got := list(t, out); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if p.Files != len(c.want) {
				t.Errorf("says %d files", p.Files)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	files := map[string]string{"fn.go": "package fn", "sub/x": strings.Repeat("x", 1<<16)}
	a, b := source(t, files), source(t, files)
	for _, dir := range []string{a, b} {
		err := errors.Join(
			os.Symlink("sub/x", filepath.Join(dir, "link")),
			os.Symlink("/etc/passwd", filepath.Join(dir, "absolute")),
			os.Symlink("../outside", filepath.Join(dir, "outside")),
			os.Chmod(filepath.Join(dir, "fn.go"), 0o755),
			syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	p, q := pack(t, a), pack(t, b)
	if !slices.Equal(p.Skipped, []string{"absolute", "outside", "pipe"}) {
		t.Errorf("skipped %v", p.Skipped)
	}
	one, err := p.Image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if two, err := q.Image.Digest(); err != nil || one != two {
		t.Errorf("digests %s, %s (%v)", one, two, err)
	}
	out := t.TempDir()
	if err := Unpack(t.Context(), p.Image, out, unpack.Limits{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if to, err := os.Readlink(filepath.Join(out, "link")); err != nil || to != "sub/x" {
		t.Errorf("link %q (%v)", to, err)
	}
	if info, err := os.Stat(filepath.Join(out, "fn.go")); err != nil || info.Mode() != 0o755 {
		t.Errorf("fn.go: %v (%v)", info.Mode(), err)
	}
}

func TestTooLarge(t *testing.T) {
	dir := source(t, map[string]string{
		"node_modules/huge/a": strings.Repeat("a", 5000), "node_modules/huge/b": strings.Repeat("b", 5000),
		"data/one": strings.Repeat("c", 3000), "data/two": strings.Repeat("c", 3000), "fn.go": "x",
	})
	_, err := Pack(t.Context(), dir, Options{MaxBytes: 10_000})
	var large *TooLargeError
	if !errors.As(err, &large) {
		t.Fatalf("%v", err)
	}
	want := "is 16 KiB, the limit is 9.8 KiB; largest: node_modules/huge (9.8 KiB), data (5.9 KiB), fn.go (1 B); add what the build does not need to .ofnignore"
	if !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if _, err := Pack(t.Context(), dir, Options{MaxBytes: 16_001}); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

func TestPackRefuses(t *testing.T) {
	empty := source(t, map[string]string{".ofnignore": "*\n", "a": "x"})
	file := filepath.Join(source(t, map[string]string{"a": ""}), "a")
	for name, dir := range map[string]string{"nothing left": empty, "no directory": file, "not there": file + "/x"} {
		if _, err := Pack(t.Context(), dir, Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Pack(ctx, file[:len(file)-2], Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	one := func(h tar.Header, body string) v1.Layer {
		l, err := assemble.Stream(func(w io.Writer) error {
			tw := tar.NewWriter(w)
			h.Size, h.Mode = int64(len(body)), 0o644
			if err := tw.WriteHeader(&h); err != nil {
				return err
			}
			_, err := io.WriteString(tw, body)
			return errors.Join(err, tw.Close())
		})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	good := one(tar.Header{Name: "a"}, "x")
	for name, layers := range map[string][]v1.Layer{
		"climbs":        {one(tar.Header{Name: "../a"}, "x")},
		"absolute":      {one(tar.Header{Name: "/a"}, "x")},
		"absolute link": {one(tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, "")},
		"bomb":          {one(tar.Header{Name: "a"}, strings.Repeat("0", 1<<20))},
		"two layers":    {good, good},
		"no layer":      nil,
	} {
		img, err := mutate.AppendLayers(empty.Image, layers...)
		if err != nil {
			t.Fatal(err)
		}
		var refused *unpack.Error
		if err := Unpack(t.Context(), img, t.TempDir(), unpack.Limits{Bytes: 1 << 16}); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

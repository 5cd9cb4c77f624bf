package unpack

import (
	"archive/tar"
	"bytes"
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
	"time"
)

// item is one entry of a test archive.
type item struct {
	tar.Header
	body string
}

func archive(t testing.TB, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		h := i.Header
		h.Size = int64(len(i.body))
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1000, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func special(kind byte, name string) item {
	return item{Header: tar.Header{Name: name, Typeflag: kind, Devmajor: 1, Devminor: 3}}
}

func file(name, body string) item { return item{tar.Header{Name: name}, body} }

func dir(name string) item { return special(tar.TypeDir, name) }

func symlink(name, to string) item {
	return item{Header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}}
}

func hardlink(name, to string) item {
	return item{Header: tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}}
}

// tree lists a directory: "path", "path/", "path -> target", "path = content" or "path c" for a whiteout.
func tree(t testing.TB, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			rel += "/"
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			rel += " -> " + to
		case d.Type()&fs.ModeCharDevice != 0:
			rel += " c"
		case d.Type().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			rel += " = " + string(data)
		}
		out = append(out, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func unpackInto(t testing.TB, root string, data []byte, o Options) error {
	t.Helper()
	_, err := Tar(t.Context(), root, bytes.NewReader(data), o)
	return err
}

func TestTar(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []item
		want    []string
	}{
		{"files and directories", []item{dir("a/"), file("a/b", "1"), file("c", "2")}, []string{"a/", "a/b = 1", "c = 2"}},
		{"directories that are not listed", []item{file("a/b/c", "1")}, []string{"a/", "a/b/", "a/b/c = 1"}},
		{"a leading slash means the root of the image", []item{file("/ko-app/fn", "1")}, []string{"ko-app/", "ko-app/fn = 1"}},
		{"a leading dot", []item{dir("./"), file("./a", "1")}, []string{"a = 1"}},
		{"an absolute link belongs to the image", []item{symlink("mtab", "/proc/mounts")}, []string{"mtab -> /proc/mounts"}},
		{"links inside", []item{file("a/b", "1"), symlink("c/d", "../a/b"), hardlink("e", "a/b")}, []string{"a/", "a/b = 1", "c/", "c/d -> ../a/b", "e = 1"}},
		{"below a link", []item{dir("usr/lib"), symlink("lib", "usr/lib"), file("lib/x", "1")}, []string{"lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/x = 1"}},
		{"below an absolute link, inside the root", []item{symlink("run", "/var/run"), file("run/x", "1")}, []string{"run -> /var/run", "var/", "var/run/", "var/run/x = 1"}},
		{"a directory said twice", []item{dir("a"), file("a/b", "1"), dir("a")}, []string{"a/", "a/b = 1"}},
		{"devices of /dev", []item{dir("dev"), special(tar.TypeChar, "dev/null")}, []string{"dev/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			if err := unpackInto(t, root, archive(t, c.entries...), Options{}); err != nil {
				t.Fatal(err)
			}
			if got := tree(t, root); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func hostile() map[string][]item {
	return map[string][]item{
		"climbs":                       {file("../evil", "x")},
		"climbs later":                 {file("a/../../evil", "x")},
		"link climbs":                  {symlink("a", "../../evil")},
		"link climbs deeper":           {symlink("a/b", "../../evil")},
		"through a link that climbs":   {symlink("a", ".."), file("a/evil", "x")},
		"hard link climbs":             {hardlink("a", "../canary")},
		"hard link to the host":        {hardlink("a", "/etc/hostname")},
		"hard link to nothing":         {hardlink("a", "b")},
		"device":                       {special(tar.TypeBlock, "a")},
		"twice":                        {file("a", "1"), file("a", "2")},
		"file, then directory":         {file("a", "1"), dir("a")},
		"link, then file":              {symlink("a", "b"), file("a", "2")},
		"directory, then link":         {dir("a"), symlink("a", "b")},
		"below a file":                 {file("a", "1"), file("a/b", "2")},
		"replaces the root":            {file(".", "1")},
		"below a link to itself":       {symlink("a", "a"), file("a/b", "1")},
		"below links in a circle":      {symlink("a", "b"), symlink("b", "a"), file("a/c", "1")},
		"name too long":                {file(strings.Repeat("x", 300), "1")},
		"whiteout of the parent":       {file(".wh...", "")},
		"whiteout of the directory":    {file(".wh..", "")},
		"whiteout of nothing":          {file(".wh.", "")},
		"whiteout that climbs":         {file("../.wh.canary", "")},
		"opaque directory that climbs": {file("../.wh..wh..opq", "")},
	}
}

func TestHostile(t *testing.T) {
	for name, entries := range hostile() {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			root := filepath.Join(above, "root")
			canary(t, above)
			for _, w := range []Whiteouts{Apply, Overlay} {
				if err := errors.Join(os.RemoveAll(root), os.Mkdir(root, 0o755)); err != nil {
					t.Fatal(err)
				}
				var refused *Error
				if err := unpackInto(t, root, archive(t, entries...), Options{Whiteouts: w}); !errors.As(err, &refused) {
					t.Errorf("not refused: %v", err)
				}
				checkCanary(t, above)
			}
		})
	}
}

// canary puts things beside the root that nothing may touch.
func canary(t testing.TB, above string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(above, "canary"), []byte("alive"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkCanary(t testing.TB, above string) {
	t.Helper()
	entries, err := os.ReadDir(above)
	if err != nil || len(entries) != 2 {
		t.Fatalf("beside the root there is now %v (%v)", entries, err)
	}
	info, err := os.Lstat(filepath.Join(above, "canary"))
	if err != nil || info.Mode() != 0o600 || info.Sys().(*syscall.Stat_t).Nlink != 1 {
		t.Fatalf("the file beside the root was changed: %v, %v", info, err)
	}
	if data, err := os.ReadFile(filepath.Join(above, "canary")); err != nil || string(data) != "alive" {
		t.Fatalf("the file beside the root holds %q (%v)", data, err)
	}
}

func TestSourceIsStricter(t *testing.T) {
	for name, h := range map[string][]item{
		"absolute name":                {file("/a", "1")},
		"absolute target":              {symlink("a", "/etc/passwd")},
		"pipe":                         {special(tar.TypeFifo, "a")},
		"device in dev":                {special(tar.TypeChar, "dev/null")},
		"below a link":                 {dir("a"), symlink("b", "a"), file("b/c", "1")},
		"links that lead out together": {dir("a/b"), symlink("a/b/top", "../.."), symlink("out", "a/b/top/..")},
		"a link to itself":             {symlink("a", "a")},
	} {
		var refused *Error
		if err := unpackInto(t, t.TempDir(), archive(t, h...), Options{Source: true}); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	root := t.TempDir()
	if err := unpackInto(t, root, archive(t, file(".wh.me", "a plain file")), Options{Source: true}); err != nil {
		t.Error(err)
	}
	if got := tree(t, root); !slices.Equal(got, []string{".wh.me = a plain file"}) {
		t.Errorf("%q", got)
	}
}

func TestLimits(t *testing.T) {
	data := archive(t, file("a", "12345"), file("b", "12345"))
	for name, l := range map[string]Limits{"bytes": {Bytes: 9}, "entries": {Entries: 1}} {
		var refused *Error
		if err := unpackInto(t, t.TempDir(), data, Options{Limits: l}); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := unpackInto(t, t.TempDir(), data, Options{Limits: Limits{Bytes: 10, Entries: 2}}); err != nil {
		t.Error(err)
	}
}

func TestDamaged(t *testing.T) {
	data := archive(t, file("a", strings.Repeat("x", 5000)))
	for name, d := range map[string][]byte{"cut": data[:3000], "noise": bytes.Repeat([]byte("noise"), 500)} {
		if err := unpackInto(t, t.TempDir(), d, Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Tar(ctx, t.TempDir(), bytes.NewReader(data), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestModesTimesOwners(t *testing.T) {
	root := t.TempDir()
	data := archive(t,
		item{Header: tar.Header{Name: "tmp", Typeflag: tar.TypeDir, Mode: 0o1777}},
		item{Header: tar.Header{Name: "closed", Typeflag: tar.TypeDir, Mode: 0o500, ModTime: time.Unix(5000, 0)}},
		item{Header: tar.Header{Name: "closed/su", Mode: 0o6755, Uid: 12, Gid: 34}},
	)
	own := os.Geteuid() == 0
	if err := unpackInto(t, root, data, Options{Own: own}); err != nil {
		t.Fatal(err)
	}
	closed := fs.ModeDir | 0o700 // without root it must be possible to remove it again
	if own {
		closed = fs.ModeDir | 0o500
	}
	for name, want := range map[string]fs.FileMode{"tmp": fs.ModeDir | fs.ModeSticky | 0o777, "closed": closed, "closed/su": 0o755} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v (%v), want %v", name, info.Mode(), err, want)
		}
		st := info.Sys().(*syscall.Stat_t)
		if name == "closed/su" && own && (st.Uid != 12 || st.Gid != 34) {
			t.Errorf("owner %d:%d", st.Uid, st.Gid)
		}
		if name == "closed" && info.ModTime().Unix() != 5000 {
			t.Errorf("time %v", info.ModTime())
		}
	}
}

func TestWhiteoutsApplied(t *testing.T) {
	root := t.TempDir()
	lower := archive(t, file("gone", "1"), file("dir/old", "1"), file("dir/sub/old", "1"), file("kept", "1"), file("was-dir/x", "1"), symlink("was-link", "kept"))
	upper := archive(t, file(".wh.gone", ""), file("dir/new", "2"), file("dir/sub/new", "2"), file("dir/.wh..wh..opq", ""),
		file("was-dir", "now a file"), dir("was-link"), file(".wh..wh.plnk", ""), file(".wh.never-there", ""))
	for _, data := range [][]byte{lower, upper} {
		if err := unpackInto(t, root, data, Options{Whiteouts: Apply}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"dir/", "dir/new = 2", "dir/sub/", "dir/sub/new = 2", "kept = 1", "was-dir = now a file", "was-link/"}
	if got := tree(t, root); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if err := unpackInto(t, t.TempDir(), upper, Options{Whiteouts: Refuse}); !errors.Is(err, ErrWhiteout) {
		t.Errorf("Refuse: %v", err)
	}
}

// FuzzTar feeds anything to the unpacker: nothing beside the root may ever change.
func FuzzTar(f *testing.F) {
	for _, entries := range hostile() {
		f.Add(archive(f, entries...), byte(0))
		f.Add(archive(f, entries...), byte(1))
	}
	f.Add(archive(f, dir("a"), file("a/b", "1"), symlink("c", "a"), hardlink("d", "a/b"), file("a/.wh.b", "")), byte(2))
	f.Fuzz(func(t *testing.T, data []byte, how byte) {
		above := t.TempDir()
		root := filepath.Join(above, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		canary(t, above)
		// What it returns does not matter here; twice, since the second finds what the first left.
		o := Options{Limits: Limits{Bytes: 1 << 20, Entries: 100}, Whiteouts: Whiteouts(how % 3), Source: how&4 != 0}
		_ = unpackInto(t, root, data, o)
		_ = unpackInto(t, root, data, Options{Limits: o.Limits, Whiteouts: Apply})
		checkCanary(t, above)
	})
}

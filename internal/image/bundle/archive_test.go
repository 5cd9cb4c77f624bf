package bundle

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/image/unpack"
)

// member is one entry of an archive that a test makes.
type member struct {
	name, text string
	mode       fs.FileMode
}

func zipped(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		h.SetMode(m.mode)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(m.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarred(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: int64(m.mode.Perm()), Size: int64(len(m.text)), Typeflag: tar.TypeReg}
		if m.mode&fs.ModeSymlink != 0 {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, m.text, 0
		}
		err := w.WriteHeader(h)
		if err == nil && h.Size > 0 {
			_, err = w.Write([]byte(m.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), g.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func stage(t *testing.T, name string, data []byte) ([]string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	dir, err := Stage(t.Context(), file, t.TempDir())
	if err != nil {
		return nil, err
	}
	var got []string
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(p)
		got = append(got, rel+" "+info.Mode().String()+" "+string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, nil
}

func TestStage(t *testing.T) {
	two := []member{{"a/run", "#!/bin/sh\n", 0o755}, {"b", "text", 0o644}}
	want := []string{"a/run -rwxr-xr-x #!/bin/sh\n", "b -rw-r--r-- text"}
	for name, c := range map[string]struct {
		file string
		data []byte
		want []string
	}{
		"zip":           {"x.zip", zipped(t, two...), want},
		"tar.gz":        {"x.tgz", tarred(t, two...), want},
		"one directory": {"x.zip", zipped(t, member{"top/b", "text", 0o644}), []string{"b -rw-r--r-- text"}},
		"link":          {"x.zip", zipped(t, member{"b", "text", 0o644}, member{"l", "b", fs.ModeSymlink | 0o777}), []string{"b -rw-r--r-- text", "l Lrwxrwxrwx text"}},
		"jar":           {"x.jar", []byte("PK\x03\x04jar"), []string{"x.jar -rw------- PK\x03\x04jar"}},
		"program":       {"server", []byte("\x7fELFprogram"), []string{"server -rw------- \x7fELFprogram"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := stage(t, c.file, c.data)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestStageRefuses(t *testing.T) {
	damaged := zipped(t, member{"a", strings.Repeat("text", 1000), 0o644})
	copy(damaged[40:], "damaged")
	for name, c := range map[string]struct {
		file string
		data []byte
		says string
	}{
		"zip climbs":       {"x.zip", zipped(t, member{"../../etc/passwd", "x", 0o644}), "climbs out"},
		"zip is absolute":  {"x.zip", zipped(t, member{"/etc/passwd", "x", 0o644}), "absolute"},
		"zip links out":    {"x.zip", zipped(t, member{"l", "../../etc", fs.ModeSymlink | 0o777}), "outside"},
		"zip through link": {"x.zip", zipped(t, member{"l", ".", fs.ModeSymlink | 0o777}, member{"l/x", "x", 0o644}), "below the link"},
		"zip device":       {"x.zip", zipped(t, member{"d", "", fs.ModeDevice | 0o644}), "neither a file"},
		"zip twice":        {"x.zip", zipped(t, member{"a", "1", 0o644}, member{"a", "2", 0o644}), "twice"},
		"zip damaged":      {"x.zip", damaged, "cannot be read"},
		"zip cut":          {"x.zip", zipped(t, member{"a", "x", 0o644})[:30], "damaged"},
		"tar climbs":       {"x.tgz", tarred(t, member{"../x", "x", 0o644}), "climbs out"},
		"tar links out":    {"x.tgz", tarred(t, member{"l", "/etc", fs.ModeSymlink | 0o777}), "outside"},
		"gzip of no tar":   {"x.gz", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := stage(t, c.file, c.data)
			var refused *unpack.Error
			if err == nil || !strings.Contains(err.Error(), c.says) || !errors.As(err, &refused) && c.says != "" {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	if _, err := stage(t, "notes.txt", []byte("text")); err == nil || !strings.Contains(err.Error(), "neither a directory, an archive") {
		t.Errorf("got %v", err)
	}
}

// A bomb is refused by what it says it holds, before it is written.
func TestStageBomb(t *testing.T) {
	data := zipped(t, member{"bomb", strings.Repeat("\x00", 1<<20), 0o644})
	at := bytes.LastIndex(data, []byte("PK\x01\x02"))
	copy(data[at+24:], []byte{0xff, 0xff, 0xff, 0x7f}) // its size in the directory of the archive
	if _, err := stage(t, "x.zip", data); err == nil || !strings.Contains(err.Error(), "unpack to more than") {
		t.Errorf("got %v", err)
	}
}

func FuzzStage(f *testing.F) {
	f.Add([]byte("PK\x03\x04"))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "x.zip")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, "to")
		if err := os.Mkdir(to, 0o700); err != nil {
			t.Fatal(err)
		}
		_, _ = Stage(t.Context(), file, to) // must neither panic nor write anywhere else
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Errorf("there are %v %v", entries, err)
		}
	})
}

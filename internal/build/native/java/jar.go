package java

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// writeJar lays directories into a jar, the first that has a file winning, with extra files over them. Entries are sorted and not compressed, as
// layers are: equal content gives equal bytes, and classes load quicker.
func writeJar(name string, dirs []string, extra map[string][]byte) error {
	files := maps.Clone(extra)
	if files == nil {
		files = map[string][]byte{}
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			if _, there := files[rel]; there {
				return nil
			}
			files[rel], err = os.ReadFile(p)
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("reading classes: %w", err)
		}
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, rel := range sorted(files) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: rel, Method: zip.Store, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err == nil {
			_, err = f.Write(files[rel])
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", filepath.Base(name), err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(name), err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(name), err)
	}
	return settle(name)
}

// settle gives a jar the time that it has in an image, which archives of loaded classes compare.
func settle(name string) error {
	if err := os.Chtimes(name, time.Unix(0, 0), time.Unix(0, 0)); err != nil {
		return fmt.Errorf("setting the time of %s: %w", filepath.Base(name), err)
	}
	return nil
}

const maxManifest = 1 << 20

// mainClass is the Main-Class of a jar's manifest; empty without one.
func mainClass(jar string) (string, error) {
	r, err := zip.OpenReader(jar)
	if err != nil {
		return "", fmt.Errorf("opening %s: %w", filepath.Base(jar), err)
	}
	defer r.Close()
	f, err := r.Open("META-INF/MANIFEST.MF")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the manifest of %s: %w", filepath.Base(jar), err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return "", fmt.Errorf("reading the manifest of %s: %w", filepath.Base(jar), err)
	}
	return mainOf(string(data)), nil
}

// mainOf finds Main-Class in a manifest, whose long lines go on after a newline and a space.
func mainOf(manifest string) string {
	manifest = strings.ReplaceAll(strings.ReplaceAll(manifest, "\r\n", "\n"), "\n ", "")
	for line := range strings.SplitSeq(manifest, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(name), "Main-Class") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

package java

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// writeJar lays directories below work into a jar, the first that has a file winning, with extra files over them. Entries are sorted and not
// compressed, as layers are: equal content gives equal bytes, and classes load quicker.
func writeJar(work, name string, dirs []string, extra map[string][]byte) (err error) {
	files := map[string]string{} // where they are, by path in the jar
	for rel := range extra {
		files[rel] = ""
	}
	for _, dir := range dirs {
		if is, err := lang.MadeDir(work, dir); err != nil || !is {
			if err != nil {
				return err
			}
			continue
		}
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(dir, p)
			if _, there := files[filepath.ToSlash(rel)]; !there && err == nil {
				files[filepath.ToSlash(rel)] = p
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("reading classes: %w", err)
		}
	}
	out, err := create(name)
	if err != nil {
		return err
	}
	w := zip.NewWriter(out)
	for _, rel := range sorted(files) {
		if err = addFile(w, work, rel, files[rel], extra[rel]); err != nil {
			break
		}
	}
	if err = errors.Join(err, w.Close(), out.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(name), err)
	}
	return settle(name)
}

// addFile adds a file below work, or data where no file is named.
func addFile(w *zip.Writer, work, rel, file string, data []byte) error {
	to, err := w.CreateHeader(&zip.FileHeader{Name: rel, Method: zip.Store, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		return err
	}
	if file == "" {
		_, err = to.Write(data)
		return err
	}
	from, err := lang.OpenMade(work, file)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}

// create makes a new file, in place of whatever is there.
func create(name string) (*os.File, error) {
	if err := os.RemoveAll(name); err != nil {
		return nil, fmt.Errorf("writing %s: %w", filepath.Base(name), err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // what becomes a part of images is for everybody
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", filepath.Base(name), err)
	}
	return f, nil
}

// settle gives a jar the time that it has in an image, which archives of loaded classes compare.
func settle(name string) error {
	if err := os.Chtimes(name, time.Unix(0, 0), time.Unix(0, 0)); err != nil {
		return fmt.Errorf("setting the time of %s: %w", filepath.Base(name), err)
	}
	return nil
}

const maxManifest = 1 << 20

// mainClass is the Main-Class of the manifest of a jar below work; empty without one.
func mainClass(work, jar string) (string, error) {
	file, err := lang.OpenMade(work, jar)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("opening %s: %w", filepath.Base(jar), err)
	}
	r, err := zip.NewReader(file, info.Size())
	if err != nil {
		return "", fmt.Errorf("opening %s: %w", filepath.Base(jar), err)
	}
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

// classNames are the classes in a jar below work.
func classNames(work, jar string) ([]string, error) {
	file, err := lang.OpenMade(work, jar)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", filepath.Base(jar), err)
	}
	r, err := zip.NewReader(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", filepath.Base(jar), err)
	}
	var names []string
	for _, f := range r.File {
		name, is := strings.CutSuffix(f.Name, ".class")
		if is && !strings.HasPrefix(name, "META-INF/") && !strings.HasSuffix(name, "-info") {
			names = append(names, strings.ReplaceAll(name, "/", "."))
		}
	}
	return names, nil
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

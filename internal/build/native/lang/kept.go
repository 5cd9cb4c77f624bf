package lang

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// HashFiles names the content of files by their path: 24 hexadecimal digits.
func HashFiles(sets ...map[string][]byte) string {
	h := sha256.New()
	for _, files := range sets {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			fmt.Fprintf(h, "%q %d\n%s", name, len(files[name]), files[name])
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:12])
}

// WriteFiles lays files, by slash-separated path, below a directory.
func WriteFiles(dir string, files map[string][]byte) error {
	for name, data := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// KeepFiles makes a directory of a cache with files, unless it is there. One that exists is whole, because it gets its name last.
func KeepFiles(cache, name string, files map[string][]byte) (string, error) {
	dir := filepath.Join(cache, filepath.FromSlash(name))
	if _, err := os.Stat(dir); err == nil {
		Touch(dir)
		return dir, nil
	}
	tmp, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp) // gone after a successful rename
	if err := errors.Join(os.Chmod(tmp, 0o755), WriteFiles(tmp, files), os.MkdirAll(filepath.Dir(dir), 0o755)); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return dir, nil
}

// PrepareCache makes directories of a language's cache and forgets what lies in them that nobody used for long.
func (t Tools) PrepareCache(language string, dirs ...string) error {
	var patterns []string
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(t.Cache, dir), 0o755); err != nil {
			return fmt.Errorf("preparing the caches of %s: %w", language, err)
		}
		patterns = append(patterns, dir+"/*")
	}
	return Sweep(t.Cache, time.Now(), append(patterns, "new-*")...)
}

// Tail is the end of what a tool said, in whole lines.
func Tail(text string) string {
	const most = 8 << 10
	text = strings.TrimSpace(text)
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most:]
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return "…\n" + text
}

package file_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/file"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
)

func in(dir string) file.Allow {
	return func(_, path string) (string, error) {
		if !filepath.IsLocal(path) {
			return "", errors.New("not allowed")
		}
		return filepath.Join(dir, path), nil
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEvents(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "in"), 0o755))
	r := sourcetest.Start(t, file.New(in(dir)), sourcetest.Config(t, "file", map[string]any{"path": "in", "pattern": "*.csv", "recursive": true, "events": []string{"create", "write", "remove"}}))
	r.Connected()
	var last file.Event
	next := func() (e file.Event) { // a file in a directory that was just made may be told of twice
		t.Helper()
		for e.Event == "" || e.Event == last.Event && e.Path == last.Path {
			e = file.Event{}
			must(t, json.Unmarshal(r.Next().Data, &e))
		}
		last = e
		return e
	}
	// A pause within what is one change to the test would be two to the source: each is one call of the system.
	a := filepath.Join(dir, "in", "a.csv")
	must(t, os.WriteFile(filepath.Join(dir, "a.csv"), []byte("1,2"), 0o644))
	must(t, os.Rename(filepath.Join(dir, "a.csv"), a))
	must(t, os.WriteFile(filepath.Join(dir, "in", "a.txt"), []byte("no"), 0o644))
	if e := next(); e.Event != "create" || e.Path != "in/a.csv" || e.Size != 3 {
		t.Fatalf("%+v", e)
	}
	f, err := os.OpenFile(a, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(",3")
	must(t, errors.Join(err, f.Close()))
	if e := next(); e.Event != "write" || e.Size != 5 {
		t.Fatalf("%+v", e)
	}
	must(t, os.MkdirAll(filepath.Join(dir, "in", "b", "c"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "in", "b", "c", "d.csv"), nil, 0o644))
	if e := next(); e.Path != "in/b/c/d.csv" {
		t.Fatalf("%+v", e)
	}
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "in", "link.csv")))
	must(t, os.Remove(a))
	if e := next(); e.Event != "remove" || e.Path != "in/a.csv" {
		t.Fatalf("%+v: what a link leads to is nobody's business", e)
	}
}

func TestContentOfOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	must(t, os.WriteFile(path, []byte("old"), 0o644))
	r := sourcetest.Start(t, file.New(in(dir)), sourcetest.Config(t, "file", map[string]any{"path": "x", "content": true}))
	r.Connected()
	must(t, os.WriteFile(filepath.Join(dir, "y"), []byte("other"), 0o644))
	must(t, os.WriteFile(path+".new", []byte("new"), 0o644))
	must(t, os.Rename(path+".new", path))
	if e := r.Next(); string(e.Data) != "new" || e.Subject != "x" {
		t.Fatalf("%+v", e)
	}
}

func TestNotThere(t *testing.T) {
	dir := t.TempDir()
	r := sourcetest.Start(t, file.New(in(dir)), sourcetest.Config(t, "file", map[string]any{"path": "late"}))
	if err := r.Trouble(); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	must(t, os.Mkdir(filepath.Join(dir, "late"), 0o755))
	r.Connected()
}

func TestInvalid(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"no path": {}, "outside": {"path": "/etc"}, "pattern": {"path": "x", "pattern": "["}, "events": {"path": "x", "events": []string{"chmod"}},
	} {
		var invalid source.Invalid
		if _, err := file.New(in("/"))(sourcetest.Config(t, "file", spec)); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

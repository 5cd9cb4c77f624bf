package lang

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEnv(t *testing.T) {
	for _, c := range []struct {
		k, v string
		ok   bool
	}{
		{"FUNC_SRC", "a/b.js", true},
		{"FUNC_SRC", "a/../../x", false},
		{"FUNC_SRC", "/x", false},
		{"FUNC_CLEAR_SOURCE", "true", true},
		{"FUNC_CLEAR_SOURCE", "maybe", false},
		{"FUNC_TYPE", "event", true},
		{"FUNC_TYPE", "typed", true},
		{"FUNC_TYPE", "queue", false},
		{"ANYTHING", "else", true},
	} {
		_, err := ParseEnv(map[string]string{c.k: c.v}, io.Discard)
		if (err == nil) != c.ok {
			t.Errorf("%s=%q: got %v, want accepted: %v", c.k, c.v, err, c.ok)
		}
		if err != nil && !strings.Contains(err.Error(), c.k) {
			t.Errorf("%s=%q: the message does not name it: %v", c.k, c.v, err)
		}
	}
}

// Variables of Google Cloud's builders are read where they mean the same; ours go before.
func TestGoogleEnv(t *testing.T) {
	var log strings.Builder
	e, err := ParseEnv(map[string]string{"GOOGLE_FUNCTION_TARGET": "hello", "GOOGLE_FUNCTION_SOURCE": "main.py", "FUNC_TYPE": "http",
		"GOOGLE_FUNCTION_SIGNATURE_TYPE": "cloudevent", "GOOGLE_X": "1"}, &log)
	if err != nil || e.Name != "hello" || e.Source != "main.py" || e.Signature != "http" {
		t.Errorf("got %+v, %v", e, err)
	}
	e.Unknown(&log, func(string) bool { return false })
	for _, k := range []string{"GOOGLE_FUNCTION_SIGNATURE_TYPE has no effect here: FUNC_TYPE says it", "GOOGLE_X has no effect"} {
		if !strings.Contains(log.String(), k) {
			t.Errorf("log lacks %q:\n%s", k, log.String())
		}
	}
}

// A variable that is meant for a builder and does nothing is told, one that is the user's own is not.
func TestUnknown(t *testing.T) {
	var log strings.Builder
	e, err := ParseEnv(map[string]string{"FUNC_X": "1", "FUNC_Y": "1", "NPM_X": "1", "OWN": "1", "FUNC_DEBUG": "1"}, &log)
	if err != nil {
		t.Fatal(err)
	}
	e.Unknown(&log, func(k string) bool { return k == "FUNC_Y" }, "NPM_")
	for name, want := range map[string]bool{"FUNC_X ": true, "FUNC_Y ": false, "NPM_X ": true, "OWN": false, "FUNC_DEBUG ": true} {
		if strings.Contains(log.String(), name) != want {
			t.Errorf("told of %s: %v, want %v\n%s", name, !want, want, log.String())
		}
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"results/old", "results/new", "mod-old/m/x", "mod/m"} {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for _, old := range []string{"results/old", "mod-old", "mod"} {
		if err := os.Chtimes(filepath.Join(dir, old), now, now.Add(-2*Unused)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(dir, now, "results/*", "mod-*"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"results/old": false, "results/new": true, "mod-old": false, "mod/m": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}

func TestDirLayer(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"a/run": 0o700, "a/data": 0o600, "skip/x": 0o600} {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("run", filepath.Join(dir, "a/link")); err != nil {
		t.Fatal(err)
	}
	l, err := DirLayer(dir, "app/x", func(p string, _ os.DirEntry) bool { return p != "skip" })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range l {
		got = append(got, e.Path+" "+e.Mode.String()+" "+e.Link)
	}
	want := "app/x drwxr-xr-x ,app/x/a drwxr-xr-x ,app/x/a/data -rw-r--r-- ,app/x/a/link Lrw-r--r-- run,app/x/a/run -rwxr-xr-x "
	if strings.Join(got, ",") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ","), want)
	}
}

package lang

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/openfunction/ofn/internal/build"
)

// What a build left for the builder to read is a file itself, or is refused: a link would have the builder read a file of the machine, a pipe would
// have it wait for ever.
func TestMade(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for at, text := range map[string]string{outside + "/secret": "secret", dir + "/file": "text", dir + "/in/file": "text"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Symlink(outside+"/secret", dir+"/link"), os.Symlink(outside, dir+"/dir"), os.Symlink("file", dir+"/near"),
		os.Symlink("in", dir+"/by"), syscall.Mkfifo(dir+"/pipe", 0o644))
	if err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"file": "", "in/file": "", filepath.Join(dir, "in", "file"): "",
		"link": "link is a link", "near": "near is a link", "dir/secret": "dir is a link", "by/file": "by is a link", "pipe": "pipe is no file", "in": "in is no file",
	} {
		data, err := ReadMade(dir, name, 4)
		var f *build.Failure
		switch {
		case says == "" && (err != nil || string(data) != "text"):
			t.Errorf("%s: %q, %v", name, data, err)
		case says != "" && (!errors.As(err, &f) || !strings.Contains(f.Message, says)):
			t.Errorf("%s: %q, %v, want a failure that says %q", name, data, err, says)
		}
	}
	for _, name := range []string{"../secret", outside + "/secret"} {
		if data, err := ReadMade(dir, name, 100); err == nil {
			t.Errorf("%s: %q", name, data)
		}
	}
	if _, err := ReadMade(dir, "none", 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	var f *build.Failure
	if _, err := ReadMade(dir, "file", 3); !errors.As(err, &f) || f.Reason != "BuildOutputInvalid" {
		t.Errorf("too large: %v", err)
	}
	for name, want := range map[string]bool{"in": true, "none": false, "none/in": false, "file": false} {
		if is, err := MadeDir(dir, name); is != want || err != nil {
			t.Errorf("%s: directory %v, %v", name, is, err)
		}
	}
	if _, err := MadeDir(dir, "dir"); !errors.As(err, &f) {
		t.Errorf("a link to a directory: %v", err)
	}
	opened, err := OpenMade(dir, "file")
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if data, err := io.ReadAll(opened); string(data) != "text" || err != nil {
		t.Errorf("opened: %q, %v", data, err)
	}
}

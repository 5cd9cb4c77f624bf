package system

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
)

// unpack lays a layer out in a directory.
func unpack(t *testing.T, dir string, l build.Layer) {
	t.Helper()
	for _, e := range l {
		at := filepath.Join(dir, e.Path)
		var err error
		switch {
		case e.Mode.IsDir():
			err = os.Mkdir(at, 0o755)
		case e.Mode&fs.ModeSymlink != 0:
			err = os.Symlink(e.Link, at)
		default:
			var data []byte
			if data, err = os.ReadFile(e.File); err == nil {
				err = os.WriteFile(at, data, e.Mode.Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A program that was collected runs with nothing of the machine but what was collected.
func TestProgramRunsAlone(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	for program, args := range map[string][]string{"ls": {"--version"}, "sh": {"-c", "echo version"}, "openssl": {"version", "-v", "-p"}} {
		t.Run(program, func(t *testing.T) {
			file, err := exec.LookPath(program)
			if err != nil {
				t.Skipf("no %s here", program)
			}
			want, err := exec.Command(file, args...).Output()
			if err != nil {
				t.Skipf("%s does not run here: %v", program, err)
			}
			c := New("/")
			if err := c.Program(file, "opt/bin/it"); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			unpack(t, dir, c.Layer())
			out, err := exec.Command("chroot", append([]string{dir, "/opt/bin/it"}, args...)...).CombinedOutput()
			if err != nil || string(out) != string(want) {
				t.Errorf("%v: got %s, want %s", err, out, want)
			}
		})
	}
}

// A link inside a tree stays, one that leaves it becomes what it points to, one to nothing is left out.
func TestTreeLinks(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"in": "file", "out": outside, "nothing": "nosuch"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c := New("/")
	if err := c.Tree(dir, "opt/x", nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range c.Layer() {
		got = append(got, e.Path+" "+e.Link)
		if e.Path == "opt/x/out" && e.File != outside {
			t.Errorf("a link out of the tree holds %+v", e)
		}
	}
	if want := "opt ,opt/x ,opt/x/file ,opt/x/in file,opt/x/out "; strings.Join(got, ",") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ","), want)
	}
}

func TestNoSuchProgram(t *testing.T) {
	if err := New("/").Program("/no/such/program", "x"); err == nil {
		t.Error("no error")
	}
	if ok, err := New("/").Library("libnosuch.so.9"); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestConfigured(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n# comment\n/opt/lib # one\n", "etc/ld.so.conf.d/a.conf": "/a/lib\n",
		"etc/ld.so.conf.d/loop.conf": "include /etc/ld.so.conf.d/loop.conf\n"} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.Join(configured(root, "/etc/ld.so.conf", 0), " ")
	if want := filepath.Join(root, "a/lib") + " " + filepath.Join(root, "opt/lib"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What a user's objects name of the machine by its path does not get into an image; libraries by their name do.
func TestUsersObjects(t *testing.T) {
	ls, err := exec.LookPath("ls")
	if err != nil {
		t.Skip("no ls here")
	}
	program, err := os.ReadFile(ls)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Skip("ls is no ELF program here")
	}
	loader, err := interpreter(f)
	if err != nil || loader == "" {
		t.Skip("ls is static here")
	}
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "s")
	if len(secret) > len(loader) {
		secret = "/etc/passwd"
	} else if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	bent := bytes.Replace(program, []byte(loader), append([]byte(secret), make([]byte, len(loader)-len(secret))...), 1)
	for name, data := range map[string][]byte{"good": program, "bent": bent} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "program"), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "good/leak")); err != nil {
		t.Fatal(err)
	}
	c := New("/")
	if err := c.UserTree(filepath.Join(dir, "good"), "opt/x", nil); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, e := range c.Layer() {
		paths = append(paths, e.Path)
	}
	if !slices.Contains(paths, strings.TrimPrefix(loader, "/")) || slices.Contains(paths, "opt/x/leak") {
		t.Errorf("collected %v", paths)
	}
	if err := New("/").UserTree(filepath.Join(dir, "bent"), "opt/x", nil); err == nil || !strings.Contains(err.Error(), secret) {
		t.Errorf("the loader %s: got %v", secret, err)
	}
	if err := New("/").UserProgram(filepath.Join(dir, "bent/program"), "x", dir); err == nil {
		t.Error("the program was taken")
	}
	if err := New("/").UserProgram(filepath.Join(dir, "good/leak"), "x", dir); err == nil {
		t.Error("a link out of the source was taken")
	}
}

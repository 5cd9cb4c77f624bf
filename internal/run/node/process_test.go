package node

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/run"
)

func TestCommand(t *testing.T) {
	img := Config{Entrypoint: []string{"/entry", "-x"}, Cmd: []string{"run"}}
	for name, tt := range map[string]struct {
		c    run.Container
		img  Config
		want []string
	}{
		"as the image says":                 {run.Container{}, img, []string{"/entry", "-x", "run"}},
		"args replace the image's":          {run.Container{Args: []string{"a"}}, img, []string{"/entry", "-x", "a"}},
		"command drops the image's args":    {run.Container{Command: []string{"/c"}}, img, []string{"/c"}},
		"both":                              {run.Container{Command: []string{"/c"}, Args: []string{"a"}}, img, []string{"/c", "a"}},
		"an image with a command only":      {run.Container{}, Config{Cmd: []string{"sh"}}, []string{"sh"}},
		"nothing to run":                    {run.Container{}, Config{}, nil},
		"an empty program is not a program": {run.Container{Command: []string{""}}, img, nil},
	} {
		got, err := command(tt.c, tt.img)
		if !slices.Equal(got, tt.want) || (err != nil) != (tt.want == nil) {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, tt.want)
		}
	}
}

func TestPort(t *testing.T) {
	for _, tt := range []struct {
		said    int
		exposed []int
		want    int
	}{{0, nil, 8080}, {9000, []int{80}, 9000}, {0, []int{80}, 80}, {0, []int{80, 443}, 8080}} {
		if got := portOf(tt.said, tt.exposed); got != tt.want {
			t.Errorf("%+v: got %d", tt, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	r := run.Revision{Key: run.Key{Namespace: "ns", Name: "fn-1"}, Function: "fn"}
	r.Container.Env = []run.EnvVar{{Name: "A", Value: "mine"}, {Name: "K_SERVICE", Value: "stolen"}, {Name: "PORT", Value: "1"}, {Name: "HOSTNAME", Value: "chosen"}, {Name: "A", Value: "last"}}
	got := environment(r, []string{"A=image", "PATH=/bin", "EMPTY", "E=x=y"}, 8081, "fn-1-abc", "/home/u")
	want := []string{"PATH=/bin", "HOME=/home/u", "A=last", "EMPTY=", "E=x=y", "HOSTNAME=chosen", "POD_NAME=fn-1-abc", "POD_NAMESPACE=ns",
		"K_SERVICE=fn", "PORT=8081", "K_CONFIGURATION=fn", "K_REVISION=fn-1"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func id(n int64) *int64 { return &n }

func TestUser(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "passwd", "evil:x:0:0::/:/bin/sh\n")
	lower, upper, linked := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, lower, "etc/passwd", "app:x:1000:1001::/home/app:/bin/sh\nold:x:7:7::/:/bin/sh\n")
	write(t, lower, "etc/group", "staff:x:50:app\n")
	write(t, upper, "etc/passwd", "app:x:2000:2001::/srv:/bin/sh\n")
	if err := os.MkdirAll(filepath.Join(linked, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "passwd"), filepath.Join(linked, "etc/passwd")); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		c        run.Container
		said     string
		layers   []string
		uid, gid int
		home     string
		fails    string
	}{
		"nobody said":                {said: "", uid: 0, gid: 0, home: "/"},
		"a name":                     {said: "app", layers: []string{lower}, uid: 1000, gid: 1001, home: "/home/app"},
		"the upper layer wins":       {said: "app", layers: []string{lower, upper}, uid: 2000, gid: 2001, home: "/srv"},
		"and hides the lower":        {said: "old", layers: []string{lower, upper}, fails: "use numbers in runAsUser"},
		"a name with a group":        {said: "app:staff", layers: []string{lower}, uid: 1000, gid: 50, home: "/home/app"},
		"numbers":                    {said: "12:34", uid: 12, gid: 34, home: "/"},
		"a number that is in passwd": {said: "1000", layers: []string{lower}, uid: 1000, gid: 1001, home: "/home/app"},
		"the template's numbers":     {c: run.Container{UID: id(5), GID: id(6)}, said: "app", layers: []string{lower}, uid: 5, gid: 6, home: "/"},
		"the template's group alone": {c: run.Container{GID: id(6)}, said: "app", layers: []string{lower}, uid: 1000, gid: 6, home: "/home/app"},
		"a link out of the layer":    {said: "evil", layers: []string{linked}, fails: "evil"},
		"an unknown user":            {said: "nobody-here", layers: []string{lower}, fails: "nobody-here"},
		"a negative user":            {c: run.Container{UID: id(-1)}, fails: "-1"},
		"a layer that is away":       {said: "12:34", layers: []string{"/does/not/exist"}, uid: 12, gid: 34, home: "/"},
	} {
		who, err := runAs(tt.c, tt.said, tt.layers)
		switch {
		case tt.fails != "":
			if err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%s: got %+v, %v; want an error that says %q", name, who, err, tt.fails)
			}
		case err != nil || who.Uid != tt.uid || who.Gid != tt.gid || who.Home != tt.home:
			t.Errorf("%s: got %+v, %v", name, who, err)
		}
	}
}

func write(t *testing.T, dir, name, data string) {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNewID(t *testing.T) {
	a, b := newID("fn.With_odd/CHARS"+strings.Repeat("x", 80)), newID("fn")
	if len(a) > 63 || !strings.HasPrefix(a, "fn-with-odd-chars") || strings.Trim(a, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || b == newID("fn") {
		t.Errorf("got %q and %q", a, b)
	}
}

func FuzzUser(f *testing.F) {
	f.Add("app:staff", "app:x:1:2::/:", "staff:x:3:app")
	f.Fuzz(func(t *testing.T, said, passwd, group string) {
		dir := t.TempDir()
		write(t, dir, "etc/passwd", passwd)
		write(t, dir, "etc/group", group)
		if who, err := runAs(run.Container{}, said, []string{dir}); err == nil && (who.Uid < 0 || who.Gid < 0 || who.Uid > 1<<32-2) {
			t.Errorf("%q: got %+v", said, who)
		}
	})
}

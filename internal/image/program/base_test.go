package program

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openfunction/ofn/internal/image/assemble"
)

var testRooms = rooms{"/app", "/workspace", "/tmp"}

func text(path, data string) assemble.File {
	return assemble.File{Path: path, Mode: 0o644, Data: []byte(data)}
}

func layer(t *testing.T, files ...assemble.File) v1.Layer {
	t.Helper()
	l, err := assemble.Layer(files)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// machine are the layers of a language, and function an image over them.
func machine(t *testing.T) []v1.Layer {
	return []v1.Layer{layer(t, text("etc/passwd", "users"), assemble.File{Path: "tmp", Mode: fs.ModeDir | 0o777}), layer(t, text("usr/bin/python3", "an interpreter")),
		layer(t, text("app/python/framework.py", "a framework"))}
}

func function(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := assemble.Image(assemble.Spec{Layers: layers, Entrypoint: []string{"/usr/bin/python3"}, Cmd: []string{"/app/start.py"}, Env: []string{"TARGET=mine"}, WorkingDir: "/workspace", User: "65532"})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestParts(t *testing.T) {
	m := machine(t)
	b, err := readBase(Base{"python", "warm"}, function(t, append(m, layer(t, text("workspace/main.py", "of the base")), layer(t, text("ofn", "ofn")))...), testRooms)
	if err != nil {
		t.Fatal(err)
	}
	own := layer(t, text("app/start.py", "start"), text("workspace/lib/x.py", "x"), assemble.File{Path: "workspace/link", Mode: fs.ModeSymlink | 0o777, Link: "/usr"})
	p, err := b.parts(function(t, append(m, own)...), testRooms, t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	f, err := os.Open(p.File)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for in := tar.NewReader(f); ; {
		h, err := in.Next()
		if err != nil {
			break
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeDir {
			got[h.Name] = h.Linkname + string(data)
		}
	}
	want := map[string]string{"app/python/framework.py": "a framework", "app/start.py": "start", "workspace/lib/x.py": "x", "workspace/link": "/usr"}
	if !maps.Equal(got, want) {
		t.Errorf("the parts are %v, want %v", got, want)
	}
	info, err := f.Stat()
	if err != nil || info.Size() != p.Size || p.Base != "python" || !slices.Contains(p.Drop, "TARGET") || p.Dir != "/workspace" || !slices.Equal(p.Args, []string{"/usr/bin/python3", "/app/start.py"}) {
		t.Errorf("it is run as %+v (%v)", p, err)
	}
}

func TestOtherLayers(t *testing.T) {
	m := machine(t)
	b, err := readBase(Base{"python", "warm"}, function(t, append(m, layer(t, text("ofn", "ofn")))...), testRooms)
	if err != nil {
		t.Fatal(err)
	}
	mine := layer(t, text("workspace/main.py", "main"))
	for name, test := range map[string]struct {
		img  v1.Image
		want string
	}{
		"another runtime":   {function(t, m[0], layer(t, text("usr/bin/python3", "newer")), m[2], mine), "usr/bin/python3"},
		"a library":         {function(t, append(m, layer(t, text("usr/lib/libx.so", "x")))...), "/usr/lib"},
		"without a layer":   {function(t, m[0], mine), "has the file /usr/bin/python3"},
		"another order":     {function(t, m[1], m[0], mine), "order"},
		"a folder":          {function(t, append(m, layer(t, assemble.File{Path: "data", Mode: fs.ModeDir | 0o777}))...), "/data"},
		"something removed": {function(t, append(m, layer(t, text("usr/bin/.wh.python3", "")))...), ".wh.python3"},
		"a room replaced":   {function(t, append(m, layer(t, assemble.File{Path: "workspace", Mode: fs.ModeSymlink | 0o777, Link: "/usr"}))...), "/workspace"},
		"too large":         {function(t, append(m, layer(t, text("workspace/x", strings.Repeat("x", 20_000))))...), "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := b.parts(test.img, testRooms, dir, 10_000)
			if !errors.Is(err, ErrNotAlone) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("it leaves %v (%v)", left, err)
			}
		})
	}
}

// TestCacheOfBases pulls from a registry.
func TestCacheOfBases(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	m := machine(t)
	for at, img := range map[string]v1.Image{"warm:1": function(t, append(m, layer(t, text("ofn", "ofn")))...), "fn:1": function(t, append(m, layer(t, text("workspace/main.py", "main")))...),
		"other:1": function(t, layer(t, text("bin/sh", "shell")))} {
		ref, err := name.ParseReference(host+"/"+at, name.Insecure)
		if err == nil {
			err = remote.Write(ref, img)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	changed := make(chan struct{}, 10)
	var asked []string
	c, err := OpenCache(CacheOptions{Dir: t.TempDir() + "/programs", Insecure: []string{host}, Bases: []Base{{"python", host + "/warm:1"}}, Rooms: testRooms, Most: 1 << 20, Total: 1 << 20, Log: slog.New(slog.DiscardHandler),
		Changed: func() { changed <- struct{}{} },
		Login: func(_ context.Context, namespace string, secrets []string, registry string) (authn.Authenticator, error) {
			asked = append(asked, namespace+" "+strings.Join(secrets, ",")+" "+registry)
			return authn.Anonymous, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	get := func(i Image) *Program {
		t.Helper()
		if p := c.Get(i); p != nil {
			t.Errorf("%v is known before it was pulled", i)
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatal("nothing is told")
		}
		return c.Get(i)
	}
	if p := get(Image{Name: host + "/fn:1", Namespace: "a"}); p == nil || p.Base != "python" {
		t.Errorf("the program is %+v", p)
	}
	if p := get(Image{Name: host + "/other:1"}); p != nil {
		t.Errorf("the program is %+v", p)
	}
	if p := get(Image{Name: host + "/fn:1", Namespace: "b", Secrets: []string{"s"}}); p == nil { // pulled anew: others may not
		t.Error("nothing was pulled with a secret")
	}
	if want := []string{"b s " + host}; !slices.Equal(asked, want) {
		t.Errorf("asked for logins of %v, want %v", asked, want)
	}
}

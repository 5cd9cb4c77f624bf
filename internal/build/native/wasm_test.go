package native_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/buildtest"
)

// seen are images with the last one that was written.
type seen struct {
	*buildtest.Images
	last build.Image
	code []byte // of its first file
}

// Write implements build.Images.
func (s *seen) Write(ctx context.Context, out build.Output, img build.Image) (string, int64, error) {
	s.last, s.code = img, nil
	for _, l := range img.Layers {
		for _, e := range l {
			if e.File != "" && s.code == nil {
				s.code, _ = os.ReadFile(e.File)
			}
		}
	}
	return s.Images.Write(ctx, out, img)
}

// TestWasm: an http function becomes a handler, a complete program a command, anything else is refused.
func TestWasm(t *testing.T) {
	const function = "package hello\n\nimport \"net/http\"\n\nfunc HelloWorld(w http.ResponseWriter, r *http.Request) { w.Write([]byte(\"hello\")) }\n"
	for name, c := range map[string]struct{ source, exports, reason string }{
		"http function":            {function, "ofn_handle", ""},
		"http function in a main":  {strings.Replace(function, "package hello", "package main", 1), "ofn_handle", ""},
		"complete program":         {"package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(\"hello\") }\n", "_start", ""},
		"another kind of function": {"package hello\n\nimport ofctx \"github.com/OpenFunction/functions-framework-go/context\"\n\nfunc HelloWorld(ctx ofctx.Context, in []byte) (ofctx.Out, error) { return nil, nil }\n", "", "SignatureUnsupported"},
	} {
		t.Run(name, func(t *testing.T) {
			src := t.TempDir()
			write(t, src, map[string]string{"hello.go": c.source, "go.mod": "module hello\n\ngo 1.24\n"})
			images := &seen{Images: &buildtest.Images{}}
			s := setup(t, src, func(o *all) { o.Images, o.golang.Framework.Wasm = images, wasmSource(t) })
			r := request()
			r.Target = build.TargetWasm
			var log bytes.Buffer
			_, err := s.Build(t.Context(), r, &log)
			if reason(err) != c.reason || (err == nil) != (c.reason == "") {
				t.Fatalf("%v\n%s", err, log.String())
			}
			if err != nil {
				return
			}
			if images.last.OS != "wasip1" || images.last.Arch != "wasm" || len(images.last.Layers) != 1 || images.last.Entrypoint[0] != "/function.wasm" {
				t.Errorf("image for %s/%s with %d layers and command %v", images.last.OS, images.last.Arch, len(images.last.Layers), images.last.Entrypoint)
			}
			if !bytes.HasPrefix(images.code, []byte("\x00asm")) || !bytes.Contains(images.code, []byte(c.exports)) {
				t.Errorf("the module of %d bytes does not export %s", len(images.code), c.exports)
			}
		})
	}
}

// wasmSource is the source of framework/wasm/go of this repository.
func wasmSource(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	root := filepath.Join("..", "..", "..", "framework", "wasm", "go")
	err := fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[p], err = os.ReadFile(filepath.Join(root, p))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

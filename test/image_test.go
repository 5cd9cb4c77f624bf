package test

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"
)

// newRegistry is a registry of somebody else.
func newRegistry(t *testing.T) string {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// push puts an image of one layer into the other registry: push [-arch ARCH] [-cmd PROGRAM] NAME [PATH=FILE...].
// A PATH is written as it is, also one that no honest archive has.
func push(ts *testscript.TestScript, neg bool, args []string) {
	f := flag.NewFlagSet("push", flag.ContinueOnError)
	arch := f.String("arch", runtime.GOARCH, "")
	command := f.String("cmd", "", "")
	ts.Check(f.Parse(args))
	if neg || f.NArg() < 1 {
		ts.Fatalf("usage: push [-arch ARCH] [-cmd PROGRAM] NAME [PATH=FILE...]")
	}
	layer, err := layerOf(ts, f.Args()[1:])
	ts.Check(err)
	img, err := mutate.AppendLayers(empty.Image, layer)
	ts.Check(err)
	config := &v1.ConfigFile{OS: "linux", Architecture: *arch, RootFS: v1.RootFS{Type: "layers"}}
	if *command != "" {
		config.Config.Entrypoint = strings.Fields(*command)
	}
	made, err := img.ConfigFile()
	ts.Check(err)
	config.RootFS, config.History = made.RootFS, made.History
	img, err = mutate.ConfigFile(img, config)
	ts.Check(err)
	ref, err := name.ParseReference(ts.Getenv("REGISTRY")+"/"+f.Arg(0), name.Insecure)
	ts.Check(err)
	ts.Check(remote.Write(ref, img))
}

// pushModule puts a WebAssembly module into the other registry as an artifact of its own kind: pushmodule NAME FILE.
func pushModule(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pushmodule NAME FILE")
	}
	code, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	layer := static.NewLayer(code, "application/wasm")
	img, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), "application/vnd.wasm.config.v0+json"), mutate.Addendum{Layer: layer})
	ts.Check(err)
	config, err := img.ConfigFile()
	ts.Check(err)
	config.OS, config.Architecture = "wasip1", "wasm"
	img, err = mutate.ConfigFile(img, config)
	ts.Check(err)
	ref, err := name.ParseReference(ts.Getenv("REGISTRY")+"/"+args[0], name.Insecure)
	ts.Check(err)
	ts.Check(remote.Write(ref, img))
}

func layerOf(ts *testscript.TestScript, files []string) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, file := range files {
		path, from, _ := strings.Cut(file, "=")
		content, err := os.ReadFile(ts.MkAbs(from))
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Name: path, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return nil, fmt.Errorf("writing %s: %w", path, err)
		}
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("writing %s: %w", path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}

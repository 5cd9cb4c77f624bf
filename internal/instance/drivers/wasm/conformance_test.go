//go:build linux

package wasm_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/instancetest"
)

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{"probe": guest(t, "server"), "data/file": []byte("from the image\n")} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d, _ := newDriver(t, nil)
	start(t, d, layer(t, guest(t, "server")), "warm", func(s *instance.Spec) { s.Process.Args = []string{"/app.wasm", "serve"} }) // the suite has less patience than a compiler
	instancetest.Run(t, instancetest.Options{Module: true, Layer: dir, New: func(t *testing.T) instance.Driver {
		d, _ := newDriver(t, nil)
		return d
	}})
}

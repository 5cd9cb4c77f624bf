package wasm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// guests are the modules of testdata, each compiled once.
var guests = struct {
	dir   string
	state string // of drivers, so that each module is compiled once
	once  map[string]func() ([]byte, error)
}{}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "wasm-test")
	if err != nil {
		panic(err)
	}
	guests.dir, guests.state = dir, filepath.Join(dir, "state")
	guests.once = map[string]func() ([]byte, error){}
	for name, flags := range map[string][]string{"handler": {"-buildmode=c-shared"}, "httpwasm": {"-buildmode=c-shared"}, "command": nil, "server": nil, "wasmedge": nil} {
		guests.once[name] = sync.OnceValues(func() ([]byte, error) {
			out := filepath.Join(dir, name+".wasm")
			c := exec.Command("go", append(append([]string{"build", "-ldflags=-s -w", "-o", out}, flags...), "./testdata/"+name)...)
			c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
			if said, err := c.CombinedOutput(); err != nil {
				return said, err
			}
			return os.ReadFile(out)
		})
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// guest is one of them.
func guest(t testing.TB, name string) []byte {
	t.Helper()
	b, err := guests.once[name]()
	if err != nil {
		t.Fatalf("compiling the guest %s: %v\n%s", name, err, b)
	}
	return b
}

// layer is a directory with the guest as app.wasm.
func layer(t testing.TB, code []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.wasm"), code, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/openfunction/ofn/internal/instance/instancetest"
)

// layerEnv hands a ready layer to a test binary that runs as a user who cannot compile.
const layerEnv = "SANDBOX_TEST_LAYER"

const nobody = 65534

// TestRootless runs the whole suite as a user without any right.
func TestRootless(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this already runs without root; see TestSuite")
	}
	dir := publicDir(t)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	layer := instancetest.BuildProbe(t)
	err := filepath.WalkDir(layer, func(name string, _ fs.DirEntry, _ error) error { return os.Chown(name, nobody, nobody) })
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "sandbox.test")
	copyFile(t, "/proc/self/exe", binary)
	c := exec.Command(binary, "-test.run=^(TestSuite|TestRun)$", "-test.count=1", "-test.timeout=10m")
	if testing.Verbose() {
		c.Args = append(c.Args, "-test.v")
	}
	c.Dir = dir
	c.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, layerEnv+"="+layer)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("as user %d: %v\n%s", nobody, err, out)
	}
	t.Logf("%s", out)
}

// publicDir is a temporary directory that every user can reach.
func publicDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
}

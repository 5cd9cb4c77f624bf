package registry

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

const crashDir = "OFN_TEST_REGISTRY_DIR"

// TestCrashChild is the process that TestKill kills: it pushes images and writes the tag of each one that was acknowledged.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("started by TestKill")
	}
	r := open(t, dir, Options{})
	c := client{t, "http://x", &http.Client{Transport: r.Transport()}}
	for i := 0; ; i++ {
		c.pushImage("a/b", fmt.Sprintf("v%d", i), strings.Repeat(fmt.Sprintf("layer %d ", i), 1000))
		fmt.Printf("acknowledged %d\n", i)
	}
}

func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	for round := range 3 {
		last := pushAndKill(t, dir, 3+4*round)
		r := open(t, dir, Options{})
		c := client{t, "http://x", &http.Client{Transport: r.Transport()}}
		for i := range last + 1 {
			c.expect(http.StatusOK, "GET", fmt.Sprintf("/v2/a/b/manifests/v%d", i), "")
			layer := strings.Repeat(fmt.Sprintf("layer %d ", i), 1000)
			if _, got := c.expect(http.StatusOK, "GET", "/v2/a/b/blobs/"+digest.FromString(layer).String(), ""); got != layer {
				t.Errorf("round %d: layer %d is damaged", round, i)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// pushAndKill lets a child push until it has acknowledged count images, kills it and returns the last one acknowledged.
func pushAndKill(t *testing.T, dir string, count int) int {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	last := -1
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "acknowledged %d", &last); err == nil && last >= count {
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := child.Wait(); err == nil || last < count {
		t.Fatalf("the child ended by itself after %d images: %v", last, err)
	}
	return last
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	r, err := Open(filepath.Join(dir, "registry"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := client{t, "http://x", &http.Client{Transport: r.Transport()}}
	before := c.pushImage("a", "v1", "layer")
	big := strings.Repeat("x", 2<<20)
	path := "/v2/a/blobs/uploads/?digest=" + digest.FromString(big).String()
	if _, body := c.expect(http.StatusInsufficientStorage, "POST", path, big); !strings.Contains(body, "disk is full") {
		t.Errorf("the error says %s", body)
	}
	// The same in two steps, which the protocol library carries.
	resp, _ := c.expect(http.StatusAccepted, "POST", "/v2/a/blobs/uploads/", "")
	at := "http://x" + resp.Header.Get("Location")
	c.expect(http.StatusInsufficientStorage, "PUT", at+"?digest="+digest.FromString(big).String(), big)
	c.expect(http.StatusNotFound, "GET", at, "") // it does not go on filling the disk
	// Nothing is lost and the registry works on.
	c.expect(http.StatusOK, "GET", "/v2/a/manifests/"+before.String(), "")
	c.pushImage("a", "v2", "another layer")
}

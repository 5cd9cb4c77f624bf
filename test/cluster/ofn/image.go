package ofncluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build compiles ofn as `make build` does, or takes what -ofn names.
func build(ctx context.Context) error {
	if *given != "" {
		suite.binary = *given
		return nil
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("finding the module: %w", err)
	}
	module := filepath.Join(filepath.Dir(strings.TrimSpace(string(root))), "..", "..")
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	suite.binary = filepath.Join(cache, "ofn-cluster", "ofn")
	return compile(ctx, module, suite.binary, "./cmd/ofn")
}

// compile makes a static program. Nothing can be fetched inside the cluster: the modules must be there.
func compile(ctx context.Context, dir, binary, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling %s: %w: %s", pkg, err, out)
	}
	return nil
}

// loadOfn makes the image of a binary of ofn and gives it to the node, unless that has it. Its name says which binary it is.
func loadOfn(ctx context.Context, binary, dir string) (string, error) {
	f, err := os.Open(binary)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	tag := "dev.local/ofn:" + hex.EncodeToString(sum.Sum(nil))[:16]
	if there, err := ctr(ctx, nil, "images", "list", "--quiet", "name=="+tag); err != nil || strings.TrimSpace(there) != "" {
		return tag, err
	}
	archive := filepath.Join(dir, "ofn.tar")
	if out, err := exec.CommandContext(ctx, binary, "image", "--output", archive, "--tag", tag).CombinedOutput(); err != nil {
		return "", fmt.Errorf("making the image of ofn: %w: %s", err, out)
	}
	return tag, LoadArchive(ctx, archive)
}

// LoadArchive gives the images of an archive to the node.
func LoadArchive(ctx context.Context, archive string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = ctr(ctx, f, "images", "import", "-")
	return err
}

func ctr(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "ctr", append([]string{"--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io"}, args...)...)
	cmd.Stdin = stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Load compiles a Go program of the tests' folder and gives it to the node as an image with these names, such as
// "openfunction/sample-go-func:v1.0.0". Without a registry in the name the kubelet's docker.io is meant.
func Load(t testing.TB, pkg string, names ...string) {
	t.Helper()
	if suite.skip != "" {
		t.Skip(suite.skip)
	}
	binary := filepath.Join(t.TempDir(), "function")
	Compile(t, pkg, binary)
	for _, name := range names {
		archive, err := exec.CommandContext(t.Context(), *program, "image", full(name), binary).Output()
		if err != nil {
			t.Fatalf("making the image %s: %v", name, err)
		}
		if _, err := ctr(t.Context(), bytes.NewReader(archive), "images", "import", "-"); err != nil {
			t.Fatal(err)
		}
	}
}

// Compile makes a static program of a package of the tests' folder, which may be a module of its own.
func Compile(t testing.TB, pkg, binary string) {
	t.Helper()
	dir := ""
	if _, err := os.Stat(filepath.Join(pkg, "go.mod")); err == nil {
		dir, pkg = pkg, "."
	}
	if err := compile(t.Context(), dir, binary, pkg); err != nil {
		t.Fatal(err)
	}
}

// full is a name as the kubelet asks for it.
func full(name string) string {
	host, _, found := strings.Cut(name, "/")
	switch {
	case !found:
		name = "docker.io/library/" + name
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		name = "docker.io/" + name
	}
	if !strings.Contains(filepath.Base(name), ":") {
		name += ":latest"
	}
	return name
}

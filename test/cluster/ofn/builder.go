package ofncluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openfunction/ofn/test/cluster/internal/image"
)

// BuilderImage is what functions are built in: ofn, git, a shell, the Go tools and authorities of this machine.
const BuilderImage = "dev.local/ofn-builder:1"

// LoadBuilder makes the builder image and gives it to the node, with what else of this machine is to be in it.
func LoadBuilder(ctx context.Context, more ...image.File) error {
	files, err := builderFiles(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cluster-builder-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	archive := filepath.Join(dir, "builder.tar")
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := image.Write(f, BuilderImage, append(files, more...)...); err != nil {
		return fmt.Errorf("making the builder image: %w", err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return LoadArchive(ctx, archive)
}

func builderFiles(ctx context.Context) ([]image.File, error) {
	files := []image.File{{Path: "/usr/local/bin/ofn", Source: Program()}}
	git, err := image.Git()
	if err != nil {
		return nil, err
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("asking Go where it is: %w", err)
	}
	goroot := strings.TrimSpace(string(root))
	tools, err := image.Tree(goroot, func(path string, folder bool) bool { return neededOfGo(strings.TrimPrefix(path, goroot), folder) })
	if err != nil {
		return nil, err
	}
	for i := range tools {
		tools[i].Path = "/usr/local/go" + strings.TrimPrefix(tools[i].Path, goroot)
	}
	const authorities = "/etc/ssl/certs/ca-certificates.crt"
	return slices.Concat(files, git, tools, []image.File{{Path: authorities, Source: authorities}}), nil
}

// Caches are what ofn compiles for every function in Go, for the builder image. They stay in the user's cache folder.
func Caches(ctx context.Context) ([]image.File, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "cluster-caches-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	caches := filepath.Join(cache, "ofn-cluster", "caches")
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, err
	}
	fill := exec.CommandContext(ctx, Program(), "build-step", "--fill", "--dir", dir, "--caches", caches)
	fill.Env = append(os.Environ(), "PATH="+filepath.Dir(tool)) // other languages would fetch
	if out, err := fill.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("filling the caches of the builder image: %w: %s", err, out)
	}
	files, err := image.Tree(caches, func(string, bool) bool { return true })
	for i := range files {
		files[i].Path = "/usr/local/share/ofn" + strings.TrimPrefix(files[i].Path, caches)
	}
	return files, err
}

// neededOfGo leaves out what compiling does not read: a third of it.
func neededOfGo(path string, folder bool) bool {
	if folder {
		return !slices.Contains([]string{"/api", "/doc", "/test", "/misc", "/src/cmd"}, path) && filepath.Base(path) != "testdata"
	}
	return !strings.HasSuffix(path, "_test.go")
}

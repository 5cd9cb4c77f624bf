package build_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openfunction/ofn/test/cluster/internal/image"
	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

// builderImage is what functions are built in: ofn, git, a shell, the Go tools and authorities of this machine.
const builderImage = "dev.local/ofn-builder:1"

// loadBuilder makes the builder image and gives it to the node.
func loadBuilder(ctx context.Context) error {
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
	if err := image.Write(f, builderImage, files...); err != nil {
		return fmt.Errorf("making the builder image: %w", err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return ofncluster.LoadArchive(ctx, archive)
}

func builderFiles(ctx context.Context) ([]image.File, error) {
	files := []image.File{{Path: "/usr/local/bin/ofn", Source: ofncluster.Program()}}
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

// neededOfGo leaves out what compiling does not read: a third of it.
func neededOfGo(path string, folder bool) bool {
	if folder {
		return !slices.Contains([]string{"/api", "/doc", "/test", "/misc", "/src/cmd"}, path) && filepath.Base(path) != "testdata"
	}
	return !strings.HasSuffix(path, "_test.go")
}

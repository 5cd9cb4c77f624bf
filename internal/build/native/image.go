package native

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"github.com/openfunction/ofn/internal/build"
)

const (
	appDir    = "app"
	sourceDir = "workspace"
	runAs     = "65532:65532"
)

// baseLayer is what a static program wants to find: certificates, time zones, names of users, a place for temporary files.
func baseLayer(o Options) (build.Layer, error) {
	zones, err := os.ReadFile(filepath.Join(o.GoRoot, "lib/time/zoneinfo.zip"))
	if err != nil {
		return nil, fmt.Errorf("reading Go's time zones: %w", err)
	}
	dir := fs.ModeDir | 0o755
	l := build.Layer{
		{Path: "etc", Mode: dir},
		{Path: "etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnonroot:x:65532:\nnobody:x:65534:\n")},
		{Path: "etc/nsswitch.conf", Mode: 0o644, Data: []byte("hosts: files dns\n")},
		{Path: "etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n")},
		{Path: "etc/ssl", Mode: dir},
		{Path: "etc/ssl/certs", Mode: dir},
		{Path: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Data: o.CACertificates},
		{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "usr", Mode: dir},
		{Path: "usr/share", Mode: dir},
		{Path: "usr/share/zoneinfo.zip", Mode: 0o644, Data: zones},
	}
	return l, nil
}

// write assembles the image and stores it.
func (s *Strategy) write(ctx context.Context, j *job, p program, src build.SourceResult) (build.Result, error) {
	img := build.Image{
		Layers: []build.Layer{s.base, {
			{Path: appDir, Mode: fs.ModeDir | 0o755},
			{Path: appDir + "/function", Mode: 0o755, File: p.file},
		}},
		Entrypoint: []string{"/" + appDir + "/function"},
		Env:        append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "ZONEINFO=/usr/share/zoneinfo.zip"}, p.env...),
		Dir:        "/" + sourceDir,
		User:       runAs,
		Labels:     labels(j, p, src),
		OS:         s.opts.OS,
		Arch:       s.arch(),
	}
	source := build.Layer{{Path: sourceDir, Mode: fs.ModeDir | 0o755}}
	if !j.env.clearSource {
		source = j.tree.layer(sourceDir, j.env.replaced)
	}
	img.Layers = append(img.Layers, source)
	digest, size, err := s.opts.Images.Write(ctx, j.request.Output, img)
	if err != nil {
		return build.Result{}, fmt.Errorf("storing the image as %s: %w", j.request.Output.Image, err)
	}
	return build.Result{Digest: digest, Size: size, Sources: []build.SourceResult{src}}, nil
}

func (s *Strategy) arch() string {
	if s.opts.Arch != "" {
		return s.opts.Arch
	}
	return runtime.GOARCH
}

func labels(j *job, p program, src build.SourceResult) map[string]string {
	l := map[string]string{"io.openfunction.function": j.request.Function}
	maps.Copy(l, j.env.labels)
	maps.Copy(l, p.labels)
	if p.listenFD {
		l["io.openfunction.listen"] = "fd"
	}
	if src.CommitSHA != "" {
		l["org.opencontainers.image.revision"] = src.CommitSHA
		if u, err := url.Parse(j.request.Source.URL); err == nil {
			u.User = nil
			l["org.opencontainers.image.source"] = u.String()
		}
	}
	return l
}

package native

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

const runAs = "65532:65532"

// baseLayer is what every program wants to find: certificates, time zones, names of users, a place for temporary files.
func baseLayer(o Options) build.Layer {
	dir := fs.ModeDir | 0o755
	return build.Layer{
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
		{Path: "usr/share/zoneinfo.zip", Mode: 0o644, Data: o.Zones},
	}
}

// write assembles the image and stores it.
func (s *Strategy) write(ctx context.Context, j *lang.Job, p lang.Program, src build.SourceResult) (build.Result, error) {
	img := build.Image{
		Entrypoint: p.Entrypoint, Dir: p.Dir, Labels: labels(j, p, src), OS: s.opts.OS, Arch: s.opts.Arch,
	}
	if p.Platform != "" {
		img.OS, img.Arch, _ = strings.Cut(p.Platform, "/")
	}
	if p.Bare {
		img.Layers, img.Env = append(slices.Clone(p.Shared), p.Layers...), p.Env
		img.Shared = len(p.Shared)
	} else {
		img.Layers = append(append([]build.Layer{s.base}, p.Shared...), p.Layers...)
		img.Shared = 1 + len(p.Shared)
		img.Layers = append(append(img.Layers, source(j, p)), p.Above...)
		img.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "ZONEINFO=/usr/share/zoneinfo.zip"}, p.Env...)
		img.User = runAs
		if img.Dir == "" {
			img.Dir = "/" + lang.SourceDir
		}
	}
	if s.opts.Local {
		img.Local = local(j, p)
	}
	digest, size, err := s.opts.Images.Write(ctx, j.Request.Output, img)
	if err != nil {
		return build.Result{}, fmt.Errorf("storing the image as %s: %w", j.Request.Output.Image, err)
	}
	return build.Result{Digest: digest, Size: size, Sources: []build.SourceResult{src}, Functions: p.Functions}, nil
}

// source is the layer of the user's files, or of their empty directory.
func source(j *lang.Job, p lang.Program) build.Layer {
	switch {
	case j.Env.ClearSource && p.SourceNeeded:
		lang.NoEffect(j.Log, "FUNC_CLEAR_SOURCE", "the source is what runs")
	case j.Env.ClearSource:
		return build.Layer{{Path: lang.SourceDir, Mode: fs.ModeDir | 0o755}}
	}
	return j.Tree.Layer(lang.SourceDir, j.Replaced)
}

func labels(j *lang.Job, p lang.Program, src build.SourceResult) map[string]string {
	l := map[string]string{"io.openfunction.function": j.Request.Function}
	maps.Copy(l, j.Env.Labels)
	maps.Copy(l, p.Labels)
	if len(p.Functions) > 0 {
		text, err := json.Marshal(p.Functions)
		if err == nil { // strings always marshal
			l[build.FunctionsLabel] = string(text)
		}
	}
	if p.ListenFD {
		l["io.openfunction.listen"] = "fd"
	}
	if src.CommitSHA != "" {
		l["org.opencontainers.image.revision"] = src.CommitSHA
		if u, err := url.Parse(j.Request.Source.URL); err == nil {
			u.User = nil
			l["org.opencontainers.image.source"] = u.String()
		}
	}
	return l
}

package golang

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

var _ lang.Warmer = (*Golang)(nil)

// common are packages of the standard library that functions use often, beside those of the framework.
var common = []string{
	"archive/zip", "bufio", "compress/gzip", "crypto/hmac", "crypto/rand", "crypto/sha256", "database/sql", "embed", "encoding/base64", "encoding/binary",
	"encoding/csv", "encoding/hex", "encoding/json", "encoding/xml", "errors", "flag", "html/template", "image", "io", "log/slog", "maps", "math/rand/v2",
	"mime/multipart", "net/http/httputil", "os/exec", "os/signal", "regexp", "slices", "strings", "sync", "text/template", "time", "unicode/utf8",
}

// Warm compiles the lean framework and common packages as a build would. That it was done is noted in the build cache, to go with it.
func (g *Golang) Warm(ctx context.Context, work string) error {
	if g.version == "" {
		return nil
	}
	o := g.opts
	note := filepath.Join(g.buildCache(), fmt.Sprintf("ofn-warm-%x", sha256.Sum256(fmt.Appendf(nil, "%s %s %s %q", g.identity(), o.OS, o.Arch, common)))[:25])
	if _, err := os.Stat(note); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	quiet := *g
	quiet.opts.Limits.CPUMillis = half(o.Limits.CPUMillis)
	j := &job{Job: &lang.Job{Work: work, Log: io.Discard}}
	mod := filepath.Join(work, "mod")                         // nothing is downloaded
	for _, packages := range [][]string{{"./host"}, common} { // what every function needs comes first
		if err := quiet.compile(ctx, j, mod, packages); err != nil {
			return err
		}
	}
	if err := os.WriteFile(note, nil, 0o600); err != nil {
		return fmt.Errorf("noting that the standard library is compiled: %w", err)
	}
	return nil
}

// compile fills the build cache with packages and everything below them.
func (g *Golang) compile(ctx context.Context, j *job, mod string, packages []string) error {
	var said bytes.Buffer
	code, err := g.opts.Run(ctx, j.Job, lang.Command{
		Args:      append([]string{filepath.Join(g.opts.GoRoot, "bin/go"), "build", "-trimpath", "-buildvcs=false"}, packages...),
		Env:       append(g.environment(j, mod), "GOWORK=off", "GOPROXY=off"),
		Dir:       g.lean,
		ReadOnly:  []string{g.opts.GoRoot, filepath.Dir(g.full)},
		ReadWrite: []string{g.buildCache()},
		Output:    &said,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("compiling the standard library: exit code %d: %s", code, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// half is half of the machine, or less where a build may use less.
func half(limit int64) int64 {
	millis := int64(runtime.NumCPU()) * 500
	if limit > 0 {
		return min(limit, millis)
	}
	return millis
}

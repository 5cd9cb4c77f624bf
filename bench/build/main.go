// Command build measures what the native builder adds to a plain `go build`: a rebuild with no change, and one with a changed line, each
// against `go build` of the same program after the same change, all caches warm. Run it in the repository: go run ./bench/build
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/buildtest"
	"github.com/openfunction/ofn/internal/build/execrun"
	"github.com/openfunction/ofn/internal/build/native"
	"github.com/openfunction/ofn/internal/build/native/golang"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/source"
)

const (
	function = `package hello

import (
	"fmt"
	"net/http"
)

func HelloWorld(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Hello, %%s! %d\n", r.URL.Path)
}
`
	plainMain = `package main

import (
	"github.com/OpenFunction/functions-framework-go/host"

	"example.com/hello"
)

func main() { host.Main(hello.HelloWorld) }
`
	modulePath = "github.com/OpenFunction/functions-framework-go"
)

func main() {
	rounds := flag.Int("rounds", 9, "how often each is measured; the median counts")
	flag.Parse()
	if err := run(context.Background(), *rounds, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench/build:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, out io.Writer) error {
	dir, err := os.MkdirTemp("", "ofn-bench-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, rounds: rounds}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	times, err := b.medians(func(i int) error { return b.plain(ctx, i) }, func(i int) error { return b.native(ctx, i) })
	if err != nil {
		return err
	}
	plain, changed := times[0], times[1]
	if times, err = b.medians(func(int) error { return b.native(ctx, rounds) }); err != nil {
		return err
	}
	same := times[0]
	fmt.Fprintf(out, "| what | median | limit |\n|---|---|---|\n")
	fmt.Fprintf(out, "| plain go build, one changed line, warm | %v | |\n", plain.Round(time.Millisecond))
	fmt.Fprintf(out, "| native build, one changed line | %v = %.2f × plain | ≤ 1.5 × |\n", changed.Round(time.Millisecond), changed.Seconds()/plain.Seconds())
	fmt.Fprintf(out, "| native build, no change | %v = %.3f × plain | ≤ 1 s |\n", same.Round(100*time.Microsecond), same.Seconds()/plain.Seconds())
	return nil
}

type bench struct {
	dir      string
	rounds   int
	strategy build.Strategy
	goBin    string
}

func (b *bench) prepare(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	root := strings.TrimSpace(string(out))
	b.goBin = filepath.Join(root, "bin/go")
	fw, err := framework()
	if err != nil {
		return err
	}
	state := filepath.Join(b.dir, "state")
	g, err := golang.New(golang.Options{Tools: lang.Tools{Cache: filepath.Join(state, "cache/go"), Runner: execrun.Runner{}, OS: "linux"}, GoRoot: root, Framework: fw})
	if err != nil {
		return err
	}
	b.strategy, err = native.New(native.Options{
		Dir: state, Languages: []lang.Entry{{Name: "Go", Language: g}}, CACertificates: []byte("none\n"),
		Images: &buildtest.Images{}, Sources: source.New(source.Options{Bundles: bundle{filepath.Join(b.dir, "source")}}),
	})
	if err != nil {
		return err
	}
	for name, text := range fw.Lean {
		if err := write(filepath.Join(b.dir, "plain/framework", name), text); err != nil {
			return err
		}
	}
	gomod := "module example.com/hello\n\ngo 1.24\n"
	plain := gomod + "\nrequire " + modulePath + " v0.0.0\n\nreplace " + modulePath + " => ./framework\n"
	for name, text := range map[string]string{"source/go.mod": gomod, "plain/go.mod": plain, "plain/cmd/main.go": plainMain} {
		if err := write(filepath.Join(b.dir, name), []byte(text)); err != nil {
			return err
		}
	}
	for i := -2; i < 0; i++ { // warm
		if err := b.plain(ctx, i); err != nil {
			return err
		}
		if err := b.native(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// medians does the given things in turn, so that all meet the same noise, after one round that is not counted.
func (b *bench) medians(things ...func(i int) error) ([]time.Duration, error) {
	took := make([][]time.Duration, len(things))
	for i := range b.rounds + 1 {
		for n, do := range things {
			began := time.Now()
			if err := do(i); err != nil {
				return nil, err
			}
			if i > 0 {
				took[n] = append(took[n], time.Since(began))
			}
		}
	}
	median := make([]time.Duration, len(things))
	for n := range took {
		slices.Sort(took[n])
		median[n] = took[n][len(took[n])/2]
	}
	return median, nil
}

// plain does what a developer does by hand.
func (b *bench) plain(ctx context.Context, i int) error {
	dir := filepath.Join(b.dir, "plain")
	if err := write(filepath.Join(dir, "hello.go"), fmt.Appendf(nil, function, i)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, b.goBin, "build", "-o", filepath.Join(b.dir, "plain.out"), "./cmd")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOCACHE="+filepath.Join(b.dir, "plain-cache"), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (b *bench) native(ctx context.Context, i int) error {
	if err := write(filepath.Join(b.dir, "source/hello.go"), fmt.Appendf(nil, function, i)); err != nil {
		return err
	}
	var log bytes.Buffer
	_, err := b.strategy.Build(ctx, build.Request{
		ID: "bench/hello", Function: "hello", Env: map[string]string{"FUNC_NAME": "HelloWorld"},
		Source: build.Source{Bundle: "bundle"}, Output: build.Output{Image: "hello:v1", Local: true},
	}, &log)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, log.String())
	}
	return nil
}

// bundle is a directory that plays a source bundle.
type bundle struct{ dir string }

// FetchBundle copies the directory.
func (b bundle) FetchBundle(_ context.Context, _ build.Source, dir string, _ int64) (string, error) {
	return "sha256:0", os.CopyFS(dir, os.DirFS(b.dir))
}

// ResolveBundle always answers the same.
func (b bundle) ResolveBundle(context.Context, build.Source) (string, error) { return "sha256:0", nil }

func framework() (golang.Framework, error) {
	fw := golang.Framework{Version: "bench", Full: map[string][]byte{}, Lean: map[string][]byte{"go.mod": []byte("module " + modulePath + "\n\ngo 1.24\n")}}
	files, err := filepath.Glob("framework/go/host/*.go")
	if err != nil || len(files) == 0 {
		return fw, fmt.Errorf("no framework/go/host here (%v): run it in the root of the repository", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return fw, err
		}
		if !strings.HasSuffix(f, "_test.go") {
			fw.Lean["host/"+filepath.Base(f)] = text
		}
	}
	fw.Full["go.mod"] = fw.Lean["go.mod"]
	return fw, nil
}

func write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

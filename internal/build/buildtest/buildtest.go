// Package buildtest is the suite that every build strategy must pass. Its cases are files in testdata: adding a case is adding a file.
//
// A case is a txtar archive: the files of a source, and before them these lines, one directive each:
//
//	env KEY=value      build environment
//	sub path           sub-path of the source
//	fails Reason       the build must fail with this build.Failure; without it, it must succeed
//	says text          must be in the message of the failure, or in the log of a success
//	not text           must not be there
//	get /path text     the program, when run, must answer GET /path with this text
//	post /path in out  the same for POST; a cloud event in binary mode
//	file path          must be in the image
//	nofile path        must not be
package buildtest

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/openfunction/ofn/internal/build"
)

//go:embed testdata/*.txtar
var cases embed.FS

// Harness makes strategies to be tested.
type Harness struct {
	// New makes a strategy with state of its own below dir, which is empty the first time.
	New func(t *testing.T, d Deps) build.Strategy
	// Sources makes the real fetcher around bundles.
	Sources func(b build.BundleFetcher) build.Fetcher
	// Skip names cases that the strategy cannot do, with the reason.
	Skip map[string]string
}

// Deps is what a strategy under test works with.
type Deps struct {
	Dir     string
	Sources build.Fetcher
	Images  build.Images
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	dir := t.TempDir() // shared by all cases, as caches are in life
	entries, err := cases.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".txtar")
		t.Run("case/"+name, func(t *testing.T) {
			h.skip(t, name)
			data, err := cases.ReadFile(path.Join("testdata", e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			runCase(t, h, dir, name, txtar.Parse(data))
		})
	}
	for name, f := range map[string]func(*testing.T, Harness, string){
		"reproducible": reproducible, "reuse": reuse, "cancel": cancelled, "timeout": timeout, "interrupted": interrupted,
		"git": fromGit, "parallel": parallel,
	} {
		t.Run(name, func(t *testing.T) {
			h.skip(t, name)
			f(t, h, dir)
		})
	}
}

func (h Harness) skip(t *testing.T, name string) {
	if why, ok := h.Skip[name]; ok {
		t.Skip(why)
	}
}

// directive is one line of a case.
type directive struct{ word, rest string }

func directives(t *testing.T, comment []byte) []directive {
	var ds []directive
	for line := range strings.Lines(string(comment)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if !slices.Contains([]string{"env", "sub", "fails", "says", "not", "get", "post", "file", "nofile"}, word) {
			t.Fatalf("unknown directive %q", line)
		}
		ds = append(ds, directive{word, rest})
	}
	return ds
}

func runCase(t *testing.T, h Harness, dir, name string, a *txtar.Archive) {
	ds := directives(t, a.Comment)
	images := &Images{}
	s := h.New(t, Deps{Dir: dir, Sources: h.Sources(bundle{files: files(a)}), Images: images})
	req := request(name)
	fails := ""
	for _, d := range ds {
		switch d.word {
		case "env":
			k, v, _ := strings.Cut(d.rest, "=")
			req.Env[k] = v
		case "sub":
			req.Source.SubPath = d.rest
		case "fails":
			fails = d.rest
		}
	}
	var log bytes.Buffer
	res, err := s.Build(t.Context(), req, &log)
	said := outcome(t, fails, err, log.String())
	for _, d := range ds {
		if d.word == "says" && !strings.Contains(said, d.rest) {
			t.Errorf("want %q in:\n%s", d.rest, said)
		}
		if d.word == "not" && strings.Contains(said, d.rest) {
			t.Errorf("do not want %q in:\n%s", d.rest, said)
		}
	}
	if fails == "" && !t.Failed() {
		checkImage(t, images, res, ds)
	}
}

// outcome returns what the user was told.
func outcome(t *testing.T, fails string, err error, log string) string {
	t.Helper()
	if fails == "" {
		if err != nil {
			t.Fatalf("building: %v\nlog:\n%s", err, log)
		}
		return log
	}
	var f *build.Failure
	if !errors.As(err, &f) {
		t.Fatalf("want a build.Failure, got %v\nlog:\n%s", err, log)
	}
	if f.Reason != fails {
		t.Errorf("reason is %s, want %s: %s", f.Reason, fails, f.Message)
	}
	return f.Message
}

func request(name string) build.Request {
	return build.Request{
		ID: "test/" + name, Function: name, Env: map[string]string{},
		Source: build.Source{Bundle: "registry.local/source:" + name},
		Output: build.Output{Image: "registry.local/fn/" + name + ":v1", Local: true},
	}
}

func files(a *txtar.Archive) map[string][]byte {
	m := map[string][]byte{}
	for _, f := range a.Files {
		m[f.Name] = f.Data
	}
	return m
}

// seed is the case the others vary.
func seed(t *testing.T) map[string][]byte {
	t.Helper()
	data, err := cases.ReadFile("testdata/http.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return files(txtar.Parse(data))
}

// bundle is a source bundle in memory.
type bundle struct{ files map[string][]byte }

// FetchBundle writes the files.
func (b bundle) FetchBundle(_ context.Context, _ build.Source, dir string, _ int64) (string, error) {
	return "sha256:0000000000000000000000000000000000000000000000000000000000000000", writeTree(dir, b.files)
}

// ResolveBundle always answers the same.
func (b bundle) ResolveBundle(context.Context, build.Source) (string, error) {
	return "sha256:0000000000000000000000000000000000000000000000000000000000000000", nil
}

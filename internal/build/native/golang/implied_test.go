package golang

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

func TestRequireImplied(t *testing.T) {
	const gomod = "module m\n\ngo 1.17\n"
	said := func(words string) error { return &build.Failure{Reason: "CompileFailed", Message: words} }
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"none":       {nil, ""},
		"other":      {said("f.go:1:2: undefined: x\n\tgo get a.b/c@v1.0.0"), ""},
		"ours":       {errors.New("package m imports a.b/c from implicitly required module; run:\n\tgo get a.b/c@v1.0.0"), ""},
		"one":        {said("package m imports a.b/c/d from implicitly required module; to add missing requirements, run:\n\tgo get a.b/c@v1.2.0"), "require a.b/c v1.2.0"},
		"no version": {said("package m imports a.b/c from implicitly required module; to add missing requirements, run:\n\tgo get a.b/c"), ""},
		"two": {said("m imports a.b/c from implicitly required module; run:\n\tgo get a.b/c@v1.2.0\nm imports d.e/f from implicitly required module; run:\n\tgo get d.e/f@v2.0.0+incompatible"),
			"\ta.b/c v1.2.0\n\td.e/f v2.0.0+incompatible"},
	} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte(gomod), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := modfile.Parse("go.mod", []byte(gomod), nil)
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		j := &job{Job: &lang.Job{Tree: &lang.Tree{Root: root}, Log: &log, Replaced: map[string][]byte{}}}
		added, err := module{root: ".", file: f}.requireImplied(j, c.err)
		now, _ := os.ReadFile(filepath.Join(root, "go.mod"))
		if err != nil || added != (c.want != "") || !strings.Contains(string(now), c.want) {
			t.Errorf("%s: added %v, %v\n%s", name, added, err, now)
		}
		if added && (string(j.Replaced["go.mod"]) != gomod || log.Len() == 0) {
			t.Errorf("%s: the file as it was is %q, log %q", name, j.Replaced["go.mod"], log.String())
		}
	}
	if added, err := (module{}).requireImplied(nil, said("from implicitly required module\ngo get a@v1.0.0")); added || err != nil {
		t.Errorf("without go.mod: %v %v", added, err)
	}
}

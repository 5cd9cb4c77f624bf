package scaffold

import (
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

func TestTemplates(t *testing.T) {
	for _, tpl := range Templates() {
		dir := filepath.Join(t.TempDir(), "x")
		names, err := Write(dir, tpl.Name, Values{Name: "greeter"})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			content, err := os.ReadFile(filepath.Join(dir, n))
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case strings.HasSuffix(n, ".go"):
				checkGo(t, tpl.Name+"/"+n, content)
			case n == "function.yaml":
				var fn v1beta2.Function
				if err := yaml.UnmarshalStrict(content, &fn); err != nil || fn.Name != "greeter" {
					t.Errorf("%s: %v %q", tpl.Name, err, fn.Name)
				}
			}
		}
	}
}

func checkGo(t *testing.T, name string, content []byte) {
	t.Helper()
	if _, err := parser.ParseFile(token.NewFileSet(), name, content, parser.AllErrors); err != nil {
		t.Error(err)
	}
	if formatted, err := format.Source(content); err != nil || string(formatted) != string(content) {
		t.Errorf("%s is not formatted (%v)", name, err)
	}
}

func TestNothingIsReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.go"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, "go-http", Values{Name: "x"}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v %v", err, entries)
	}
}

func TestUnknownTemplate(t *testing.T) {
	for _, name := range []string{"cobol", "../templates", ""} {
		if _, err := Write(t.TempDir(), name, Values{}); err == nil || !strings.Contains(err.Error(), "go-http") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

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
	for name, want := range map[string]string{
		"cobol": "ofn init --list", "../templates": "ofn init --list", "": "ofn init --list", "go-htp": "did you mean go-http, ", "typescript": "did you mean node-typescript?",
		"python": "python-cloudevent", "JavaScript": "node-http, node-cloudevent",
	} {
		if _, err := Write(t.TempDir(), name, Values{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", name, err, want)
		}
	}
}

// Every directory is listed, with all that the list shows.
func TestList(t *testing.T) {
	entries, err := templates.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, tpl := range Templates() {
		if listed[tpl.Name] {
			t.Errorf("%s is listed twice", tpl.Name)
		}
		listed[tpl.Name] = true
		if tpl.Language == "" || tpl.Signature == "" || tpl.Summary == "" {
			t.Errorf("%s is not described", tpl.Name)
		}
	}
	for _, e := range entries {
		if !listed[e.Name()] {
			t.Errorf("%s is not listed", e.Name())
		}
	}
}

package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const one = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
	}{
		{"one", one, "a@f:1 (document 1)"},
		{"two, with comments and empty documents", "# head\n---\n" + one + "---\n# nothing\n---\n" + strings.Replace(one, "name: a", "name: b", 1), "a@f:3 (document 1) b@f:9 (document 2)"},
		{"windows", "\xef\xbb\xbf" + strings.ReplaceAll(one+"---\n"+one, "\n", "\r\n"), "a@f:1 (document 1) a@f:5 (document 2)"},
		{"a list gives its items", "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(one), "\n", "\n  ") + "\n", "a@f:1 (document 1)"},
		{"JSON", `{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}`, "a@f:1 (document 1)"},
		{"a marker with a comment", one + "--- # next\n" + one, "a@f:1 (document 1) a@f:5 (document 2)"},
		{"nothing", "# only this\n---\n", ""},
	} {
		docs, err := Parse("f", []byte(c.text))
		var got []string
		for _, d := range docs {
			got = append(got, d.Object.GetName()+"@"+d.String())
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v %q, want %q", c.name, err, got, c.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{one + "---\napiVersion: v1\nkind: [\n", "f:5 (document 2): this is not valid YAML: line 6: did not find expected node content\n     6 | kind: ["},
		{one + "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: b\n bad: c\n", "f:5 (document 2): this is not valid YAML: line 8: did not find expected key\n     8 |   name: b\n     9 |  bad: c"},
		{one + "kind: Twice\n", `f:1 (document 1): this is not valid YAML: line 4: key "kind" already set`},
		{"kind: Secret\nmetadata: {name: a}\n", "f:1 (document 1): the object has no apiVersion"},
		{"apiVersion: v1\nmetadata: {name: a}\n", "the object has no kind"},
		{"apiVersion: v1\nkind: Secret\n", "the object has no metadata.name"},
		{"just text\n", "f:1 (document 1): this is not valid YAML"},
		{"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1}]\n", "f:1 (document 1)"},
	} {
		if _, err := Parse("f", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestReadDirectory(t *testing.T) {
	dir := t.TempDir()
	for name, object := range map[string]string{"b.yaml": "b", "a.yml": "a", "sub/c.json": "c", "README.md": "-"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(one, "name: a", "name: "+object, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for recursive, want := range map[bool]string{false: "[a b]", true: "[a b c]"} {
		docs, err := Read(Sources{Files: []string{dir}, Recursive: recursive}, nil)
		var got []string
		for _, d := range docs {
			got = append(got, d.Object.GetName())
		}
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("recursive %v: %v %v, want %s", recursive, err, got, want)
		}
	}
	if _, err := Read(Sources{Files: []string{t.TempDir()}}, nil); err == nil || !strings.Contains(err.Error(), "no object in it") {
		t.Error(err)
	}
	docs, err := Read(Sources{Files: []string{"-"}}, strings.NewReader(one))
	if err != nil || docs[0].String() != "standard input:1 (document 1)" {
		t.Error(err, docs)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(one + "---\n" + one))
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [null, 1]\n"))
	f.Add([]byte("---\n---\nkind: {}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Parse("f", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("the error names no place: %v", err)
			}
			return
		}
		for _, d := range docs {
			if d.Line < 1 || d.Document < 1 || d.Object.GetKind() == "" {
				t.Errorf("%+v", d)
			}
		}
	})
}

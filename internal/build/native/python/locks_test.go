package python

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLocks(t *testing.T) {
	const poetry = `
[[package]]
name = "a"
version = "1.0"
groups = ["main", "dev"]
markers = {main = "python_version < '4'", dev = "os_name == 'x'"}
files = [{file = "a", hash = "sha256:aa"}, {file = "b", hash = "sha256:bb"}]

[[package]]
name = "b"
version = "2.0"
groups = ["dev"]
files = []

[[package]]
name = "c"
version = "3.0"
groups = ["main"]
files = []

[package.source]
type = "legacy"
url = "https://index.example.org/simple"
`
	for name, c := range map[string]struct {
		read func([]byte) ([]string, error)
		text string
		want string
		err  string
	}{
		"poetry":         {poetryLock, poetry, "--extra-index-url https://index.example.org/simple|a==1.0 ; python_version < '4' --hash=sha256:aa --hash=sha256:bb|c==3.0", ""},
		"poetry, older":  {poetryLock, "[[package]]\nname='a'\nversion='1'\ncategory='main'\n[[package]]\nname='b'\nversion='1'\ncategory='dev'\n", "a==1", ""},
		"poetry, silent": {poetryLock, "[[package]]\nname='a'\nversion='1'\n[metadata]\nlock-version='2.0'\n", "", "run `poetry lock`"},
		"poetry, git":    {poetryLock, "[[package]]\nname='a'\nversion='1'\ngroups=['main']\n[package.source]\ntype='git'\nurl='https://x'\n", "", "package a comes from git https://x"},
		"poetry, broken": {poetryLock, "[[package", "", "line 1"},
		"pipfile": {pipfileLock, `{"_meta":{"sources":[{"url":"https://pypi.org/simple"},{"url":"https://i.example.org/"}]},
			"default":{"b":{"version":"==2","hashes":["sha256:bb"]},"a":{"version":"==1","extras":["x"],"markers":"os_name == 'p'"}}}`,
			"--extra-index-url https://i.example.org/|a[x]==1 ; os_name == 'p'|b==2 --hash=sha256:bb", ""},
		"pipfile, git":    {pipfileLock, `{"default":{"a":{"git":"https://x"}}}`, "", "package a has no version"},
		"pipfile, broken": {pipfileLock, `{`, "", "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			lines, err := c.read([]byte(c.text))
			if got := strings.Join(lines, "|"); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want %q", err, c.err)
			}
		})
	}
}

func FuzzLocks(f *testing.F) {
	f.Add([]byte("[[package]]\nname='a'\nversion='1'\ngroups=['main']\n"))
	f.Add([]byte(`{"default":{"a":{"version":"==1"}}}`))
	f.Fuzz(func(_ *testing.T, data []byte) { // neither may panic
		_, _ = poetryLock(data)
		_, _ = pipfileLock(data)
	})
}

// The examples are built as they are; those with packages need an index.
func TestExamples(t *testing.T) {
	p := newPython(t)
	dirs, err := filepath.Glob("../../../../examples/python/*/main.py")
	if err != nil || len(dirs) == 0 {
		t.Fatal(dirs, err)
	}
	for _, main := range dirs {
		dir := filepath.Dir(main)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var archive strings.Builder
			env := map[string]string{}
			for _, e := range entries {
				data, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				archive.WriteString("-- " + e.Name() + " --\n" + string(data))
				if _, name, ok := strings.Cut(string(data), "FUNC_NAME: "); ok && e.Name() == "function.yaml" {
					env["FUNC_NAME"], _, _ = strings.Cut(name, "\n")
				}
			}
			if _, log, err := compile(t, p, archive.String(), env); err != nil {
				t.Errorf("%v\n%s", err, log)
			}
		})
	}
}

package node

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

const uses = "const text = require('left');\nexports.hello = (req, res) => res.send(text);\n"

func TestDependencies(t *testing.T) {
	n := builder(t)
	url := registry(t, map[string]string{"left@1.0.0": `{}`, "dev@1.0.0": `{}`, "broken@1.0.0": `{"scripts":{"install":"node-gyp-like || (echo 'gyp ERR! build error' && exit 1)"}}`})
	env := map[string]string{"FUNC_NAME": "hello", "NPM_CONFIG_REGISTRY": url}
	lock := lockOf(t, url, `{"dependencies":{"left":"^1.0.0"},"devDependencies":{"dev":"1.0.0"}}`)
	locked := langtest.Source{Env: env, Files: map[string]string{
		"package.json": `{"dependencies":{"left":"^1.0.0"},"devDependencies":{"dev":"1.0.0"}}`, "package-lock.json": lock, "index.js": uses,
	}}
	t.Run("locked", func(t *testing.T) {
		p, log, err := locked.Compile(t, n)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		if len(p.Shared) != 3 {
			t.Fatalf("%d shared layers, want interpreter, framework and dependencies", len(p.Shared))
		}
		paths := layerPaths(p.Shared[2])
		if !slices.Contains(paths, "workspace/node_modules/left/index.js") || slices.Contains(paths, "workspace/node_modules/dev/index.js") {
			t.Errorf("the layer of dependencies has %q", paths)
		}
		locked.Files["index.js"] += "// changed\n"
		again, log, err := locked.Compile(t, n)
		if err != nil || !strings.Contains(log, "as in an earlier build") {
			t.Errorf("%v\n%s", err, log)
		}
		elsewhere, log, err := locked.Compile(t, builder(t))
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		for i, l := range elsewhere.Shared {
			if digest(t, l) != digest(t, again.Shared[i]) {
				t.Errorf("shared layer %d is another one when it is made elsewhere", i)
			}
		}
	})
	t.Run("without a lock", func(t *testing.T) {
		p, log, err := langtest.Source{Env: env, Files: map[string]string{
			"package.json": `{"dependencies":{"left":"*","@openfunction/functions-framework":"^9"}}`, "index.js": uses,
		}}.Compile(t, n)
		if err != nil || !strings.Contains(log, "no lock file") {
			t.Fatalf("%v\n%s", err, log)
		}
		if len(p.Shared) != 2 || len(p.Layers) != 1 {
			t.Errorf("%d shared and %d own layers", len(p.Shared), len(p.Layers))
		}
	})
	t.Run("with a script of its own", func(t *testing.T) {
		p, log, err := langtest.Source{Env: env, Files: map[string]string{
			"package.json": `{"scripts":{"postinstall":"node make.js"},"dependencies":{"left":"1"}}`,
			"make.js":      "require('fs').writeFileSync('node_modules/left/made.js', '');\n", "index.js": "require('left/made.js');\n" + uses,
		}}.Compile(t, n)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		if paths := layerPaths(p.Layers[0]); !slices.Contains(paths, "workspace/node_modules/left/made.js") {
			t.Errorf("the layer of dependencies has %q", paths)
		}
	})
	t.Run("modules that lead elsewhere", func(t *testing.T) {
		elsewhere := t.TempDir()
		langtest.Lay(t, elsewhere, map[string]string{"secret": "of this machine"})
		_, _, err := langtest.Source{Env: env, Files: map[string]string{
			"package.json": `{"scripts":{"postinstall":"node lead.js"},"dependencies":{"left":"1"}}`, "index.js": hello,
			"lead.js": fmt.Sprintf("const fs = require('fs');\nfs.rmSync('node_modules', {recursive: true});\nfs.symlinkSync(%q, 'node_modules');\n", elsewhere),
		}}.Compile(t, n)
		langtest.Check(t, err, "BuildOutputInvalid", "node_modules is a link")
	})
	for name, c := range map[string]struct{ manifest, lock, reason, says string }{
		"no such package":   {`{"dependencies":{"nosuch":"1"}}`, "", "DependencyMissing", "nosuch"},
		"no such version":   {`{"dependencies":{"left":"^7"}}`, "", "DependencyMissing", "left@^7"},
		"lock of another":   {`{"dependencies":{"left":"^1.0.0","broken":"1"}}`, lock, "LockMismatch", "broken"},
		"extension breaks":  {`{"dependencies":{"broken":"1"}}`, "", "ExtensionFailed", "gyp ERR! build error"},
		"not in production": {`{"devDependencies":{"left":"1"}}`, "", "ImportFailed", "left"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"package.json": c.manifest, "index.js": uses}
			if c.lock != "" {
				files["package-lock.json"] = c.lock
			}
			_, log, err := langtest.Source{Env: env, Files: files}.Compile(t, n)
			if langtest.Reason(err) != c.reason || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q: %v\n%s", langtest.Reason(err), err, log)
			}
		})
	}
}

func digest(t *testing.T, l build.Layer) string {
	t.Helper()
	h := sha512.New()
	if err := l.WriteTar(h); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func layerPaths(l build.Layer) []string {
	var paths []string
	for _, e := range l {
		paths = append(paths, e.Path)
	}
	return paths
}

func TestWithoutProvided(t *testing.T) {
	for in, want := range map[string]string{
		`{"dependencies":{"a":"1"}}`: `{"dependencies":{"a":"1"}}`,
		`{"dependencies":{"a":"1","@openfunction/functions-framework":"2"},"x":[1]}`:                               `{"dependencies":{"a":"1"},"x":[1]}`,
		`{"packages":{"":{"devDependencies":{"@google-cloud/functions-framework":"2"}},"node_modules/a":{"x":1}}}`: `{"packages":{"":{"devDependencies":{}},"node_modules/a":{"x":1}}}`,
		`not json`: `not json`,
	} {
		if got := string(withoutProvided([]byte(in))); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}

func TestMissingTools(t *testing.T) {
	n, err := New(Options{Tools: lang.Tools{Cache: t.TempDir(), Find: func(string) string { return "" }}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Identity(t.Context()); langtest.Reason(err) != "ToolMissing" || !strings.Contains(err.Error(), "nodejs") {
		t.Errorf("got %v", err)
	}
	for _, m := range []manager{npm, pnpm, yarnClassic, yarnBerry} {
		if _, err := n.tool(m); langtest.Reason(err) != "ToolMissing" || !strings.Contains(err.Error(), m.program()) {
			t.Errorf("%s: %v", m, err)
		}
	}
}

func FuzzParseScript(f *testing.F) {
	for _, s := range []string{"node a.js", "A=1 cross-env B=2 next start", "", "node a.js | cat", "'node' \"x\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseScript(s)
		if err == nil && (len(c.args) == 0 || shellWords.MatchString(strings.Join(c.args, " "))) {
			t.Errorf("%q becomes %q", s, c.args)
		}
	})
}

func FuzzWithoutProvided(f *testing.F) {
	f.Add([]byte(`{"dependencies":{"@openfunction/functions-framework":"1"},"packages":{"":{}}}`))
	f.Add([]byte(`{"packages":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got := withoutProvided(text); json.Valid(text) != json.Valid(got) {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}

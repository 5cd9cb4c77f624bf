package node

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/framework/nodejs"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/execrun"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

func find(name string) string {
	p, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return p
}

// builder makes a Node of this machine's programs, and skips where there are none.
func builder(t *testing.T) *Node {
	t.Helper()
	for _, name := range []string{"node", "npm"} {
		if find(name) == "" {
			t.Skipf("needs %s", name)
		}
	}
	n, err := New(Options{
		Tools: lang.Tools{Cache: t.TempDir(), Runner: execrun.Runner{}, OS: "linux", Arch: "amd64", Limits: lang.Limits{}.Complete()},
		Find:  find, Framework: nodejs.Files(), FrameworkVersion: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Identity(t.Context()); reason(err) == "ToolMissing" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	return n
}

func reason(err error) string {
	var f *build.Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	return ""
}

// source is a build to be tried: files by path, and the environment of the build.
type source struct {
	files map[string]string
	env   map[string]string
	sub   string
}

// compile builds a source and returns what it made, where, and the log.
func (s source) compile(t *testing.T, n *Node) (lang.Program, string, error) {
	t.Helper()
	work := t.TempDir()
	root := filepath.Join(work, "src")
	for name, text := range s.files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if s.sub == "" {
		s.sub = "."
	}
	tree, err := lang.ReadTree(root, s.sub)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	env, err := lang.ParseEnv(s.env, &log)
	if err != nil {
		t.Fatal(err)
	}
	if !n.Detect(tree, env) {
		t.Fatal("the source is not taken for Node.js")
	}
	p, err := n.Compile(t.Context(), &lang.Job{
		Request: build.Request{ID: "test/f", Function: "f"}, Env: env, Tree: tree, Work: work, Log: &log, Replaced: map[string][]byte{},
	})
	return p, log.String(), err
}

const hello = "exports.hello = (req, res) => res.send('hello');\n"

func TestFunctions(t *testing.T) {
	n := builder(t)
	for name, c := range map[string]struct {
		source
		env  []string // what the image must have in its environment
		log  string
		sign string
	}{
		"single file": {
			source{files: map[string]string{"greet.js": hello}, env: map[string]string{"FUNC_NAME": "hello"}},
			[]string{"FUNCTION_SOURCE=/workspace/greet.js", "FUNCTION_TARGET=hello"}, "found function hello in greet.js", "http",
		},
		"unnamed": {
			source{files: map[string]string{"index.js": hello}},
			[]string{"FUNCTION_SOURCE=/workspace/index.js"}, "", "http",
		},
		"ES module": {
			source{files: map[string]string{
				"package.json": `{"type":"module"}`, "index.js": "import {text} from './lib.js';\nexport const hello = () => text;\n", "lib.js": "export const text = 'x';\n",
			}, env: map[string]string{"FUNC_NAME": "hello"}},
			[]string{"FUNCTION_SOURCE=/workspace/index.js"}, "", "http",
		},
		"main and engines": {
			source{files: map[string]string{"package.json": `{"main":"lib/f.js","engines":{"node":">=18 || ^16"}}`, "lib/f.js": hello}},
			[]string{"FUNCTION_SOURCE=/workspace/lib/f.js"}, "", "http",
		},
		"event by FUNC_TYPE": {
			source{files: map[string]string{"index.mjs": "export default event => {};\n"}, env: map[string]string{"FUNC_TYPE": "event"}},
			[]string{"FUNCTION_SIGNATURE_TYPE=cloudevent"}, "", "cloudevent",
		},
		"registered with the framework": {
			source{files: map[string]string{
				"index.js": "const f = require('@openfunction/functions-framework');\nf.cloudEvent('hello', e => {});\n",
			}, env: map[string]string{"FUNC_NAME": "hello"}},
			nil, "", "cloudevent",
		},
		"registered as an ES module, by Google's name": {
			source{files: map[string]string{"index.mjs": "import {http} from '@google-cloud/functions-framework';\nhttp('hello', (q, r) => r.send(''));\n"}},
			nil, "", "http",
		},
		"framework as a dependency only": {
			source{files: map[string]string{
				"package.json": `{"dependencies":{"@openfunction/functions-framework":"^0.6.1"}}`, "index.js": hello,
			}}, nil, "", "http",
		},
		"start script of the framework": {
			source{files: map[string]string{
				"package.json": `{"scripts":{"start":"functions-framework --target=hello --source=lib --signature-type http"}}`, "lib/index.js": hello,
			}},
			[]string{"FUNCTION_SOURCE=/workspace/lib/index.js", "FUNCTION_TARGET=hello"}, "", "http",
		},
		"FUNC_SRC": {
			source{files: map[string]string{"a.js": hello, "b.js": hello}, env: map[string]string{"FUNC_SRC": "b.js"}},
			[]string{"FUNCTION_SOURCE=/workspace/b.js"}, "", "http",
		},
		"sub-path": {
			source{files: map[string]string{"fn/index.js": hello, "README": ""}, sub: "fn"},
			[]string{"FUNCTION_SOURCE=/workspace/index.js"}, "", "http",
		},
		"needs what is not here": {
			source{files: map[string]string{"index.js": "if (!process.env.KEY) throw new Error('KEY is not set');\n" + hello}, env: map[string]string{"FUNC_NAME": "hello"}},
			nil, "KEY is not set", "",
		},
		"modules of the source": {
			source{files: map[string]string{
				"package.json": `{"dependencies":{"own":"1"}}`, "index.js": "require('own');\n" + hello, "node_modules/own/index.js": "", "node_modules/own/package.json": "{}",
			}},
			nil, "using the node_modules of the source", "http",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, log, err := c.compile(t, n)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			for _, want := range c.env {
				if !slices.Contains(p.Env, want) {
					t.Errorf("environment %q lacks %s", p.Env, want)
				}
			}
			if !strings.Contains(log, c.log) {
				t.Errorf("the log lacks %q:\n%s", c.log, log)
			}
			if got := p.Labels["io.openfunction.signature"]; got != c.sign {
				t.Errorf("signature %q, want %q", got, c.sign)
			}
			if !p.ListenFD || p.Entrypoint[0] != "/usr/local/bin/node" {
				t.Errorf("entrypoint %q, socket %v", p.Entrypoint, p.ListenFD)
			}
		})
	}
}

func TestServers(t *testing.T) {
	n := builder(t)
	for script, want := range map[string]string{
		"node server.js --x":             "server.js --x",
		"NODE_ENV=test node 'server.js'": "server.js",
		"cross-env A=b serve -p 80":      "/workspace/node_modules/serve/bin.js -p 80",
		"node server.js && echo":         "",
		"nothing-of-this-name":           "",
		"node server.js -p $PORT":        "",
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			p, log, err := source{files: map[string]string{
				"package.json": fmt.Sprintf(`{"scripts":{"start":%q}}`, script), "server.js": "", "node_modules/serve/package.json": `{"bin":{"serve":"bin.js"}}`,
			}}.compile(t, n)
			if want == "" {
				if reason(err) != "StartUnsupported" {
					t.Errorf("got %v, want StartUnsupported", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			want := "/usr/local/bin/node --require=/node_modules/@openfunction/functions-framework/init.js " + want
			if got := strings.Join(p.Entrypoint, " "); got != want || p.ListenFD {
				t.Errorf("entrypoint %q, want %q; socket %v", got, want, p.ListenFD)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	n := builder(t)
	named := map[string]string{"FUNC_NAME": "hello"}
	for name, c := range map[string]struct {
		source
		reason string
		says   []string
	}{
		"missing handler": {source{files: map[string]string{"index.js": "exports.other = () => {};\n"}, env: named}, "HandlerMissing", []string{`"hello"`, "other", "index.js"}},
		"no function":     {source{files: map[string]string{"index.js": "exports.hello = 42;\n"}, env: named}, "HandlerMissing", []string{"hello", "number (42)"}},
		"syntax error":    {source{files: map[string]string{"index.js": "\nexports.hello = (req => {;\n"}, env: named}, "SyntaxError", []string{"index.js:"}},
		"syntax error in a module": {
			source{files: map[string]string{"package.json": `{"type":"module"}`, "index.js": "import './b.js';\n", "b.js": "let a;\nlet a;\n"}, env: named},
			"SyntaxError", []string{"b.js:2"},
		},
		"missing package": {source{files: map[string]string{"index.js": "\nrequire('nowhere-to-be-found');\n"}, env: named}, "ImportFailed", []string{"nowhere-to-be-found", "index.js:2", "dependencies"}},
		"missing file":    {source{files: map[string]string{"index.mjs": "import './no.mjs';\n"}, env: named}, "ImportFailed", []string{"no.mjs"}},
		"wrong signature": {
			source{files: map[string]string{"index.js": "require('@openfunction/functions-framework').cloudEvent('hello', () => {});\n"}, env: map[string]string{"FUNC_NAME": "hello", "FUNC_TYPE": "http"}},
			"SignatureMismatch", []string{"cloudevent", "FUNC_TYPE says http"},
		},
		"registered wrongly": {source{files: map[string]string{"index.js": "require('@openfunction/functions-framework').http('1x', 7);\n"}}, "HandlerMissing", []string{"1x", "number"}},
		"manifest":           {source{files: map[string]string{"package.json": "{", "index.js": hello}}, "SourceInvalid", []string{"package.json"}},
		"main is not there":  {source{files: map[string]string{"package.json": `{"main":"gone.js"}`}}, "HandlerMissing", []string{"gone.js"}},
		"several files":      {source{files: map[string]string{"a.js": hello, "b.js": hello}}, "HandlerMissing", []string{"a.js, b.js", "FUNC_SRC"}},
		"engine":             {source{files: map[string]string{"package.json": `{"engines":{"node":"^12"}}`, "index.js": hello}}, "RuntimeUnsupported", []string{"^12"}},
		"version":            {source{files: map[string]string{"index.js": hello}, env: map[string]string{"FUNC_RUNTIME_VERSION": "99"}}, "RuntimeUnsupported", []string{"99"}},
		"FUNC_SRC":           {source{files: map[string]string{"index.js": hello, "gone/x": ""}, env: map[string]string{"FUNC_SRC": "gone/y.js"}}, "SourceNotFound", []string{"gone/y.js"}},
		"build script":       {source{files: map[string]string{"package.json": `{"scripts":{"build":"node -e \"console.log('it broke'); process.exit(3)\""}}`, "index.js": hello}}, "BuildScriptFailed", []string{"it broke"}},
		"ends at once":       {source{files: map[string]string{"index.js": "process.exit(0);\n"}}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, log, err := c.compile(t, n)
			if got := reason(err); got != c.reason {
				t.Fatalf("reason %q, want %q: %v\n%s", got, c.reason, err, log)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the failure lacks %q: %v", want, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), "/src/") {
				t.Errorf("the failure has a path of this machine: %v", err)
			}
		})
	}
}

const uses = "const text = require('left');\nexports.hello = (req, res) => res.send(text);\n"

func TestDependencies(t *testing.T) {
	n := builder(t)
	url := registry(t, map[string]string{"left@1.0.0": `{}`, "dev@1.0.0": `{}`, "broken@1.0.0": `{"scripts":{"install":"node-gyp-like || (echo 'gyp ERR! build error' && exit 1)"}}`})
	env := map[string]string{"FUNC_NAME": "hello", "NPM_CONFIG_REGISTRY": url}
	lock := lockOf(t, url, `{"dependencies":{"left":"^1.0.0"},"devDependencies":{"dev":"1.0.0"}}`)
	locked := source{env: env, files: map[string]string{
		"package.json": `{"dependencies":{"left":"^1.0.0"},"devDependencies":{"dev":"1.0.0"}}`, "package-lock.json": lock, "index.js": uses,
	}}
	t.Run("locked", func(t *testing.T) {
		p, log, err := locked.compile(t, n)
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
		locked.files["index.js"] += "// changed\n"
		again, log, err := locked.compile(t, n)
		if err != nil || !strings.Contains(log, "as in an earlier build") {
			t.Errorf("%v\n%s", err, log)
		}
		elsewhere, log, err := locked.compile(t, builder(t))
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
		p, log, err := source{env: env, files: map[string]string{
			"package.json": `{"dependencies":{"left":"*","@openfunction/functions-framework":"^9"}}`, "index.js": uses,
		}}.compile(t, n)
		if err != nil || !strings.Contains(log, "no lock file") {
			t.Fatalf("%v\n%s", err, log)
		}
		if len(p.Shared) != 2 || len(p.Layers) != 1 {
			t.Errorf("%d shared and %d own layers", len(p.Shared), len(p.Layers))
		}
	})
	t.Run("with a script of its own", func(t *testing.T) {
		p, log, err := source{env: env, files: map[string]string{
			"package.json": `{"scripts":{"postinstall":"node make.js"},"dependencies":{"left":"1"}}`,
			"make.js":      "require('fs').writeFileSync('node_modules/left/made.js', '');\n", "index.js": "require('left/made.js');\n" + uses,
		}}.compile(t, n)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		if paths := layerPaths(p.Layers[0]); !slices.Contains(paths, "workspace/node_modules/left/made.js") {
			t.Errorf("the layer of dependencies has %q", paths)
		}
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
			_, log, err := source{env: env, files: files}.compile(t, n)
			if reason(err) != c.reason || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q: %v\n%s", reason(err), err, log)
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
	n, err := New(Options{Tools: lang.Tools{Cache: t.TempDir()}, Find: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Identity(t.Context()); reason(err) != "ToolMissing" || !strings.Contains(err.Error(), "nodejs") {
		t.Errorf("got %v", err)
	}
	for _, m := range []manager{npm, pnpm, yarnClassic, yarnBerry} {
		if _, err := n.tool(m); reason(err) != "ToolMissing" || !strings.Contains(err.Error(), m.program()) {
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

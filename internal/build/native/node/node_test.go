package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/framework/nodejs"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// builder makes a Node of this machine's programs, and skips where there are none.
func builder(t *testing.T) *Node {
	t.Helper()
	n, err := New(Options{
		Tools: langtest.Tools(t), Framework: nodejs.Files(), FrameworkVersion: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	langtest.Need(t, n, "node", "npm")
	return n
}

const hello = "exports.hello = (req, res) => res.send('hello');\n"

func TestFunctions(t *testing.T) {
	n := builder(t)
	for name, c := range map[string]struct {
		langtest.Source
		env  []string // what the image must have in its environment
		log  string
		sign string
	}{
		"single file": {
			langtest.Source{Files: map[string]string{"greet.js": hello}, Env: map[string]string{"FUNC_NAME": "hello"}},
			[]string{"FUNCTION_SOURCE=/workspace/greet.js", "FUNCTION_TARGET=hello"}, "found function hello in greet.js", "http",
		},
		"unnamed": {
			langtest.Source{Files: map[string]string{"index.js": hello}},
			[]string{"FUNCTION_SOURCE=/workspace/index.js"}, "", "http",
		},
		"ES module": {
			langtest.Source{Files: map[string]string{
				"package.json": `{"type":"module"}`, "index.js": "import {text} from './lib.js';\nexport const hello = () => text;\n", "lib.js": "export const text = 'x';\n",
			}, Env: map[string]string{"FUNC_NAME": "hello"}},
			[]string{"FUNCTION_SOURCE=/workspace/index.js"}, "", "http",
		},
		"main and engines": {
			langtest.Source{Files: map[string]string{"package.json": `{"main":"lib/f.js","engines":{"node":">=18 || ^16"}}`, "lib/f.js": hello}},
			[]string{"FUNCTION_SOURCE=/workspace/lib/f.js"}, "", "http",
		},
		"event by FUNC_TYPE": {
			langtest.Source{Files: map[string]string{"index.mjs": "export default event => {};\n"}, Env: map[string]string{"FUNC_TYPE": "event"}},
			[]string{"FUNCTION_SIGNATURE_TYPE=cloudevent"}, "", "cloudevent",
		},
		"registered with the framework": {
			langtest.Source{Files: map[string]string{
				"index.js": "const f = require('@openfunction/functions-framework');\nf.cloudEvent('hello', e => {});\n",
			}, Env: map[string]string{"FUNC_NAME": "hello"}},
			nil, "", "cloudevent",
		},
		"registered as an ES module, by Google's name": {
			langtest.Source{Files: map[string]string{"index.mjs": "import {http} from '@google-cloud/functions-framework';\nhttp('hello', (q, r) => r.send(''));\n"}},
			nil, "", "http",
		},
		"framework as a dependency only": {
			langtest.Source{Files: map[string]string{
				"package.json": `{"dependencies":{"@openfunction/functions-framework":"^0.6.1"}}`, "index.js": hello,
			}}, nil, "", "http",
		},
		"start script of the framework": {
			langtest.Source{Files: map[string]string{
				"package.json": `{"scripts":{"start":"functions-framework --target=hello --source=lib --signature-type http"}}`, "lib/index.js": hello,
			}},
			[]string{"FUNCTION_SOURCE=/workspace/lib/index.js", "FUNCTION_TARGET=hello"}, "", "http",
		},
		"FUNC_SRC": {
			langtest.Source{Files: map[string]string{"a.js": hello, "b.js": hello}, Env: map[string]string{"FUNC_SRC": "b.js"}},
			[]string{"FUNCTION_SOURCE=/workspace/b.js"}, "", "http",
		},
		"sub-path": {
			langtest.Source{Files: map[string]string{"fn/index.js": hello, "README": ""}, Sub: "fn"},
			[]string{"FUNCTION_SOURCE=/workspace/index.js"}, "", "http",
		},
		"needs what is not here": {
			langtest.Source{Files: map[string]string{"index.js": "if (!process.env.KEY) throw new Error('KEY is not set');\n" + hello}, Env: map[string]string{"FUNC_NAME": "hello"}},
			nil, "KEY is not set", "",
		},
		"modules of the source": {
			langtest.Source{Files: map[string]string{
				"package.json": `{"dependencies":{"own":"1"}}`, "index.js": "require('own');\n" + hello, "node_modules/own/index.js": "", "node_modules/own/package.json": "{}",
			}},
			nil, "using the node_modules of the source", "http",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, log, err := c.Compile(t, n)
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
			p, log, err := langtest.Source{Files: map[string]string{
				"package.json": fmt.Sprintf(`{"scripts":{"start":%q}}`, script), "server.js": "", "node_modules/serve/package.json": `{"bin":{"serve":"bin.js"}}`,
			}}.Compile(t, n)
			if want == "" {
				if langtest.Reason(err) != "StartUnsupported" {
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
		langtest.Source
		reason string
		says   []string
	}{
		"missing handler": {langtest.Source{Files: map[string]string{"index.js": "exports.other = () => {};\n"}, Env: named}, "HandlerMissing", []string{`"hello"`, "other", "index.js"}},
		"no function":     {langtest.Source{Files: map[string]string{"index.js": "exports.hello = 42;\n"}, Env: named}, "HandlerMissing", []string{"hello", "number (42)"}},
		"syntax error":    {langtest.Source{Files: map[string]string{"index.js": "\nexports.hello = (req => {;\n"}, Env: named}, "SyntaxError", []string{"index.js:"}},
		"syntax error in a module": {
			langtest.Source{Files: map[string]string{"package.json": `{"type":"module"}`, "index.js": "import './b.js';\n", "b.js": "let a;\nlet a;\n"}, Env: named},
			"SyntaxError", []string{"b.js:2"},
		},
		"missing package": {langtest.Source{Files: map[string]string{"index.js": "\nrequire('nowhere-to-be-found');\n"}, Env: named}, "ImportFailed", []string{"nowhere-to-be-found", "index.js:2", "dependencies"}},
		"missing file":    {langtest.Source{Files: map[string]string{"index.mjs": "import './no.mjs';\n"}, Env: named}, "ImportFailed", []string{"no.mjs"}},
		"wrong signature": {
			langtest.Source{Files: map[string]string{"index.js": "require('@openfunction/functions-framework').cloudEvent('hello', () => {});\n"}, Env: map[string]string{"FUNC_NAME": "hello", "FUNC_TYPE": "http"}},
			"SignatureMismatch", []string{"cloudevent", "FUNC_TYPE says http"},
		},
		"registered wrongly": {langtest.Source{Files: map[string]string{"index.js": "require('@openfunction/functions-framework').http('1x', 7);\n"}}, "HandlerMissing", []string{"1x", "number"}},
		"manifest":           {langtest.Source{Files: map[string]string{"package.json": "{", "index.js": hello}}, "SourceInvalid", []string{"package.json"}},
		"main is not there":  {langtest.Source{Files: map[string]string{"package.json": `{"main":"gone.js"}`}}, "HandlerMissing", []string{"gone.js"}},
		"several files":      {langtest.Source{Files: map[string]string{"a.js": hello, "b.js": hello}}, "HandlerMissing", []string{"a.js, b.js", "FUNC_SRC"}},
		"engine":             {langtest.Source{Files: map[string]string{"package.json": `{"engines":{"node":"^12"}}`, "index.js": hello}}, "RuntimeUnsupported", []string{"^12"}},
		"version":            {langtest.Source{Files: map[string]string{"index.js": hello}, Env: map[string]string{"FUNC_RUNTIME_VERSION": "99"}}, "RuntimeUnsupported", []string{"99"}},
		"FUNC_SRC":           {langtest.Source{Files: map[string]string{"index.js": hello, "gone/x": ""}, Env: map[string]string{"FUNC_SRC": "gone/y.js"}}, "SourceNotFound", []string{"gone/y.js"}},
		"build script":       {langtest.Source{Files: map[string]string{"package.json": `{"scripts":{"build":"node -e \"console.log('it broke'); process.exit(3)\""}}`, "index.js": hello}}, "BuildScriptFailed", []string{"it broke"}},
		"ends at once":       {langtest.Source{Files: map[string]string{"index.js": "process.exit(0);\n"}}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, log, err := c.Compile(t, n)
			if got := langtest.Reason(err); got != c.reason {
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

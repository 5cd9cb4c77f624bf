package python

import (
	"bytes"
	"context"
	"errors"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	pythonframework "github.com/openfunction/ofn/framework/python"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// newPython is a builder with caches that all tests of a machine share, because the first build of a machine takes long.
func newPython(t *testing.T) *Python {
	t.Helper()
	if runtime.GOOS != "linux" || langtest.Find("python3") == "" {
		t.Skip("needs python3 on linux")
	}
	p, err := New(Options{Tools: langtest.SharedTools(t, "python"), Framework: pythonframework.Source(),
		Requirements: pythonframework.Requirements(), FrameworkVersion: pythonframework.Version})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// compile builds a source, given as txtar. The work directory is below the cache, so that what is made can be moved there.
func compile(t *testing.T, p *Python, archive string, env map[string]string) (lang.Program, string, error) {
	t.Helper()
	s := langtest.Archive(archive).With(env)
	s.Work = p.opts.Cache
	program, log, err := s.Compile(t, p)
	if langtest.Reason(err) == "DependencyUnresolved" && strings.Contains(err.Error(), "cannot be reached") {
		t.Skip("needs a package index: ", err)
	}
	return program, log, err
}

func TestFound(t *testing.T) {
	p := newPython(t)
	for name, c := range map[string]struct {
		source string
		env    map[string]string
		says   string
	}{
		"sole function":     {"-- main.py --\ndef hello(request):\n    return ''\n", nil, "found hello (http) in main.py"},
		"named":             {"-- main.py --\ndef a(request): pass\ndef b(request): pass\n", map[string]string{"FUNC_NAME": "b"}, "found b (http) in main.py"},
		"async":             {"-- main.py --\nasync def hello(request):\n    return ''\n", nil, "found hello (http)"},
		"event":             {"-- main.py --\ndef on(event): pass\n", map[string]string{"FUNC_NAME": "on", "FUNC_TYPE": "event"}, "found on (cloudevent)"},
		"annotated event":   {"-- main.py --\nfrom functions_framework import CloudEvent\ndef on(e: CloudEvent): pass\n", nil, "found on (cloudevent)"},
		"user context":      {"-- main.py --\nfrom functions_framework.context.user_context import UserContext\ndef on(c: UserContext): pass\n", nil, "found on (openfunction)"},
		"context and data":  {"-- main.py --\ndef on(ctx, data): pass\n", nil, "found on (openfunction)"},
		"declared":          {"-- main.py --\nimport functions_framework as f\n@f.http(path='/a')\ndef a(r): pass\n@f.typed\ndef b(v: dict): pass\n", nil, "found a (http) at /a in main.py\nfound b (typed) in main.py"},
		"asgi":              {"-- app.py --\nasync def app(scope, receive, send): pass\n", nil, "found app (asgi) in app.py"},
		"wsgi":              {"-- app.py --\ndef app(environ, start_response): pass\n", map[string]string{"FUNC_NAME": "app:app"}, "found app (wsgi) in app.py"},
		"file of its own":   {"-- lib/f.py --\nimport other\ndef f(r): pass\n-- lib/other.py --\n-- setup.py --\n", map[string]string{"FUNC_SRC": "lib/f.py", "FUNC_NAME": "f"}, "found f (http) in lib/f.py"},
		"found by its name": {"-- a.py --\ndef x(r): pass\n-- b.py --\ndef y(r): pass\n", map[string]string{"FUNC_NAME": "y"}, "found y (http) in b.py"},
	} {
		t.Run(name, func(t *testing.T) {
			_, log, err := compile(t, p, c.source, c.env)
			if err != nil || !strings.Contains(log, c.says) {
				t.Errorf("got %v, want %q in\n%s", err, c.says, log)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	p := newPython(t)
	for name, c := range map[string]struct {
		source string
		env    map[string]string
		reason string
		says   []string
	}{
		"missing handler": {"-- main.py --\ndef hello(request): pass\n", map[string]string{"FUNC_NAME": "hullo"}, "HandlerMissing", []string{"hullo", "main.py", "hello"}},
		"several":         {"-- main.py --\ndef a(request): pass\ndef b(request): pass\n", nil, "HandlerMissing", []string{"a, b", "FUNC_NAME"}},
		"no function":     {"-- main.py --\nx = 1\n", nil, "HandlerMissing", []string{"main.py defines no function"}},
		"not a function":  {"-- main.py --\nx = 42\n", map[string]string{"FUNC_NAME": "x"}, "SignatureMismatch", []string{"42", "int"}},
		"wrong signature": {"-- main.py --\n\ndef hello(a, b, c): pass\n", map[string]string{"FUNC_NAME": "hello"}, "SignatureMismatch", []string{"main.py:2", "(a, b, c)", "one argument"}},
		"syntax error":    {"-- main.py --\ndef hello(request:\n    pass\n", nil, "ImportFailed", []string{"main.py", "SyntaxError", "line "}},
		"import error":    {"-- main.py --\nimport helper\ndef hello(r): pass\n-- helper.py --\n\nimport nowhere_to_be_found\n", nil, "ImportFailed", []string{"No module named 'nowhere_to_be_found'", "File \"helper.py\", line 2", "File \"main.py\", line 1"}},
		"raises":          {"-- main.py --\nraise RuntimeError('not today')\n", nil, "ImportFailed", []string{"RuntimeError: not today", "line 1"}},
		"exits":           {"-- main.py --\nimport os\nos._exit(3)\n", nil, "ImportFailed", []string{"code 3"}},
		"no file":         {"-- main.py --\ndef f(r): pass\n", map[string]string{"FUNC_SRC": "other.py"}, "SourceNotFound", []string{"other.py"}},
		"two files":       {"-- a.py --\n-- b.py --\n", nil, "SourceNotFound", []string{"a.py, b.py", "FUNC_SRC"}},
		"no such package": {"-- main.py --\ndef f(r): pass\n-- requirements.txt --\nofn-no-such-package-4711==1.0\n", nil, "DependencyUnresolved", []string{"requirements.txt", "ofn-no-such-package-4711==1.0"}},
		"bad requirement": {"-- main.py --\ndef f(r): pass\n-- requirements.txt --\n===\n", nil, "RequirementsInvalid", []string{"requirements.txt"}},
		"does not build": {"-- main.py --\ndef f(r): pass\n-- requirements.txt --\n./broken\n-- broken/setup.py --\nraise SystemExit('needs a compiler that nobody has')\n", nil,
			"DependencyBuildFailed", []string{"needs a compiler that nobody has"}},
		"newer python":  {"-- main.py --\ndef f(r): pass\n-- pyproject.toml --\n[project]\nname = 'x'\nrequires-python = '>=3.99'\n", nil, "RuntimeUnsupported", []string{">=3.99"}},
		"bad toml":      {"-- main.py --\n-- pyproject.toml --\n[project\n", nil, "ProjectInvalid", []string{"line 1"}},
		"unlocked":      {"-- main.py --\n-- Pipfile --\n", nil, "LockMissing", []string{"pipenv lock"}},
		"version asked": {"-- main.py --\ndef f(r): pass\n", map[string]string{"FUNC_RUNTIME_VERSION": "3.99"}, "RuntimeUnsupported", []string{"3.99"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, log, err := compile(t, p, c.source, c.env)
			if err == nil {
				t.Fatalf("no error\n%s", log)
			}
			langtest.Check(t, err, c.reason, c.says...)
			if strings.Contains(err.Error(), p.opts.Cache) {
				t.Errorf("the message shows a directory of the builder: %v", err)
			}
		})
	}
}

// What a function leaves in place of the result of its check is not read where it leads elsewhere.
func TestResultLeadsElsewhere(t *testing.T) {
	p := newPython(t)
	elsewhere := filepath.Join(t.TempDir(), "found.json")
	source := "-- main.py --\nimport os\ndef hello(request): pass\n" +
		"os.symlink('" + elsewhere + "', os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + '/found.json')\n"
	_, _, err := compile(t, p, source, nil)
	langtest.Check(t, err, "BuildOutputInvalid", "found.json is a link")
}

// The layers of a program hold what it runs with, and equal sources make equal ones.
func TestProgram(t *testing.T) {
	p := newPython(t)
	const source = "-- main.py --\nimport six\ndef hello(r):\n    return six.u('hi')\n-- requirements.txt --\nsix==1.17.0\n"
	var tars [2][]byte
	for i := range tars {
		program, log, err := compile(t, p, source, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		there := map[string]bool{}
		layers := append(append(program.Shared, program.Layers...), program.Above...)
		var all bytes.Buffer
		for n, l := range layers {
			for _, e := range l {
				there[e.Path] = true
			}
			if n > 0 { // the interpreter is large, and compared by the others
				if err := l.WriteTar(&all); err != nil {
					t.Fatal(err)
				}
			}
		}
		tars[i] = all.Bytes()
		i, err := p.interpreter(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{imageProgram, imageStdlib(i)[1:] + "/os.py", imageStdlib(i)[1:] + "/__pycache__/os." + i.Tag + ".pyc", "app/python/functions_framework/_main.py",
			"app/python/start.py", "app/packages/six.py", "app/packages/__pycache__/six." + i.Tag + ".pyc", "workspace/__pycache__/main." + i.Tag + ".pyc"} {
			if !there[want] {
				t.Errorf("%s is not in the image", want)
			}
		}
		for name := range there {
			if dropped[path.Base(name)] && path.Base(name) != "__pycache__" && strings.HasPrefix(name, "usr/local/lib/python") {
				t.Errorf("%s is in the image", name)
			}
		}
	}
	if !bytes.Equal(tars[0], tars[1]) {
		t.Error("the same source made two different programs")
	}
}

// Builds at the same time make what they share once, and one that is cancelled does not wait.
func TestAlone(t *testing.T) {
	p := &Python{making: map[string]chan struct{}{}}
	release, err := p.alone(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.alone(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	got := make(chan error, 1)
	go func() { // ends with the release
		again, err := p.alone(context.Background(), "x")
		if err == nil {
			again()
		}
		got <- err
	}()
	if other, err := p.alone(t.Context(), "y"); err != nil {
		t.Error(err)
	} else {
		other()
	}
	release()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

package server

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// runner is a build.Runner that writes what the go command was to build.
type runner struct{ runs int }

func (r *runner) Run(_ context.Context, c build.Command) (build.Exit, error) {
	r.runs++
	at := slices.Index(c.Args, "-o")
	return build.Exit{}, os.WriteFile(c.Args[at+1], []byte("shim"), 0o600)
}

func newServer(t *testing.T, r build.Runner) *Server {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "VERSION"), []byte("go1.99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Tools: lang.Tools{Cache: t.TempDir(), Runner: r, OS: "linux", Arch: runtime.GOARCH, Find: langtest.Find}, GoRoot: root, Shim: map[string][]byte{"go.mod": nil}, ShimPackage: "./x"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// header is the beginning of a program for a processor.
func header(m elf.Machine, order binary.ByteOrder) string {
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(m), Version: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	if order == binary.BigEndian {
		h.Ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	if err := binary.Write(&b, order, h); err != nil {
		panic(err)
	}
	return b.String()
}

func native() string {
	for m, name := range machines {
		if name == runtime.GOARCH {
			return header(m, binary.LittleEndian)
		}
	}
	return ""
}

// launched builds a source of no language, given as txtar; the word PROGRAM in a file's text is a program of this machine.
func launched(t *testing.T, archive string, env map[string]string) (lang.Program, *lang.Job, string, error) {
	t.Helper()
	src := langtest.Archive(archive).With(env)
	for name, text := range src.Files {
		switch text = strings.TrimSuffix(text, "\n"); text {
		case "PROGRAM":
			text = native()
		case "FOREIGN":
			text = header(elf.EM_S390, binary.BigEndian)
		}
		src.Files[name] = text
	}
	j, log := src.Job(t)
	s := newServer(t, &runner{})
	var err error
	if j.Env, err = s.Plan(j.Tree, j.Env, log); err != nil {
		return lang.Program{}, nil, log.String(), err
	}
	if !s.Detect(j.Tree, j.Env) {
		return lang.Program{}, nil, log.String(), errors.New("not detected")
	}
	p, err := s.Compile(t.Context(), j)
	if err == nil {
		p, err = s.Launch(t.Context(), j, p)
	}
	return p, j, log.String(), err
}

func TestEntrypoints(t *testing.T) {
	if langtest.Find("sh") == "" || langtest.Find("cat") == "" {
		t.Skip("needs sh and cat")
	}
	shim := "/app/ofn-shim "
	for name, c := range map[string]struct {
		source string
		env    map[string]string
		want   string
		fd     bool
	}{
		"only program":        {"-- serve --\nPROGRAM\n-- readme --\n", nil, "/workspace/serve", false},
		"procfile":            {"-- Procfile --\n# c\nrelease: x\nweb:   ./serve -a  b=c\n-- serve --\nPROGRAM\n", nil, "/workspace/serve -a b=c", false},
		"procfile, one":       {"-- Procfile --\napp: serve\n-- serve --\nPROGRAM\n", nil, "/workspace/serve", false},
		"entrypoint wins":     {"-- Procfile --\nweb: ./a\n-- b --\nPROGRAM\n", map[string]string{"FUNC_ENTRYPOINT": "./b"}, "/workspace/b", false},
		"shell":               {"-- Procfile --\nweb: ./serve -p $PORT\n-- serve --\nPROGRAM\n", nil, "/bin/sh -c ./serve -p $PORT", false},
		"shell assigns":       {"-- serve --\nPROGRAM\n", map[string]string{"FUNC_ENTRYPOINT": "A=b exec ./serve"}, "/bin/sh -c A=b exec ./serve", false},
		"program of machine":  {"-- x --\n", map[string]string{"fprocess": "cat -u"}, shim + "watchdog /usr/bin/cat -u", true},
		"script":              {"-- run.sh --\n#!/bin/sh\n", map[string]string{"FUNC_ENTRYPOINT": "run.sh", "FUNC_CONTRACT": "cgi"}, shim + "cgi /workspace/run.sh", true},
		"bootstrap":           {"-- bootstrap --\nPROGRAM\n", nil, shim + "lambda /workspace/bootstrap", true},
		"bootstrap, raw":      {"-- bootstrap --\nPROGRAM\n", map[string]string{"FUNC_CONTRACT": "lambda-raw"}, shim + "lambda-raw /workspace/bootstrap", true},
		"bootstrap script":    {"-- bootstrap --\n#!/bin/sh\ncurl $AWS_LAMBDA_RUNTIME_API\n", nil, shim + "lambda /workspace/bootstrap", true},
		"bootstrap as server": {"-- bootstrap --\nPROGRAM\n", map[string]string{"FUNC_CONTRACT": "server"}, "/workspace/bootstrap", false},
		"task root":           {"-- h --\nPROGRAM\n", map[string]string{"FUNC_ENTRYPOINT": "/var/task/h", "FUNC_CONTRACT": "lambda"}, shim + "lambda /workspace/h", true},
		"static files":        {"-- index.html --\n", map[string]string{"FUNC_CONTRACT": "watchdog", "mode": "static", "static_path": "/workspace"}, shim + "watchdog", true},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, log, err := launched(t, c.source, c.env)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if got := strings.Join(p.Entrypoint, " "); got != c.want || p.ListenFD != c.fd {
				t.Errorf("got %q %v, want %q %v", got, p.ListenFD, c.want, c.fd)
			}
			if p.ListenFD && !holds(p.Shared, "app/ofn-shim") {
				t.Error("the shim is not laid in")
			}
			if strings.Contains(c.want, "/bin/sh ") && !holds(p.Shared, "bin/sh") {
				t.Error("the shell is not laid in")
			}
		})
	}
}

func holds(layers []build.Layer, at string) bool {
	return slices.ContainsFunc(layers, func(l build.Layer) bool {
		return slices.ContainsFunc(l, func(e build.Entry) bool { return e.Path == at })
	})
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		source       string
		env          map[string]string
		reason, says string
	}{
		"several programs": {"-- a --\nPROGRAM\n-- b --\nPROGRAM\n", nil, "CommandMissing", "a, b"},
		"architecture":     {"-- a --\nFOREIGN\n-- b --\n", map[string]string{"FUNC_ENTRYPOINT": "./a"}, "ArchitectureMismatch", "a is a program for s390x"},
		"windows":          {"-- a.exe --\nMZ\n", nil, "ArchitectureMismatch", "Windows"},
		"not executable":   {"-- a --\ntext\n", map[string]string{"FUNC_ENTRYPOINT": "./a"}, "NotExecutable", "neither a program nor a script"},
		"not found":        {"-- a --\nPROGRAM\n", map[string]string{"FUNC_ENTRYPOINT": "./b c"}, "CommandNotFound", "the source has: a"},
		"no such program":  {"-- a --\n", map[string]string{"fprocess": "ofn-no-such"}, "CommandNotFound", "program of this machine"},
		"no interpreter":   {"-- a --\n#!/nowhere/lua\n", map[string]string{"FUNC_ENTRYPOINT": "./a"}, "CommandNotFound", "the script a: command not found"},
		"carriage return":  {"-- a --\n#!/bin/sh\r\n", map[string]string{"FUNC_ENTRYPOINT": "./a"}, "NotExecutable", "carriage return"},
		"interpreter only": {"-- a --\n", map[string]string{"FUNC_ENTRYPOINT": "ruby a"}, "CommandNotFound", "not taken for one of Ruby"},
		"procfile":         {"-- Procfile --\nnonsense\n", nil, "ProcfileInvalid", "Procfile:1"},
		"no web":           {"-- Procfile --\na: x\nb: y\n", nil, "ProcfileInvalid", "a, b"},
		"empty procfile":   {"-- Procfile --\n\n", nil, "ProcfileInvalid", "no process"},
		"extra program":    {"-- a --\nPROGRAM\n", map[string]string{"FUNC_PROGRAMS": "ofn-no-such"}, "EnvInvalid", "FUNC_PROGRAMS"},
		"damaged":          {"-- a --\n\x7fELF\n", map[string]string{"FUNC_ENTRYPOINT": "./a"}, "ProgramInvalid", "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := launched(t, c.source, c.env)
			var f *build.Failure
			if !errors.As(err, &f) || f.Reason != c.reason || !strings.Contains(f.Message, c.says) {
				t.Errorf("got %v, want %s %q", err, c.reason, c.says)
			}
		})
	}
}

// What a program of the source lacks is given or told.
func TestMended(t *testing.T) {
	p, j, log, err := launched(t, "-- serve --\nPROGRAM\n", nil)
	if err != nil || !strings.Contains(log, "lacked the permission") || j.Tree.Files[0].Mode != 0o755 {
		t.Errorf("%v %v\n%s", err, p, log)
	}
}

// Without Go a server is built all the same; a contract says what to install.
func TestNeedsGo(t *testing.T) {
	s, err := New(Options{Tools: lang.Tools{Cache: t.TempDir(), Runner: &runner{}, OS: "linux", Arch: runtime.GOARCH, Find: langtest.Find}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Identity(t.Context(), lang.Env{Command: "./a"}); err != nil {
		t.Error(err)
	}
	_, err = s.Identity(t.Context(), lang.Env{Command: "./a", Contract: lang.ContractCGI})
	var f *build.Failure
	if !errors.As(err, &f) || f.Reason != "ToolMissing" {
		t.Errorf("got %v", err)
	}
}

// The shim is compiled once.
func TestShimOnce(t *testing.T) {
	r := &runner{}
	s := newServer(t, r)
	for range 2 {
		if _, err := s.shim(t.Context(), &lang.Job{Work: t.TempDir(), Log: io.Discard}); err != nil {
			t.Fatal(err)
		}
	}
	if r.runs != 1 {
		t.Errorf("compiled %d times", r.runs)
	}
}

// A language that serves by itself goes behind no contract; one that was only concluded is left out.
func TestFrameworkFunction(t *testing.T) {
	s := newServer(t, &runner{})
	tree := &lang.Tree{Sub: "."}
	made := lang.Program{ListenFD: true, Entrypoint: []string{"/app/function"}}
	job := func(e lang.Env) *lang.Job { return &lang.Job{Env: e, Tree: tree, Work: t.TempDir(), Log: io.Discard} }
	p, err := s.Launch(t.Context(), job(lang.Env{Contract: lang.ContractLambda, ContractFound: true}), made)
	if err != nil || p.Entrypoint[0] != "/app/function" {
		t.Errorf("got %v %v", p.Entrypoint, err)
	}
	if _, err = s.Launch(t.Context(), job(lang.Env{Contract: lang.ContractLambda}), made); err == nil || !strings.Contains(err.Error(), "leave out the contract") {
		t.Errorf("got %v", err)
	}
	made.ListenFD = false
	p, err = s.Launch(t.Context(), job(lang.Env{Contract: lang.ContractLambda, ContractFound: true}), made)
	if err != nil || strings.Join(p.Entrypoint, " ") != "/app/ofn-shim lambda /app/function" {
		t.Errorf("got %v %v", p.Entrypoint, err)
	}
}

// The interpreter that a language laid in is the one that a command and a script mean, wherever they look for it.
func TestLanguagesInterpreter(t *testing.T) {
	s := newServer(t, &runner{})
	made := lang.Program{Entrypoint: []string{"/usr/local/bin/python3"}, Shared: []build.Layer{{{Path: "usr/local/bin/python3", Mode: 0o755, Data: []byte("x")}}}}
	for command, want := range map[string]string{"python3 app.py": "/usr/local/bin/python3 app.py", "/usr/bin/python3 -u app.py": "/usr/bin/python3 -u app.py"} {
		j := &lang.Job{Env: lang.Env{Command: command}, Tree: &lang.Tree{Sub: "."}, Work: t.TempDir(), Log: io.Discard}
		p, err := s.Launch(t.Context(), j, made)
		if err != nil || strings.Join(p.Entrypoint, " ") != want {
			t.Errorf("%s: got %v %v", command, p.Entrypoint, err)
		}
		if strings.HasPrefix(command, "/usr/bin") && !slices.ContainsFunc(p.Shared[len(p.Shared)-1], func(e build.Entry) bool {
			return e.Path == "usr/bin/python3" && e.Mode&fs.ModeSymlink != 0 && e.Link == "/usr/local/bin/python3"
		}) {
			t.Error("there is no link")
		}
	}
}

func FuzzProcfile(f *testing.F) {
	f.Add("web: a\nb: c\n")
	f.Fuzz(func(t *testing.T, text string) {
		command, err := parseProcfile("Procfile", strings.NewReader(text))
		if (command == "") == (err == nil) {
			t.Errorf("%q: %q %v", text, command, err)
		}
	})
}

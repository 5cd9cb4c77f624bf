package server

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/system"
)

// plain is a command that needs no shell: its words are separated by white space.
var plain = regexp.MustCompile(`^[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./ \t-]*$`)

// builtins are words that a shell understands by itself, so that there is nothing to look for.
var builtins = []string{".", ":", "[", "case", "cd", "echo", "eval", "exec", "exit", "export", "for", "if", "printf", "pwd", "read", "set", "shift", "source", "test", "time", "trap", "true",
	"ulimit", "umask", "unset", "until", "while", "{", "("}

// scripts of Node.js packages begin with a line that names env.
const nodeScripts = lang.SourceDir + "/node_modules/.bin"

// searched is where programs are looked for in an image: those of the system, of the source, and of dependencies in Python and Node.js.
var searched = []string{"usr/local/bin", "usr/bin", "bin", lang.SourceDir + "/bin", lang.AppDir + "/packages/bin", nodeScripts}

// shellSet are the programs that scripts expect beside a shell.
var shellSet = []string{"awk", "base64", "basename", "bash", "cat", "chmod", "cp", "cut", "date", "dd", "dirname", "env", "expr", "false", "find", "grep", "head", "hostname", "id", "ln", "ls", "mkdir",
	"mkfifo", "mktemp", "mv", "nproc", "od", "printf", "pwd", "readlink", "realpath", "rm", "rmdir", "sed", "seq", "sh", "sha256sum", "sleep", "sort", "stat", "tail", "tee", "test", "timeout", "touch",
	"tr", "true", "uname", "uniq", "wc", "xargs"}

// mentioned are programs that are laid in when a script names them.
var mentioned = []string{"curl", "jq", "gzip", "tar", "openssl", "bc"}

// incomplete are interpreters whose program alone runs nothing.
var incomplete = map[string]string{"python": "Python", "python3": "Python", "node": "Node.js", "npm": "Node.js", "npx": "Node.js", "java": "Java", "ruby": "Ruby", "bundle": "Ruby", "perl": "Perl"}

// command is the entrypoint that a command line asks for.
func (l *launch) command(line string) ([]string, error) {
	words := strings.Fields(line)
	if plain.MatchString(line) && !strings.Contains(words[0], "=") {
		found, err := l.resolve(words[0])
		return append([]string{found}, words[1:]...), err
	}
	if err := l.shell(line); err != nil {
		return nil, err
	}
	for _, w := range words {
		name, _, assigns := strings.Cut(w, "=")
		switch {
		case assigns && !strings.ContainsAny(name, "/$"), w == "exec":
			continue
		case slices.Contains(builtins, w) || !plain.MatchString(w):
			return []string{"/bin/sh", "-c", line}, nil
		}
		if _, err := l.resolve(w); err != nil {
			return nil, err
		}
		break
	}
	return []string{"/bin/sh", "-c", line}, nil
}

// resolve finds the program of a command in the image, or lays it in, and returns it as the entrypoint is to name it.
func (l *launch) resolve(name string) (string, error) {
	if strings.Contains(name, "/") {
		return l.resolvePath(name)
	}
	if at, ok := l.inPath(name); ok {
		if path.Dir(at) == nodeScripts {
			if _, err := l.resolve("/usr/bin/env"); err != nil {
				return "", err
			}
		}
		return "/" + at, l.check(at)
	}
	if at := path.Join(l.dir(), name); l.has(at) {
		fmt.Fprintf(l.job.Log, "%s is the file %s of the source\n", name, name)
		return "/" + at, l.check(at)
	}
	if language, ok := incomplete[name]; ok && !l.opts.Local {
		return "", lang.Failure("CommandNotFound", "the command runs %s, but the source is not taken for one of %s%s: add the file of its dependencies (such as requirements.txt or package.json, which may be empty), or set FUNC_RUNTIME in build.env", name, language, lang.At(l.job.Tree.Sub))
	}
	file := l.opts.Find(name)
	if file == "" {
		return "", lang.Failure("CommandNotFound", "command not found: %q is neither in the source nor a program of this machine; %s", name, l.offer())
	}
	return "/usr/bin/" + name, l.lay(file, "usr/bin/"+name)
}

func (l *launch) resolvePath(name string) (string, error) {
	at := strings.TrimPrefix(path.Clean(name), "/")
	if rest, ok := strings.CutPrefix(at, "var/task/"); ok && path.IsAbs(name) {
		at = path.Join(lang.SourceDir, rest)
	}
	if !path.IsAbs(name) {
		at = path.Join(l.dir(), name)
	}
	if l.has(at) {
		return "/" + at, l.check(at)
	}
	if path.IsAbs(name) && !strings.HasPrefix(at, lang.SourceDir+"/") && !strings.HasPrefix(at, lang.AppDir+"/") {
		if other, ok := l.inPath(path.Base(name)); ok { // the language's own, elsewhere
			l.machine = append(l.machine, build.Entry{Path: at, Mode: fs.ModeSymlink | 0o777, Link: "/" + other})
			l.there[at] = true
			return "/" + at, nil
		}
		if file := filepath.Join(l.opts.Root, at); regular(file) {
			return "/" + at, l.lay(file, at)
		}
		return "", lang.Failure("CommandNotFound", "command not found: there is no %s on this machine", name)
	}
	return "", lang.Failure("CommandNotFound", "command not found: %s is not in the source; %s", name, l.offer())
}

// offer names programs and scripts of the source, for messages.
func (l *launch) offer() string {
	const most = 8
	var names []string
	for _, f := range l.job.Tree.Files {
		rel, in := lang.Below(l.job.Tree.Sub, f.Path)
		if head := headOf(l.job.Tree.Abs(f.Path)); in && (isProgram(head) || bytes.HasPrefix(head, []byte("#!"))) && len(names) < most {
			names = append(names, rel)
		}
	}
	if len(names) == 0 {
		return "the source has no programs and no scripts that begin with #!"
	}
	return "the source has: " + strings.Join(names, ", ")
}

// dir is where the program runs, in the image.
func (l *launch) dir() string {
	if l.program.Dir != "" {
		return strings.TrimPrefix(l.program.Dir, "/")
	}
	return lang.SourceDir
}

func (l *launch) has(at string) bool { return l.there[at] }

func (l *launch) inPath(name string) (string, bool) {
	for _, dir := range searched {
		if at := path.Join(dir, name); l.has(at) {
			return at, true
		}
	}
	return "", false
}

// check makes sure that a file of the source can be executed, with all it needs. Of what a language made, scripts need their interpreter.
func (l *launch) check(at string) error {
	n, ok := l.source[at]
	if file := l.made[at]; !ok && file != "" {
		if head := headOf(file); bytes.HasPrefix(head, []byte("#!")) {
			return l.script(at, file, head)
		}
	}
	if !ok {
		return nil
	}
	f := &l.job.Tree.Files[n]
	file, name := l.job.Tree.Abs(f.Path), f.Path
	if f.Mode&fs.ModeSymlink != 0 {
		real, err := filepath.EvalSymlinks(file)
		if err != nil {
			return lang.Failure("CommandNotFound", "%s is a link to nothing", name)
		}
		file = real
	}
	head := headOf(file)
	switch {
	case isProgram(head) && l.opts.Local && l.opts.OS != "linux": // the system tells what it cannot execute
	case isProgram(head):
		if err := l.checkBinary(name, file); err != nil {
			return err
		}
		needed, own, err := l.libraries(l.job.Tree, name, file)
		if err != nil {
			return err
		}
		l.machine, l.own = append(l.machine, needed...), append(l.own, own...)
	case bytes.HasPrefix(head, []byte("#!")):
		if err := l.script(name, file, head); err != nil {
			return err
		}
	default:
		return lang.Failure("NotExecutable", "%s is neither a program nor a script: a script begins with a line such as #!/bin/sh", name)
	}
	if f.Mode.IsRegular() && f.Mode&0o111 == 0 {
		fmt.Fprintf(l.job.Log, "%s lacked the permission to be executed, and is given it\n", name)
		f.Mode |= 0o755
	}
	return nil
}

// script lays in the interpreter of a script.
func (l *launch) script(name, file string, head []byte) error {
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) == 0 || strings.HasSuffix(string(line), "\r") {
		return lang.Failure("NotExecutable", "the first line of %s names no interpreter that can be found: it must be such as #!/bin/sh, and end without a carriage return", name)
	}
	interpreter := words[0]
	if path.Base(interpreter) == "env" {
		if _, err := l.resolve("/usr/bin/env"); err != nil {
			return err
		}
		at := slices.IndexFunc(words[1:], func(w string) bool { return !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") })
		if at < 0 {
			return lang.Failure("NotExecutable", "the first line of %s names no interpreter after env", name)
		}
		interpreter = words[1+at]
	}
	if slices.Contains([]string{"sh", "bash", "dash"}, path.Base(interpreter)) {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading the source: %w", err)
		}
		if err := l.shell(string(text)); err != nil {
			return err
		}
	}
	if _, err := l.resolve(interpreter); err != nil {
		var f *build.Failure
		if errors.As(err, &f) {
			return lang.Failure(f.Reason, "the script %s: %s", name, f.Message)
		}
		return err
	}
	return nil
}

// shell lays in a shell with the programs that scripts expect, and those that this one names besides.
func (l *launch) shell(text string) error {
	if l.opts.Find("sh") == "" {
		return lang.ToolMissing("a program that is started by a shell", "sh", "a shell")
	}
	if l.opts.Local { // it is here
		return nil
	}
	c := system.New(l.opts.Root)
	add := func(name, at string) error {
		file := l.opts.Find(name)
		if file == "" || l.has(at) {
			return nil
		}
		return c.Program(file, at)
	}
	for _, name := range shellSet {
		if err := add(name, "usr/bin/"+name); err != nil {
			return err
		}
	}
	for _, name := range []string{"sh", "bash"} {
		if err := add(name, "bin/"+name); err != nil {
			return err
		}
	}
	for _, name := range mentioned {
		if regexp.MustCompile(`(^|[^A-Za-z0-9_./-])` + name + `\s`).MatchString(text) {
			if err := add(name, "usr/bin/"+name); err != nil {
				return err
			}
		}
	}
	l.take(c.Layer())
	return nil
}

// extra lays in programs that the user named.
func (l *launch) extra(names []string) error {
	for _, name := range names {
		file := l.opts.Find(name)
		if file == "" || strings.Contains(name, "/") {
			return lang.InvalidEnv("FUNC_PROGRAMS names %q, which is no program of this machine: install it, or leave it out", name)
		}
		if err := l.lay(file, "usr/bin/"+name); err != nil {
			return err
		}
	}
	return nil
}

// lay puts a program of this machine into the image with its libraries.
func (l *launch) lay(file, at string) error {
	if l.opts.Local { // it is here
		l.there[at] = true
		return nil
	}
	c := system.New(l.opts.Root)
	if err := c.Program(file, at); err != nil {
		return err
	}
	l.take(c.Layer())
	return nil
}

// take adds what is not there yet.
func (l *launch) take(layer build.Layer) {
	for _, e := range layer {
		if l.there[e.Path] {
			continue
		}
		if !e.Mode.IsDir() {
			l.there[e.Path] = true
		}
		l.machine = append(l.machine, e)
	}
}

func regular(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular()
}

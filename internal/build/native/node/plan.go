package node

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// plan is what to build: a function, or a complete server.
type plan struct {
	root     string // directory of the project in the source: where package.json is, or the code
	manifest manifest
	manager  manager
	lock     string // path of the lock file; empty without one
	entry    string // file of the function in the source, as the user wrote it
	target   string // FUNC_NAME, or what the start script of the framework says
	sig      string
	server   *command // set for a complete server

	typescript bool
	// run is the file that is loaded, from the root of the source; it is entry unless something was compiled.
	run string
	// found is what the check told of the function.
	found []function
}

// command is a program with its arguments and the environment that its script sets.
type command struct {
	env  []string
	args []string
}

var codeFile = regexp.MustCompile(`\.(js|cjs|mjs|ts|cts|mts)$`)

func isCode(name string) bool { return codeFile.MatchString(name) && !strings.HasSuffix(name, ".d.ts") }

func isTypeScript(name string) bool {
	return strings.HasSuffix(name, ".ts") || strings.HasSuffix(name, ".mts") || strings.HasSuffix(name, ".cts")
}

func newPlan(j *lang.Job) (*plan, error) {
	t, e := j.Tree, j.Env
	p := &plan{root: t.Sub, target: e.Name, sig: strings.ToLower(e.Signature)}
	source := path.Join(t.Sub, e.Source)
	if e.Source != "" && !t.Has(source) { // a directory
		p.root = source
		if !hasBelow(t, source) {
			return nil, lang.Failure("SourceNotFound", "FUNC_SRC is %q, and the source has no such file or directory", e.Source)
		}
	}
	var err error
	if p.manifest, err = readManifest(t, path.Join(p.root, "package.json")); err != nil {
		return nil, err
	}
	if !p.manifest.present && p.root != t.Sub && t.Has(path.Join(t.Sub, "package.json")) { // FUNC_SRC is a directory of a project
		p.root = t.Sub
		if p.manifest, err = readManifest(t, path.Join(t.Sub, "package.json")); err != nil {
			return nil, err
		}
	}
	if p.manager, p.lock, err = chooseManager(t, p.root, p.manifest); err != nil {
		return nil, err
	}
	if err := p.chooseProgram(j, source); err != nil {
		return nil, err
	}
	return p, nil
}

func hasBelow(t *lang.Tree, dir string) bool {
	return slices.ContainsFunc(t.Files, func(f lang.File) bool {
		_, in := lang.Below(dir, f.Path)
		return in
	})
}

// chooseProgram decides between a server and a function, and finds the file of the latter.
func (p *plan) chooseProgram(j *lang.Job, source string) error {
	if j.Env.Command != "" { // which says what is started
		p.server = &command{args: []string{"node"}}
		return nil
	}
	start := p.manifest.Scripts["start"]
	if start != "" && p.target == "" && p.sig == "" && j.Env.Source == "" {
		c, err := parseScript(start)
		if err != nil {
			return err
		}
		if !isFramework(c.args[0]) {
			fmt.Fprintf(j.Log, "found a complete server: the script \"start\" of %s (set FUNC_NAME to build a function instead)\n", p.manifest.path)
			p.server = &c
			return nil
		}
		source = path.Join(p.root, p.frameworkFlags(c.args[1:]))
	}
	dir := p.root
	switch {
	case j.Tree.Has(source):
		p.entry = source
	case source != p.root && hasBelow(j.Tree, source):
		dir = source
		fallthrough
	default:
		if err := p.chooseEntry(j.Tree, dir); err != nil {
			return err
		}
	}
	p.run, p.typescript = p.entry, isTypeScript(p.entry)
	what := "function"
	if p.target != "" {
		what = "function " + p.target
	}
	fmt.Fprintf(j.Log, "found %s in %s\n", what, p.entry)
	return nil
}

// names of files that are looked for when nothing names one, in this order.
var entryNames = []string{"index", "function", "main", "app", "src/index", "src/function", "src/main", "src/app"}

// chooseEntry finds the file of the function in a directory: the main of package.json, a usual name, or the only file of code.
func (p *plan) chooseEntry(t *lang.Tree, dir string) error {
	if main := p.manifest.Main; main != "" && dir == p.root {
		for _, candidate := range mainCandidates(path.Join(dir, main)) {
			if t.Has(candidate) {
				p.entry = candidate
				return nil
			}
		}
	}
	for _, name := range entryNames {
		for _, ext := range []string{".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"} {
			if candidate := path.Join(dir, name+ext); t.Has(candidate) {
				p.entry = candidate
				return nil
			}
		}
	}
	var code []string
	for _, f := range t.Files {
		if rel, in := lang.Below(dir, f.Path); in && !strings.Contains(rel, "/") && isCode(rel) && !notEntry.MatchString(rel) {
			code = append(code, f.Path)
		}
	}
	switch {
	case len(code) == 1:
		p.entry = code[0]
		return nil
	case len(code) > 1:
		return lang.Failure("HandlerMissing", "several files could be the function: %s. Name one with \"main\" in package.json or with FUNC_SRC in build.env", strings.Join(code, ", "))
	case p.manifest.Main != "":
		return lang.Failure("HandlerMissing", "%s names %s as \"main\", and the source has no such file", p.manifest.path, p.manifest.Main)
	}
	return lang.Failure("HandlerMissing", "no file of code was found%s: name it with \"main\" in package.json or with FUNC_SRC in build.env", lang.At(dir))
}

var notEntry = regexp.MustCompile(`(^|\.)(config|test|spec|setup|conf)\.[cm]?[jt]s$|^\.`)

// mainCandidates are the files that "main" may mean, with those it is compiled from.
func mainCandidates(main string) []string {
	stem := strings.TrimSuffix(main, path.Ext(main))
	all := []string{main, main + ".js", main + ".cjs", main + ".mjs", path.Join(main, "index.js")}
	for _, s := range []string{main, stem, path.Join(main, "index")} {
		all = append(all, s+".ts", s+".mts", s+".cts")
	}
	return all
}

func isFramework(program string) bool {
	return program == "functions-framework" || program == "functions-framework-nodejs"
}

// frameworkFlags takes over what a start script tells the framework, and returns its source, which may be empty.
func (p *plan) frameworkFlags(args []string) (source string) {
	for i := 0; i < len(args); i++ {
		flag, value, ok := strings.Cut(args[i], "=")
		if !ok && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch flag {
		case "--target":
			p.target = value
		case "--signature-type":
			p.sig = value
			if value == "event" {
				p.sig = "cloudevent"
			}
		case "--source":
			source = path.Clean("/" + value)[1:]
		}
	}
	return source
}

var (
	shellWords = regexp.MustCompile("[|&;<>()$`\\\\*?#!{}\\[\\]\n]")
	assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
)

// parseScript splits a script that needs no shell, because images have none.
func parseScript(script string) (command, error) {
	var c command
	words := strings.Fields(script)
	for len(words) > 0 && (assignment.MatchString(words[0]) || words[0] == "cross-env") {
		if words[0] != "cross-env" {
			c.env = append(c.env, words[0])
		}
		words = words[1:]
	}
	for _, w := range words {
		if plain := strings.Trim(w, `"'`); shellWords.MatchString(plain) {
			return c, lang.Failure("StartUnsupported", "the script \"start\" of package.json is %q, which needs a shell, and images have none: make it one command such as \"node server.js\"", script)
		}
		c.args = append(c.args, strings.Trim(w, `"'`))
	}
	if len(c.args) == 0 {
		return c, lang.Failure("StartUnsupported", "the script \"start\" of package.json is %q, which starts nothing", script)
	}
	return c, nil
}

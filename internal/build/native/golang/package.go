package golang

import (
	"errors"
	"fmt"
	"go/ast"
	gobuild "go/build"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

const (
	frameworkModule = "github.com/OpenFunction/functions-framework-go"
	functionsPath   = frameworkModule + "/functions"
	generatedName   = "ofn_generated_main.go"
)

// goPackage is one package of the user, parsed but not type-checked: what it must hold for a main to be rendered can be read
// from its declarations, and the compiler checks the rest in the one build.
type goPackage struct {
	dir     string // from the root of the source
	name    string
	imports []string
	hasMain bool
	funcs   []goFunc
	// declared are the functions that the package declares itself; none when they are not known.
	declared []build.Function
}

// goFunc is a function of the package, or a variable that holds one.
type goFunc struct {
	name string
	pos  token.Position // file from the root of the source
	typ  string         // as written
	kind kind           // "" when it cannot be served
}

// parseDir reads the files of a package that are compiled for the target.
func parseDir(t *lang.Tree, dir string, match gobuild.Context) (*goPackage, error) {
	p := &goPackage{dir: dir}
	fset := token.NewFileSet()
	var files []*ast.File
	var broken scanner.ErrorList
	nameFrom := ""
	for _, f := range t.Files {
		if path.Dir(f.Path) != dir || !isGo(f.Path) {
			continue
		}
		if ok, err := match.MatchFile(t.Abs(dir), path.Base(f.Path)); err == nil && !ok {
			continue
		}
		src, err := os.ReadFile(t.Abs(f.Path))
		if err != nil {
			return nil, fmt.Errorf("reading the source: %w", err)
		}
		parsed, err := parser.ParseFile(fset, f.Path, src, parser.SkipObjectResolution)
		var list scanner.ErrorList
		if errors.As(err, &list) {
			broken = append(broken, list...)
			continue
		}
		if p.name == "" {
			p.name, nameFrom = parsed.Name.Name, f.Path
		}
		if parsed.Name.Name != p.name {
			return nil, lang.Failure("CompileFailed", "%s is of package %s, but %s is of package %s: files of one directory belong to one package", nameFrom, p.name, f.Path, parsed.Name.Name)
		}
		files = append(files, parsed)
	}
	if len(broken) > 0 {
		return nil, syntaxErrors(broken)
	}
	p.read(fset, files)
	return p, nil
}

func syntaxErrors(list scanner.ErrorList) error {
	const most = 10
	list.RemoveMultiples()
	var b strings.Builder
	for i, e := range list {
		if i == most {
			fmt.Fprintf(&b, "and %d more\n", len(list)-most)
			break
		}
		fmt.Fprintf(&b, "%s: syntax error: %s\n", e.Pos, e.Msg)
	}
	return lang.Failure("CompileFailed", "%s", strings.TrimSpace(b.String()))
}

func (p *goPackage) read(fset *token.FileSet, files []*ast.File) {
	aliases := typeAliases(files)
	if found, ok := declaredIn(files); ok {
		p.declared = found
	}
	for _, f := range files {
		s := newScope(f, aliases)
		for _, spec := range f.Imports {
			if v, err := strconv.Unquote(spec.Path.Value); err == nil && !slices.Contains(p.imports, v) {
				p.imports = append(p.imports, v)
			}
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil {
					continue
				}
				if d.Name.Name == "main" && p.name == "main" {
					p.hasMain = true
				}
				p.add(fset, s, d.Name, d.Type)
			case *ast.GenDecl:
				p.addVars(fset, s, d)
			}
		}
	}
}

// addVars takes variables that are initialised with, or typed as, a function.
func (p *goPackage) addVars(fset *token.FileSet, s scope, d *ast.GenDecl) {
	if d.Tok != token.VAR {
		return
	}
	for _, spec := range d.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range v.Names {
			if t, ok := v.Type.(*ast.FuncType); ok {
				p.add(fset, s, name, t)
			} else if v.Type == nil && i < len(v.Values) {
				if lit, ok := v.Values[i].(*ast.FuncLit); ok {
					p.add(fset, s, name, lit.Type)
				}
			}
		}
	}
}

func (p *goPackage) add(fset *token.FileSet, s scope, name *ast.Ident, t *ast.FuncType) {
	p.funcs = append(p.funcs, goFunc{name: name.Name, pos: fset.Position(name.Pos()), typ: typeText(t), kind: s.classify(t)})
}

// find chooses the function to serve: the one named, or without a name the only one that can be.
func (p *goPackage) find(name string) (goFunc, error) {
	if name == "" {
		return p.only()
	}
	for _, f := range p.funcs {
		switch {
		case f.name == name && !ast.IsExported(name):
			return goFunc{}, lang.Failure("SignatureMismatch", "%s: function %s is not exported: rename it to %s, in FUNC_NAME too", f.pos, name, exported(name))
		case f.name == name && f.kind == "":
			return goFunc{}, lang.Failure("SignatureMismatch", "%s: function %s has the signature %s, which cannot be served; it must be one of:\n%s", f.pos, name, f.typ, signatures)
		case f.name == name:
			return f, nil
		}
	}
	for _, f := range p.funcs {
		if strings.EqualFold(f.name, name) {
			hint := "set FUNC_NAME to " + f.name
			if !ast.IsExported(f.name) {
				hint = "rename it to " + exported(f.name) + ", because only exported functions can be served"
			}
			return goFunc{}, lang.Failure("FunctionNotFound", "FUNC_NAME is %q, but %s declares %s: %s", name, f.pos, f.name, hint)
		}
	}
	return goFunc{}, lang.Failure("FunctionNotFound", "FUNC_NAME is %q, but package %s%s has no function of that name; %s", name, p.name, lang.At(p.dir), p.candidates())
}

// only takes a function from JSON to JSON when there is no other: many helpers look like one.
func (p *goPackage) only() (goFunc, error) {
	var found, likely []goFunc
	for _, f := range p.funcs {
		if f.kind != "" && ast.IsExported(f.name) {
			found = append(found, f)
			if f.kind != typed {
				likely = append(likely, f)
			}
		}
	}
	if len(likely) > 0 {
		found = likely
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return goFunc{}, lang.Failure("FunctionNotFound", "package %s%s has no exported function that can be served; %s. It must have one of these signatures:\n%s", p.name, lang.At(p.dir), p.candidates(), signatures)
	}
	return goFunc{}, lang.Failure("FunctionNotFound", "package %s%s has several functions that can be served: say which in FUNC_NAME of build.env; %s", p.name, lang.At(p.dir), p.candidates())
}

func (p *goPackage) candidates() string {
	const most = 12
	var names []string
	for _, f := range p.funcs {
		if f.name == "init" || f.name == "main" {
			continue
		}
		if len(names) == most {
			names = append(names, "…")
			break
		}
		what := f.kind.signature()
		if what == "" {
			what = "cannot be served"
		} else if !ast.IsExported(f.name) {
			what += ", not exported"
		}
		names = append(names, fmt.Sprintf("%s (%s, %s:%d)", f.name, what, f.pos.Filename, f.pos.Line))
	}
	if len(names) == 0 {
		return "it has no functions"
	}
	return "it has: " + strings.Join(names, ", ")
}

func exported(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

func isGo(p string) bool {
	return strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_test.go")
}

// goDirs lists the directories that hold Go files, for messages.
func goDirs(t *lang.Tree) string {
	const most = 12
	var dirs []string
	for _, f := range t.Files {
		if d := path.Dir(f.Path); isGo(f.Path) && !slices.Contains(dirs, d) && len(dirs) < most {
			dirs = append(dirs, d)
		}
	}
	if len(dirs) == 0 {
		return "the source has no Go files at all"
	}
	return "Go files are in: " + strings.Join(dirs, ", ")
}

// moduleImports collects what the files of a module import; directories the go command passes over are passed over.
func moduleImports(t *lang.Tree, root string) []string {
	seen := map[string]bool{}
	fset := token.NewFileSet()
	for _, f := range t.Files {
		rel, in := lang.Below(root, f.Path)
		if !in || !isGo(f.Path) || skipped(path.Dir(rel)) {
			continue
		}
		parsed, err := parser.ParseFile(fset, filepath.Join(t.Root, f.Path), nil, parser.ImportsOnly)
		if err != nil {
			continue // the compiler will say it, if the file counts
		}
		for _, spec := range parsed.Imports {
			if v, err := strconv.Unquote(spec.Path.Value); err == nil {
				seen[v] = true
			}
		}
	}
	paths := make([]string, 0, len(seen))
	for p := range seen {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths
}

func skipped(dir string) bool {
	return slices.ContainsFunc(strings.Split(dir, "/"), func(s string) bool {
		return s == "vendor" || s == "testdata" || strings.HasPrefix(s, "_") || (strings.HasPrefix(s, ".") && s != ".")
	})
}

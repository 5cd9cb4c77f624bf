package golang

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

//go:embed main.go.tmpl
var mainText string

// mainData is what the template of a main sees.
type mainData struct {
	Framework string
	Import    string // the user's package; empty when main is added to it
	Call      string // the function: "function.HelloWorld"
	Lean      bool
	Wasm      string // import path of what makes a WebAssembly handler; empty for a process
	Blank     bool   // import for its registrations only
	Declare   string // the function of package functions that declares it under Name; empty when it is registered as it is
	Name      string
	Plugins   []plugin
	Tracing   string // the last element of the import path of the framework's plugin; empty for none
}

// writeMain renders the main a function lacks and sets what to build.
func (g *Golang) writeMain(j *job, p *plan) error {
	rel, _ := lang.Below(".", p.pkg.dir)
	p.target = "./" + rel
	if !p.generates() {
		return nil
	}
	d := mainData{Framework: frameworkModule, Lean: p.lean, Plugins: p.plugins, Call: p.fn.name, Declare: p.kind.declared(), Name: p.fn.name, Tracing: j.env.Tracing}
	if p.wasm {
		d.Wasm = wasmModule
	}
	switch {
	case p.inPlace:
	case p.kind == declarative:
		d.Import, d.Blank = p.module.importPath(p.pkg.dir), true
	default:
		d.Import, d.Call = p.module.importPath(p.pkg.dir), "function."+p.fn.name
	}
	t, err := template.New("main").Parse(mainText)
	if err != nil {
		return fmt.Errorf("reading the template of main: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, d); err != nil {
		return fmt.Errorf("rendering main: %w", err)
	}
	if p.inPlace {
		return replaceFile(filepath.Join(j.Tree.Abs(p.pkg.dir), generatedName), b.Bytes())
	}
	dir := filepath.Join(j.Work, "main")
	if err := os.Mkdir(dir, 0o750); err != nil {
		return fmt.Errorf("writing main: %w", err)
	}
	p.target = dir
	gomod := fmt.Sprintf("module %s\n\ngo %s\n", path.Join(d.Import, generatedModule), strings.TrimPrefix(g.version, "go"))
	if err := replaceFile(filepath.Join(dir, "go.mod"), []byte(gomod)); err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, "main.go"), b.Bytes())
}

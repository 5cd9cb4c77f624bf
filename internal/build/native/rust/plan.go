package rust

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// manifest is what a build wants to know of a Cargo.toml.
type manifest struct {
	Package *struct {
		Name string `toml:"name"`
	} `toml:"package"`
	Lib *struct {
		Path string `toml:"path"`
	} `toml:"lib"`
	Bin []struct {
		Name string `toml:"name"`
		Path string `toml:"path"`
	} `toml:"bin"`
	Dependencies map[string]any            `toml:"dependencies"`
	Profile      map[string]map[string]any `toml:"profile"`
	Patch        map[string]map[string]any `toml:"patch"`
	Workspace    *struct {
		Members []string `toml:"members"`
	} `toml:"workspace"`
}

// plan is what to do with a Rust source.
type plan struct {
	dir      string // of the package, from the root of the source
	manifest manifest
	single   string // the file of a source without Cargo.toml
	lock     string // Cargo.lock; empty without one
	lockText []byte
	config   bool // the source has settings of cargo

	file     string // of the function, from the root of the source
	name     string // path of the function inside the crate
	line     int
	text     string   // its declaration
	register bool     // it returns the functions of the application
	program  string   // a complete program: the name of its binary
	programs []string // all of them, where a command says which is started
}

func (p *plan) describe() string {
	switch {
	case p.program != "":
		return "the Rust program " + p.program + lang.At(p.dir)
	case p.register:
		return fmt.Sprintf("a Rust library that names its functions itself, at %s:%d", p.file, p.line)
	case p.line == 0:
		return "Rust function " + p.name + " of " + p.file
	}
	return fmt.Sprintf("Rust function %s at %s:%d", p.name, p.file, p.line)
}

// compilesC tells whether a dependency is likely to compile code in C.
func (p *plan) compilesC() bool { return strings.Contains(string(p.lockText), "name = \"cc\"\n") }

func newPlan(j *lang.Job) (*plan, error) {
	p := &plan{dir: j.Tree.Sub}
	if src := path.Join(j.Tree.Sub, j.Env.Source); j.Env.Source != "" && slices.Contains(j.Tree.Dirs, src) {
		p.dir = src
	} else if sub := nested(j.Tree); j.Env.Source == "" && sub != "" {
		p.dir = sub
	}
	if !j.Tree.Has(path.Join(p.dir, "Cargo.toml")) {
		if err := p.findFile(j); err != nil {
			return nil, err
		}
	} else if err := p.readManifest(j); err != nil {
		return nil, err
	}
	for at := p.dir; ; at = path.Dir(at) {
		if name := path.Join(at, "Cargo.lock"); p.lock == "" && j.Tree.Has(name) {
			p.lock = name
		}
		p.config = p.config || j.Tree.Has(path.Join(at, ".cargo/config.toml")) || j.Tree.Has(path.Join(at, ".cargo/config"))
		if at == "." {
			break
		}
	}
	if p.lock != "" {
		var err error
		if p.lockText, err = os.ReadFile(j.Tree.Abs(p.lock)); err != nil {
			return nil, fmt.Errorf("reading %s: %w", p.lock, err)
		}
	}
	return p, p.findFunction(j)
}

// findFile looks for the one file of Rust of a source without Cargo.toml.
func (p *plan) findFile(j *lang.Job) error {
	var files []string
	for _, f := range j.Tree.Files {
		rel, in := lang.Below(p.dir, f.Path)
		if in && strings.HasSuffix(rel, ".rs") && !strings.Contains(rel, "/") && (j.Env.Source == "" || rel == path.Base(j.Env.Source) || path.Join(j.Tree.Sub, j.Env.Source) == p.dir) {
			files = append(files, f.Path)
		}
	}
	if len(files) != 1 {
		return lang.Failure("SourceEmpty", "there is no Cargo.toml%s and not one file of Rust alone, but %d: add a Cargo.toml, or name the file in FUNC_SRC", lang.At(p.dir), len(files))
	}
	p.single, p.file = files[0], files[0]
	return nil
}

func (p *plan) readManifest(j *lang.Job) error {
	name := path.Join(p.dir, "Cargo.toml")
	data, err := os.ReadFile(j.Tree.Abs(name))
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if err := toml.Unmarshal(data, &p.manifest); err != nil {
		return lang.Failure("ManifestInvalid", "%s cannot be read: %v", name, err)
	}
	if p.manifest.Package == nil {
		return lang.Failure("ManifestInvalid", "%s is of a workspace and has no [package]: say in FUNC_SRC which of its members to build", name)
	}
	p.file = path.Join(p.dir, "src/lib.rs")
	if l := p.manifest.Lib; l != nil && l.Path != "" {
		p.file = path.Join(p.dir, l.Path)
	}
	return nil
}

// declared finds functions of a file that others may call. What it misses, the compiler does not.
var declared = regexp.MustCompile(`(?m)^pub\s+(?:async\s+)?fn\s+([A-Za-z_][A-Za-z0-9_]*)[^{;]*`)

const mainFunction = `(?m)^(?:pub\s+)?(?:async\s+)?fn\s+main\s*\(`

type found struct {
	name, text string
	line       int
}

// findFunction decides what is served: the function of a library, or a complete program.
func (p *plan) findFunction(j *lang.Job) error {
	library := p.file
	var text []byte
	if j.Tree.Has(library) {
		var err error
		if text, err = os.ReadFile(j.Tree.Abs(library)); err != nil {
			return fmt.Errorf("reading %s: %w", library, err)
		}
	}
	bins := p.binaries(j)
	if p.single != "" && regexp.MustCompile(mainFunction).Match(text) {
		p.program = "function"
		return nil
	}
	if j.Env.Command != "" && len(bins) > 0 {
		p.program, p.programs = commandProgram(j.Env, bins), bins
		return nil
	}
	functions := functionsOf(string(text))
	i := slices.IndexFunc(functions, func(f found) bool { return f.name == j.Env.Name })
	switch {
	case text == nil && len(bins) == 0:
		return lang.Failure("SourceEmpty", "there is neither %s nor src/main.rs%s", path.Base(library), lang.At(p.dir))
	case i >= 0:
		p.use(functions[i])
	case slices.Contains(bins, j.Env.Name):
		p.program = j.Env.Name
	case len(bins) > 0:
		return p.onlyProgram(bins, j.Env.Name)
	default:
		return p.choose(functions, string(text), j.Env.Name)
	}
	return nil
}

func (p *plan) onlyProgram(bins []string, name string) error {
	if len(bins) > 1 {
		return lang.Failure("FunctionNotFound", "the package has the programs %s: say which in FUNC_NAME of build.env, which is %q", strings.Join(bins, ", "), name)
	}
	p.program = bins[0]
	return nil
}

// choose takes the named function, or the only one that could be meant.
func (p *plan) choose(functions []found, text, name string) error {
	var names []string
	var likely []found
	served := regexp.MustCompile(`\b(Request|Event|Context|Json)\b`)
	for _, f := range functions {
		names = append(names, f.name)
		if served.MatchString(f.text) {
			likely = append(likely, f)
		}
	}
	there := "it has no public function"
	if len(names) > 0 {
		there = "there are: " + strings.Join(names, ", ")
	}
	if name != "" {
		if strings.Contains(name, "::") || strings.Contains(text, "pub use ") {
			p.name = name // the compiler knows
			return nil
		}
		return lang.Failure("FunctionNotFound", "FUNC_NAME is %q, but %s has no `pub fn %s`; %s", name, p.file, name, there)
	}
	if i := slices.IndexFunc(functions, func(f found) bool { return f.name == "functions" && strings.Contains(f.text, "Vec<") }); i >= 0 {
		p.use(functions[i])
		return nil
	}
	if len(likely) == 0 && len(functions) == 1 {
		likely = functions
	}
	if len(likely) != 1 {
		return lang.Failure("FunctionNotFound", "say in FUNC_NAME of build.env which function of %s to serve; %s. It must be one of:\n%s", p.file, there, signatures)
	}
	p.use(likely[0])
	return nil
}

const signatures = `  pub fn NAME(request: ofn_functions::Request) -> impl IntoResponse
  pub fn NAME(event: ofn_functions::Event) -> impl IntoEventAnswer
  pub fn NAME(value: ofn_functions::Json<T>) -> impl IntoTyped
  pub fn NAME(context: ofn_functions::Context, data: ofn_functions::Bytes) -> impl IntoOut
async or not, with or without a Result, or one that names several:
  pub fn functions() -> Vec<ofn_functions::Function>`

func (p *plan) use(f found) {
	p.name, p.line, p.text = f.name, f.line, f.text
	p.register = f.name == "functions" && strings.Contains(f.text, "Vec<")
}

func functionsOf(text string) []found {
	var all []found
	for _, m := range declared.FindAllStringSubmatchIndex(text, -1) {
		all = append(all, found{name: text[m[2]:m[3]], text: strings.Join(strings.Fields(text[m[0]:m[1]]), " "), line: 1 + strings.Count(text[:m[0]], "\n")})
	}
	return all
}

// binaries are the names of the package's programs.
func (p *plan) binaries(j *lang.Job) []string {
	var names []string
	if p.manifest.Package != nil && j.Tree.Has(path.Join(p.dir, "src/main.rs")) {
		names = append(names, p.manifest.Package.Name)
	}
	for _, b := range p.manifest.Bin {
		if b.Path == "src/main.rs" {
			names = names[:0]
		}
	}
	for _, b := range p.manifest.Bin {
		if !slices.Contains(names, b.Name) {
			names = append(names, b.Name)
		}
	}
	for _, f := range j.Tree.Files {
		if rel, in := lang.Below(path.Join(p.dir, "src/bin"), f.Path); in && strings.HasSuffix(rel, ".rs") && !strings.Contains(rel, "/") {
			if name := strings.TrimSuffix(rel, ".rs"); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// serves tells whether what is built uses the framework.
func (p *plan) serves() bool {
	if p.program == "" || p.single != "" {
		return true
	}
	_, ok := p.manifest.Dependencies[FrameworkName]
	return ok
}

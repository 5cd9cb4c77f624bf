package rust

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// The crate that is rendered around a function.
const (
	generated = "ofn-generated-main"
	program   = "function"
)

// profile is how programs are optimised where the user says nothing.
func profile() map[string]any { return map[string]any{"strip": "debuginfo"} }

// write writes the crate that is built, beside the source.
func (r *Rust) write(_ context.Context, j *job) error {
	if err := touch(j.Tree); err != nil {
		return err
	}
	p := j.plan
	j.crate = filepath.Join(j.Work, "main")
	files := map[string][]byte{}
	dependencies := map[string]any{FrameworkName: map[string]any{"path": r.fwDir}}
	document := map[string]any{
		"package":      map[string]any{"name": generated, "version": "0.0.0", "edition": "2021"},
		"dependencies": dependencies,
		"patch":        r.patches(j),
		"workspace":    map[string]any{},
		"profile":      map[string]any{"release": release(p.manifest)},
	}
	switch {
	case p.program != "" && p.single == "":
		j.crate = j.Tree.Abs(p.dir)
		return nil
	case p.single != "":
		dependencies["serde"] = map[string]any{"version": "1", "features": []string{"derive"}}
		dependencies["serde_json"] = "1"
	}
	if p.single != "" && p.program != "" {
		document["bin"] = []any{map[string]any{"name": program, "path": j.Tree.Abs(p.single)}}
	} else {
		if p.single != "" {
			files["function/Cargo.toml"] = fmt.Appendf(nil, "[package]\nname = \"user\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[lib]\npath = %q\n\n[dependencies]\n%s = \"*\"\nserde = { version = \"1\", features = [\"derive\"] }\nserde_json = \"1\"\n",
				j.Tree.Abs(p.single), FrameworkName)
			dependencies["function"] = map[string]any{"path": "function", "package": "user"}
		} else {
			dependencies["function"] = map[string]any{"path": j.Tree.Abs(p.dir), "package": p.manifest.Package.Name}
		}
		files["src/"+sourceName(j)] = []byte(mainText(p, j.triple == wasmTriple))
		if j.triple == wasmTriple {
			document["lib"] = map[string]any{"crate-type": []string{"cdylib"}, "name": program}
		} else {
			document["bin"] = []any{map[string]any{"name": program, "path": "src/main.rs"}}
		}
	}
	text, err := toml.Marshal(document)
	if err != nil {
		return fmt.Errorf("rendering the manifest: %w", err)
	}
	files["Cargo.toml"] = text
	files["Cargo.lock"] = r.lock(p)
	if err := lang.WriteFiles(j.crate, files); err != nil {
		return fmt.Errorf("writing the main of the function: %w", err)
	}
	return nil
}

func sourceName(j *job) string {
	if j.triple == wasmTriple {
		return "lib.rs"
	}
	return "main.rs"
}

// lock is what versions to begin with: the user's, or those that the framework is tested with.
func (r *Rust) lock(p *plan) []byte {
	if p.lock != "" {
		return p.lockText
	}
	return r.opts.Framework["Cargo.lock"]
}

// mainText is the text of the rendered crate.
func mainText(p *plan, wasm bool) string {
	name := p.name[strings.LastIndex(p.name, ":")+1:]
	functions := fmt.Sprintf("vec![ofn_functions::function(%q, function::%s)]", name, p.name)
	if p.register {
		functions = "function::functions()"
	}
	const head = "//! Rendered by ofn: the main of a function.\n\n"
	if !wasm {
		return head + "fn main() {\n    ofn_functions::serve(" + functions + ")\n}\n"
	}
	return head + "static KEPT: std::sync::OnceLock<ofn_functions::Kept> = std::sync::OnceLock::new();\n\n" +
		"#[no_mangle]\npub extern \"C\" fn ofn_handle() -> i32 {\n    ofn_functions::handle(&KEPT, || " + functions + ")\n}\n"
}

// release is the user's profile, but that a panic must not end the process.
func release(m manifest) map[string]any {
	given := m.Profile["release"]
	if given == nil {
		return profile()
	}
	delete(given, "panic")
	return given
}

// patches are the user's, and the framework's source wherever its crate is named.
func (r *Rust) patches(j *job) map[string]map[string]any {
	all := map[string]map[string]any{}
	for registry, crates := range j.plan.manifest.Patch {
		all[registry] = map[string]any{}
		for name, v := range crates {
			if m, ok := v.(map[string]any); ok {
				if dir, ok := m["path"].(string); ok && !path.IsAbs(dir) {
					m["path"] = j.Tree.Abs(path.Join(j.plan.dir, dir))
				}
			}
			all[registry][name] = v
		}
	}
	if all["crates-io"] == nil {
		all["crates-io"] = map[string]any{}
	}
	all["crates-io"][FrameworkName] = map[string]any{"path": r.fwDir}
	return all
}

// touch makes the source younger than anything that was compiled of it before. Cargo goes by these times, and those of a source may be
// of any age.
func touch(t *lang.Tree) error {
	now := time.Now()
	for _, f := range t.Files {
		if !f.Mode.IsRegular() {
			continue
		}
		if err := os.Chtimes(t.Abs(f.Path), now, now); err != nil {
			return fmt.Errorf("preparing the source: %w", err)
		}
	}
	return nil
}

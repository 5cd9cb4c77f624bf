package golang

import (
	"go/ast"
	"go/types"
	"strconv"
	"strings"
)

// kind is the manner in which a source is served.
type kind string

const (
	httpFunc     kind = "http"
	cloudEvent   kind = "cloudevent"
	eventReply   kind = "cloudevent with a reply"
	typed        kind = "typed"
	openFunction kind = "openfunction"
	declarative  kind = "declarative" // registers its functions itself
	completeMain kind = "main"        // a whole program
)

// signature is the kind as FUNC_TYPE and labels say it.
func (k kind) signature() string {
	if k == eventReply {
		return string(cloudEvent)
	}
	return string(k)
}

// declared is the function of package functions by which a function of this kind is declared; empty when it is registered as it is.
func (k kind) declared() string {
	return map[kind]string{eventReply: "CloudEventReply", typed: "Typed"}[k]
}

const signatures = `  func(http.ResponseWriter, *http.Request)
  func(context.Context, cloudevents.Event) error
  func(context.Context, cloudevents.Event) (*cloudevents.Event, error)
  func(context.Context, In) (Out, error), with any types that JSON can hold
  func(ofctx.Context, []byte) (ofctx.Out, error)`

const (
	cloudevents = "github.com/cloudevents/sdk-go/v2"
	ofctx       = frameworkModule + "/context"
)

// served maps a signature, written with import paths, to its kind.
var served = map[string]kind{
	"(net/http.ResponseWriter, *net/http.Request)":                                                 httpFunc,
	"(context.Context, " + cloudevents + ".Event) error":                                           cloudEvent,
	"(context.Context, " + cloudevents + "/event.Event) error":                                     cloudEvent,
	"(context.Context, " + cloudevents + ".Event) (*" + cloudevents + ".Event, error)":             eventReply,
	"(context.Context, " + cloudevents + ".Event) (*" + cloudevents + "/event.Event, error)":       eventReply,
	"(context.Context, " + cloudevents + "/event.Event) (*" + cloudevents + ".Event, error)":       eventReply,
	"(context.Context, " + cloudevents + "/event.Event) (*" + cloudevents + "/event.Event, error)": eventReply,
	"(" + ofctx + ".Context, []byte) (" + ofctx + ".Out, error)":                                   openFunction,
}

// scope resolves the names of one file.
type scope struct {
	imports map[string]string // name in this file -> import path
	dot     []string          // import paths whose names need no qualifier
	aliases map[string]ast.Expr
}

// defaultNames are the names of packages that differ from the last element of their path.
var defaultNames = map[string]string{cloudevents: "v2"}

func newScope(f *ast.File, aliases map[string]ast.Expr) scope {
	s := scope{imports: map[string]string{}, aliases: aliases}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := defaultNames[p]
		if name == "" {
			name = p[strings.LastIndexByte(p, '/')+1:]
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		switch name {
		case "_":
		case ".":
			s.dot = append(s.dot, p)
		default:
			s.imports[name] = p
		}
	}
	return s
}

// typeAliases are the `type A = B` of a package.
func typeAliases(files []*ast.File) map[string]ast.Expr {
	aliases := map[string]ast.Expr{}
	for _, f := range files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				if t, ok := spec.(*ast.TypeSpec); ok && t.Assign.IsValid() && t.TypeParams == nil {
					aliases[t.Name.Name] = t.Type
				}
			}
		}
	}
	return aliases
}

func (s scope) classify(t *ast.FuncType) kind {
	if t.TypeParams != nil {
		return ""
	}
	sig := "(" + s.list(t.Params) + ")"
	if t.Results != nil {
		results := s.list(t.Results)
		if strings.Contains(results, ", ") {
			results = "(" + results + ")"
		}
		sig += " " + results
	}
	if k := served[sig]; k != "" {
		return k
	}
	for _, p := range s.dot { // a dot import may have given any of the unqualified names
		for _, name := range []string{"ResponseWriter", "Request", "Context", "Event", "Out"} {
			sig = replaceWord(sig, name, p+"."+name)
		}
	}
	if k := served[sig]; k != "" {
		return k
	}
	return s.typed(t)
}

// typed tells a function from JSON to JSON. Types of events and of the OpenFunction context are more likely a mistake in another signature.
func (s scope) typed(t *ast.FuncType) kind {
	params, results := s.types(t.Params), s.types(t.Results)
	if len(params) != 2 || len(results) != 2 || params[0] != "context.Context" || results[1] != "error" {
		return ""
	}
	for _, data := range []string{params[1], results[0]} {
		for _, not := range []string{cloudevents, ofctx, "net/http.", "...", "func(", "chan ", "<-chan "} {
			if strings.HasPrefix(strings.TrimLeft(data, "*"), not) {
				return ""
			}
		}
	}
	return typed
}

// list writes parameter or result types, one for every name.
func (s scope) list(fields *ast.FieldList) string { return strings.Join(s.types(fields), ", ") }

func (s scope) types(fields *ast.FieldList) []string {
	if fields == nil {
		return nil
	}
	var out []string
	for _, f := range fields.List {
		text := s.text(f.Type, 0)
		for range max(1, len(f.Names)) {
			out = append(out, text)
		}
	}
	return out
}

// text writes a type with import paths for package names, through aliases of the package.
func (s scope) text(e ast.Expr, depth int) string {
	const deepest = 8 // aliases may go in circles
	switch e := e.(type) {
	case *ast.ParenExpr:
		return s.text(e.X, depth)
	case *ast.StarExpr:
		return "*" + s.text(e.X, depth)
	case *ast.ArrayType:
		if e.Len == nil {
			return strings.Replace("[]"+s.text(e.Elt, depth), "[]uint8", "[]byte", 1)
		}
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			if p := s.imports[x.Name]; p != "" {
				return p + "." + e.Sel.Name
			}
		}
	case *ast.Ident:
		if to, ok := s.aliases[e.Name]; ok && depth < deepest {
			return s.text(to, depth+1)
		}
		return e.Name
	}
	return types.ExprString(e)
}

// replaceWord replaces an unqualified name.
func replaceWord(s, name, by string) string {
	for _, before := range []string{"(", " ", "*"} {
		s = strings.ReplaceAll(s, before+name+",", before+by+",")
		s = strings.ReplaceAll(s, before+name+")", before+by+")")
	}
	return s
}

func typeText(t *ast.FuncType) string { return types.ExprString(t) }

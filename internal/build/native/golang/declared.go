package golang

import (
	"go/ast"
	"go/token"
	"strconv"

	"github.com/openfunction/ofn/internal/build"
)

// declarations are the functions of package functions that declare one, with the signature of what they declare.
var declarations = map[string]kind{"HTTP": httpFunc, "CloudEvent": cloudEvent, "CloudEventReply": cloudEvent, "Typed": typed, "OpenFunction": openFunction}

// declaredIn reads which functions the files of a package declare. It is not ok when something of them is only known when the program runs.
func declaredIn(files []*ast.File) (found []build.Function, ok bool) {
	ok = true
	for _, f := range files {
		s := newScope(f, nil)
		ast.Inspect(f, func(n ast.Node) bool {
			call, isCall := n.(*ast.CallExpr)
			if !isCall {
				return true
			}
			k, is := declarations[s.ofFunctions(call.Fun)]
			if !is {
				return true
			}
			fn, known := s.declaration(call, k)
			found, ok = append(found, fn), ok && known
			return false
		})
	}
	return found, ok
}

// ofFunctions is the name of a member of package functions, or empty.
func (s scope) ofFunctions(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.IndexExpr: // Typed[In]
		e = x.X
	case *ast.IndexListExpr: // Typed[In, Out]
		e = x.X
	}
	if sel, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := sel.X.(*ast.Ident); ok && s.imports[x.Name] == functionsPath {
			return sel.Sel.Name
		}
	}
	return ""
}

// declaration reads functions.HTTP("name", fn, options...).
func (s scope) declaration(call *ast.CallExpr, k kind) (build.Function, bool) {
	fn := build.Function{Signature: string(k), Path: "/"}
	if len(call.Args) < 2 || call.Ellipsis.IsValid() {
		return fn, false
	}
	var ok bool
	if fn.Name, ok = text(call.Args[0]); !ok {
		return fn, false
	}
	for _, arg := range call.Args[2:] {
		option, isCall := arg.(*ast.CallExpr)
		if !isCall || option.Ellipsis.IsValid() {
			return fn, false
		}
		var words []string
		for _, a := range option.Args {
			w, ok := text(a)
			if !ok {
				return fn, false
			}
			words = append(words, w)
		}
		switch name := s.ofFunctions(option.Fun); {
		case name == "WithFunctionPath" && len(words) == 1:
			fn.Path = words[0]
		case name == "WithFunctionMethods":
			fn.Methods = words
		default:
			return fn, false
		}
	}
	return fn, true
}

// text is the value of a literal.
func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	v, err := strconv.Unquote(lit.Value)
	return v, err == nil
}

// functions are those that a plan serves; none when they are not known.
func (p *plan) functions() []build.Function {
	switch p.kind {
	case completeMain:
		return nil
	case declarative:
		return p.pkg.declared
	}
	return []build.Function{{Name: p.fn.name, Signature: p.kind.signature()}}
}

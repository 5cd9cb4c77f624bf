package golang

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"testing"

	"github.com/openfunction/ofn/internal/build"
)

func TestDeclaredIn(t *testing.T) {
	for body, want := range map[string][]build.Function{
		`fns.HTTP("a", f)`: {{Name: "a", Signature: "http", Path: "/"}},
		`fns.HTTP("a", f, fns.WithFunctionPath("/a/{b}"), fns.WithFunctionMethods("GET", "PUT")); fns.CloudEvent("b", g)`: {
			{Name: "a", Signature: "http", Path: "/a/{b}", Methods: []string{"GET", "PUT"}}, {Name: "b", Signature: "cloudevent", Path: "/"}},
		`fns.Typed[In, Out]("a", f); fns.CloudEventReply("b", f); fns.OpenFunction("c", f)`: {
			{Name: "a", Signature: "typed", Path: "/"}, {Name: "b", Signature: "cloudevent", Path: "/"}, {Name: "c", Signature: "openfunction", Path: "/"}},
		`fns.HTTP(name, f)`:                              nil,
		`fns.HTTP("a", f, options...)`:                   nil,
		`fns.HTTP("a", f, fns.WithFunctionPath(p))`:      nil,
		`fns.HTTP("a", f, other("x"))`:                   nil,
		`fns.HTTP("a", f); fns.HTTP(prefix+"b", f)`:      nil,
		`other.HTTP("a", f); HTTP("b", f); fns.Other(1)`: nil,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "p.go", "package p\nimport fns \""+functionsPath+"\"\nfunc init() { "+body+" }\n", 0)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := declaredIn([]*ast.File{f})
		if !ok {
			got = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", body, got, want)
		}
	}
}

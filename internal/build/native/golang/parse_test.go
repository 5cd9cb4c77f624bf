package golang

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

func TestClassify(t *testing.T) {
	const head = `package p
import (
	"context"
	"net/http"
	web "net/http"
	. "net/url"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/event"
	ofctx "github.com/OpenFunction/functions-framework-go/context"
)
type A = http.ResponseWriter
type B = A
type Loop = Loop2
type Loop2 = Loop
type Own struct{}
`
	for decl, want := range map[string]kind{
		"func F(w http.ResponseWriter, r *http.Request)":                     httpFunc,
		"func F(http.ResponseWriter, *web.Request)":                          httpFunc,
		"func F(w B, r *http.Request)":                                       httpFunc,
		"func F(w (http.ResponseWriter), r *http.Request)":                   httpFunc,
		"func F(w http.ResponseWriter, r http.Request)":                      "",
		"func F(w, v http.ResponseWriter, r *http.Request)":                  "",
		"func F(w http.ResponseWriter, r *http.Request) error":               "",
		"func F[T any](w http.ResponseWriter, r *http.Request)":              "",
		"func F(w Loop, r *http.Request)":                                    "",
		"func F(w Own, r *Own)":                                              "",
		"func F(ctx context.Context, e cloudevents.Event) error":             cloudEvent,
		"func F(ctx context.Context, e event.Event) error":                   cloudEvent,
		"func F(ctx context.Context, e *cloudevents.Event) error":            "",
		"func F(ctx context.Context, e cloudevents.Event)":                   "",
		"func F(ctx ofctx.Context, in []byte) (ofctx.Out, error)":            openFunction,
		"func F(ctx ofctx.Context, in []uint8) (out ofctx.Out, err error)":   openFunction,
		"func F(ctx context.Context, in []byte) (ofctx.Out, error)":          "",
		"func F(ctx ofctx.Context, in [4]byte) (ofctx.Out, error)":           "",
		"func F(ctx ofctx.Context, in ...byte) (ofctx.Out, error)":           "",
		"func F(ctx ofctx.Context, in []byte) (ofctx.Out, ofctx.Out, error)": "",
		"func F(ctx context.Context, e event.Event) (*event.Event, error)":   eventReply,
		"func F(context.Context, cloudevents.Event) (*event.Event, error)":   eventReply,
		"func F(ctx context.Context, e event.Event) (event.Event, error)":    "",
		"func F(ctx context.Context, e event.Event) (string, error)":         "",
		"func F(ctx context.Context, in Own) (Own, error)":                   typed,
		"func F(ctx context.Context, in map[string]any) ([]int, error)":      typed,
		"func F(ctx context.Context, in *Own) (out *Own, err error)":         typed,
		"func F(ctx context.Context, in ...Own) (Own, error)":                "",
		"func F(ctx context.Context, in chan int) (Own, error)":              "",
		"func F(ctx context.Context, in Own) (*http.Request, error)":         "",
		"func F(ctx context.Context, a, b Own) (Own, error)":                 "",
		"func F(ctx context.Context) (Own, error)":                           "",
		"func F(ctx context.Context, in Own) error":                          "",
		"func F()": "",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "p.go", head+decl+"\n", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		fn := f.Decls[len(f.Decls)-1].(*ast.FuncDecl)
		if got := newScope(f, typeAliases([]*ast.File{f})).classify(fn.Type); got != want {
			t.Errorf("%s: got %q, want %q", decl, got, want)
		}
	}
}

func TestDotImport(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", "package p\nimport . \"net/http\"\nfunc F(w ResponseWriter, r *Request)\n", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := newScope(f, nil).classify(f.Decls[1].(*ast.FuncDecl).Type); got != httpFunc {
		t.Errorf("got %q", got)
	}
}

// parse reads an environment as a build does.
func parse(vars map[string]string) (goEnv, error) {
	common, err := lang.ParseEnv(vars, io.Discard)
	if err != nil {
		return goEnv{}, err
	}
	return parseEnv(common, io.Discard)
}

func TestEnv(t *testing.T) {
	for _, c := range []struct {
		k, v string
		ok   bool
	}{
		{"FUNC_GOGCFLAGS", "all=-N -l", true},
		{"FUNC_GOGCFLAGS", "-N -cpuprofile=/tmp/x", false},
		{"FUNC_GOGCFLAGS", "all=-memprofile=/tmp/x", false},
		{"FUNC_GOGCFLAGS", "-o /tmp/x", false},
		{"FUNC_GOLDFLAGS", "-s -w -X main.a=b -X 'main.c=d e'", true},
		{"FUNC_GOLDFLAGS", "-X main.a", false},
		{"FUNC_GOLDFLAGS", "-linkmode=external -extld=/bin/sh", false},
		{"FUNC_GOLDFLAGS", "-X 'main.a=b", false},
		{"FUNC_BUILD_ARGS", "-tags=a,b -v", true},
		{"FUNC_BUILD_ARGS", "--tags a", true},
		{"FUNC_BUILD_ARGS", "-tags", false},
		{"FUNC_BUILD_ARGS", "-toolexec=/bin/sh", false},
		{"FUNC_BUILD_ARGS", "-o /etc/passwd", false},
		{"FUNC_BUILD_ARGS", "-ldflags=-extld=/bin/sh", false},
		{"FUNC_BUILD_ARGS", "./other", false},
		{"FUNC_BUILDABLE", "./cmd/x", true},
		{"FUNC_BUILDABLE", "../x", false},
		{"FUNC_BUILDABLE", "/x", false},
		{"FUNC_GOPROXY", "https://proxy.example|direct", true},
		{"FUNC_GOPROXY", "file:///etc,direct", false},
		{"ANYTHING", "else", true},
	} {
		_, err := parse(map[string]string{c.k: c.v})
		if (err == nil) != c.ok {
			t.Errorf("%s=%q: got %v, want accepted: %v", c.k, c.v, err, c.ok)
		}
		if err != nil && !strings.Contains(err.Error(), c.k) {
			t.Errorf("%s=%q: the message does not name it: %v", c.k, c.v, err)
		}
	}
}

// Only builds that verify their modules and have no logins share a module cache.
func TestModCache(t *testing.T) {
	g := &Golang{opts: Options{Tools: lang.Tools{Cache: "/d"}}}
	of := func(id string) build.Request { return build.Request{ID: id} }
	shared := g.modCache(nil, of("a/x"))
	if got := g.modCache(map[string]string{"GOPROXY": "https://proxy.example"}, of("b/y")); got != shared {
		t.Errorf("another proxy alone gets %s", got)
	}
	off := map[string]string{"GONOSUMDB": "*"}
	if a, b := g.modCache(off, of("a/x")), g.modCache(off, of("b/x")); a == shared || a == b {
		t.Errorf("unverified modules of two namespaces are in %s and %s", a, b)
	}
	private := func(id string) build.Request {
		return build.Request{ID: id, Dependencies: build.Dependencies{Logins: []build.HostLogin{{Host: "h"}}}}
	}
	if a, b := g.modCache(nil, private("a/x")), g.modCache(nil, private("b/x")); a == shared || a == b || a != g.modCache(nil, private("a/y")) {
		t.Errorf("private modules of two namespaces are in %s and %s", a, b)
	}
}

func FuzzFields(f *testing.F) {
	for _, s := range []string{"", "a b", "-X 'a=b c'", `"`, "a''b \t\"c d\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := fields("K", s)
		if err != nil || slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "'") && strings.Contains(w, `"`) }) {
			return
		}
		again, err := fields("K", quoted(words))
		if err != nil || !slices.Equal(words, again) {
			t.Errorf("%q gave %q, quoted %q, and then %q (%v)", s, words, quoted(words), again, err)
		}
	})
}

func FuzzLinkerFlags(f *testing.F) {
	f.Add("-s -w -X main.a=b")
	f.Add("-X main.a=b -extld=x")
	f.Fuzz(func(t *testing.T, s string) {
		words, err := linkerFlags("K", s)
		if err != nil {
			return
		}
		for i, w := range words {
			if strings.HasPrefix(w, "-") && w != "-s" && w != "-w" && w != "-X" && !strings.HasPrefix(w, "-X=") && (i == 0 || words[i-1] != "-X") {
				t.Errorf("%q let %q through", s, w)
			}
		}
	})
}

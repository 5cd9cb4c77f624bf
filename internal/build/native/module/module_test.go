package module

import (
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

func TestCompile(t *testing.T) {
	const good = "\x00asm\x01\x00\x00\x00"
	for name, c := range map[string]struct {
		source langtest.Source
		reason string
		says   string
	}{
		"a module":          {langtest.Source{Files: map[string]string{"app.wasm": good, "handler.c": ""}, Target: build.TargetWasm}, "", ""},
		"not asked for":     {langtest.Source{Files: map[string]string{"app.wasm": good}}, "RuntimeMismatch", "workloadRuntime: WasmEdge"},
		"two":               {langtest.Source{Files: map[string]string{"a.wasm": good, "b.wasm": good}, Target: build.TargetWasm}, "SourceEmpty", "a.wasm, b.wasm"},
		"one of two":        {langtest.Source{Files: map[string]string{"a.wasm": good, "app.wasm": good}, Env: map[string]string{"FUNC_SRC": "app.wasm"}, Target: build.TargetWasm}, "", ""},
		"another":           {langtest.Source{Files: map[string]string{"a.wasm": good}, Env: map[string]string{"FUNC_SRC": "b.wasm"}, Target: build.TargetWasm}, "SourceEmpty", "no such module"},
		"a component":       {langtest.Source{Files: map[string]string{"a.wasm": "\x00asm\x0d\x00\x01\x00"}, Target: build.TargetWasm}, "InvalidModule", "component"},
		"something else":    {langtest.Source{Files: map[string]string{"a.wasm": "hello"}, Target: build.TargetWasm}, "InvalidModule", `begins with "hello"`},
		"in a subdirectory": {langtest.Source{Files: map[string]string{"a/app.wasm": good}, Sub: "a", Target: build.TargetWasm}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			j, _ := c.source.Job(t)
			if !(Language{}).Detect(j.Tree, j.Env) {
				t.Fatal("it is not recognised")
			}
			p, err := (Language{}).Compile(t.Context(), j)
			if langtest.Reason(err) != c.reason || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v; want %q and %q", err, c.reason, c.says)
			}
			if err == nil && (!p.Bare || len(p.Layers) != 1 || p.Entrypoint[0] != "/app.wasm") {
				t.Errorf("%+v", p)
			}
		})
	}
	j, _ := langtest.Source{Files: map[string]string{"lib/app.wasm": good, "index.js": ""}}.Job(t)
	if (Language{}).Detect(j.Tree, j.Env) {
		t.Error("a module beside a program is taken for the source")
	}
}

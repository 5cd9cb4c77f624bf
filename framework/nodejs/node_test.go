package nodejs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/openfunction/ofn/framework/conformance"
	"github.com/openfunction/ofn/framework/nodejs"
)

// node returns the interpreter, and skips the test where there is none that is young enough.
func node(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs Node.js 20 or later: ", err)
	}
	if err := exec.Command(program, "-e", "process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)").Run(); err != nil {
		t.Skip("needs Node.js 20 or later: ", err)
	}
	return program
}

// fixtures that are not in testdata/functions/fixtures.js, by their source; and the signatures of those that are not plain HTTP.
var (
	sources    = map[string]string{"multi": "testdata/multi/index.mjs", "brokenImport": "testdata/import", "brokenSyntax": "testdata/syntax"}
	signatures = map[string]string{
		"eventVoid": "cloudevent", "eventEcho": "cloudevent", "eventMake": "cloudevent", "eventRaise": "cloudevent", "typed": "typed",
		"ofEcho": "openfunction", "ofCode": "openfunction", "ofRaise": "openfunction", "ofEvent": "openfunction", "ofPlugins": "openfunction",
		"ofRetry": "openfunction",
	}
)

func fixture(name string) (source, signature string) {
	source, signature = sources[name], signatures[name]
	if source == "" {
		source = "testdata/functions"
	}
	if signature == "" {
		signature = "http"
	}
	return source, signature
}

func TestConformance(t *testing.T) {
	program := node(t)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	conformance.Run(t, conformance.Target{
		Features: conformance.Features{
			ListenFD: true, WritesAnswer: true, Deadline: true, Logger: true, Typed: true, Replies: true, OpenFunction: true, Plugins: true, Events: true,
			Legacy: true, Multi: true, Loads: true, Specialise: true,
			Source: func(name string) (string, string, string) {
				source, signature := fixture(name)
				return filepath.Join(here, source), name, signature
			},
		},
		Command: func(_ testing.TB, name string) conformance.Command {
			c := conformance.Command{Args: []string{program, "cli.js"}}
			if name == "generic" {
				return c
			}
			source, signature := fixture(name)
			c.Env = []string{"FUNCTION_SOURCE=" + source, "FUNCTION_SIGNATURE_TYPE=" + signature}
			if name != "multi" {
				c.Env = append(c.Env, "FUNCTION_TARGET="+name)
			}
			return c
		},
	})
}

// TestUnits runs the tests that are written in JavaScript.
func TestUnits(t *testing.T) {
	files, err := filepath.Glob("test/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d test files, %v", len(files), err)
	}
	out, err := exec.Command(node(t), append([]string{"--test"}, files...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestFiles(t *testing.T) {
	files := nodejs.Files()
	for _, name := range []string{"package.json", "index.js", "index.d.ts", "cli.js", "src/main.js"} {
		if len(files[name]) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
}

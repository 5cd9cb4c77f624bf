// Package conformance checks that a functions framework keeps the contract in framework/contract.md. It starts the framework's fixture
// functions, which the contract's appendix lists, as processes of their own and talks to them over HTTP, so that it knows nothing of
// their language. The test of a framework is a few lines:
//
//	func TestConformance(t *testing.T) {
//		node, err := exec.LookPath("node")
//		if err != nil {
//			t.Skip("needs node: ", err)
//		}
//		conformance.Run(t, conformance.Target{
//			Features: conformance.Features{ListenFD: true, Loads: true},
//			Sources:  []string{"."},
//			Command: func(t testing.TB, fixture string) conformance.Command {
//				return conformance.Command{Args: []string{node, "cli.js"}, Env: []string{"FUNCTION_TARGET=" + fixture}}
//			},
//		})
//	}
package conformance

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Target is a framework under test.
type Target struct {
	// Command says how to start a fixture function, named as in the appendix of the contract. It is called once for each process that
	// the suite starts, and may build the fixture on the first call.
	Command func(t testing.TB, fixture string) Command
	// Features are the optional parts of the contract that the framework has.
	Features Features
	// Sources are directories with all that the framework and its fixtures are made of. Go's test cache knows only of files that the
	// test itself reads, so that without them it would repeat an old result.
	Sources []string
}

// Command is how to start one fixture function.
type Command struct {
	// Args is the program and its arguments; a program without a slash is looked up in PATH.
	Args []string
	// Env is added to the environment of the test, from which the variables of the contract were removed: "KEY=value", such as
	// FUNCTION_TARGET and FUNCTION_SIGNATURE_TYPE. The suite adds how to listen, and what a case is about, which wins.
	Env []string
	// Dir is the working directory; empty is that of the test.
	Dir string
	// Function is the name of the function that the framework tells in its log; empty is the name of the fixture.
	Function string
	// Lacks is set instead of all the rest when the framework has no such fixture: why. Tests that need it are skipped.
	Lacks string
}

// Features are the optional parts of the contract.
type Features struct {
	// ListenFD: takes its listening socket as file descriptor 3. Otherwise the suite gives it a TCP port in PORT.
	ListenFD bool
	// HTTP2: speaks HTTP/2 cleartext with prior knowledge.
	HTTP2 bool
	// WritesAnswer: http functions write their answer (httpRaiseLate exists).
	WritesAnswer bool
	// Deadline: http functions can tell the deadline of their call (httpDeadline).
	Deadline bool
	// Logger: http functions have the framework's logger (httpLog).
	Logger bool
	// Typed: has the typed signature.
	Typed bool
	// Replies: cloudevent functions can return events (eventEcho, eventMake).
	Replies bool
	// OpenFunction: has the openfunction signature.
	OpenFunction bool
	// Plugins: has the hooks of the openfunction signature (ofPlugins).
	Plugins bool
	// Events: has Dapr's app channel over HTTP (ofEcho, ofEvent, ofRetry with inputs).
	Events bool
	// Send: openfunction functions can send to outputs (ofSend).
	Send bool
	// Legacy: maps background events of Google Cloud to CloudEvents.
	Legacy bool
	// Multi: serves several functions in one application (multi).
	Multi bool
	// Loads: loads code at start, so that it meets broken code (brokenImport, brokenSyntax, brokenKind). A framework without it meets
	// such errors in the build.
	Loads bool
	// Specialise: waits for a function with OFN_GENERIC=1. The command of the fixture "generic" starts it, and Source tells where the
	// code of a fixture is.
	Specialise bool
	// Source is needed for Specialise: the source, target and signature type of a fixture.
	Source func(fixture string) (source, target, signature string)
}

// Run checks every sentence of the contract that the framework's features include, as subtests of t.
func Run(t *testing.T, target Target) {
	s := &suite{target}
	for _, dir := range target.Sources {
		touch(t, dir)
	}
	for _, group := range []struct {
		name string
		has  bool
		run  func(*testing.T)
	}{
		{"Server", true, s.server},
		{"HTTP2", target.Features.HTTP2, s.http2},
		{"Reserved", true, s.reserved},
		{"CallHeaders", true, s.callHeaders},
		{"Failures", true, s.failures},
		{"Events", true, s.events},
		{"Batch", true, s.batch},
		{"Replies", target.Features.Replies, s.replies},
		{"Legacy", true, s.legacy},
		{"Typed", target.Features.Typed, s.typed},
		{"OpenFunction", target.Features.OpenFunction, s.openFunction},
		{"Plugins", target.Features.Plugins, s.plugins},
		{"Send", target.Features.Send, s.send},
		{"Dapr", target.Features.Events, s.dapr},
		{"Multi", target.Features.Multi, s.multi},
		{"Log", true, s.log},
		{"Start", true, s.start},
		{"Specialise", target.Features.Specialise, s.specialise},
		{"End", true, s.end},
	} {
		t.Run(group.name, func(t *testing.T) {
			if !group.has {
				t.Skip("the framework does not claim this optional part of the contract")
			}
			group.run(t)
		})
	}
}

type suite struct{ Target }

// touch opens every file below dir, hidden ones and installed packages left out.
func touch(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "__pycache__" || d.Name() == "target") {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		t.Fatal("looking at the sources: ", err)
	}
}

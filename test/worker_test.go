package test

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// killWorkers kills the processes in which WebAssembly functions run, as the kernel would, and wants that there are some.
func killWorkers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: killworkers")
	}
	killed := 0
	for _, p := range serverOf(ts).processes() {
		var pid int
		if _, err := fmt.Sscanf(p, "process %d:", &pid); err != nil || !strings.HasSuffix(p, " wasm-worker") {
			continue
		}
		ts.Check(syscall.Kill(pid, syscall.SIGKILL))
		killed++
	}
	if killed == 0 {
		ts.Fatalf("no worker of WebAssembly functions runs")
	}
}

package test

import (
	"flag"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/openfunction/ofn/test/servers"
)

// daprd is a real one, for scripts that need it.
var daprd = flag.String("daprd", "", "path of a daprd, statically linked; scripts that need one are skipped without it")

// redis starts one that ends with the script, whose address is $BROKER.
func redis(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: redis")
	}
	ts.Setenv("BROKER", servers.Redis(script{ts}).Addr)
	ts.Setenv("DAPRD", *daprd)
}

// script is one as servers see it.
type script struct{ *testscript.TestScript }

func (s script) Helper()                          {}
func (s script) Cleanup(f func())                 { s.Defer(f) }
func (s script) Skipf(format string, args ...any) { s.Fatalf(format, args...) }

package wasm

import (
	"testing"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

// TestBroken: a connection made beforehand is not given away once the worker's end is closed.
func TestBroken(t *testing.T) {
	near, far, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	if broken(near) {
		t.Error("a connection is broken while both ends are open")
	}
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if !broken(near) {
		t.Error("a connection is not broken although its other end is closed")
	}
}

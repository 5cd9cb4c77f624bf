package jetstream

import (
	"fmt"
	"testing"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/bustest"
)

func TestEmbeddedBus(t *testing.T) {
	var e *Embedded
	var n int
	dir := ""
	f := bustest.Fixture{
		New: func(t *testing.T) bus.Bus {
			if e == nil {
				t.Fatal("no server")
			}
			n++
			return New(e, Options{Name: fmt.Sprint("ns/bus", n)})
		},
		Reads: true, Lags: true, Starts: true, Dedupes: true, Bounds: true, Orders: true, Forgets: true,
	}
	f.Again = func(t *testing.T) bus.Bus {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = NewEmbedded(EmbeddedOptions{Dir: dir})
		return New(e, Options{Name: fmt.Sprint("ns/bus", n)})
	}
	dir = t.TempDir()
	e = NewEmbedded(EmbeddedOptions{Dir: dir})
	defer func() { _ = e.Close() }()
	bustest.Run(t, f)
}

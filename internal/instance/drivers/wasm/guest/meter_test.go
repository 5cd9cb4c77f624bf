package guest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// section is a section of a module, its length in one byte.
func section(id byte, body string) string { return string([]byte{id, byte(len(body))}) + body }

// handlerOf is a handler with a body of its own, and, as function 1, one from i32 to i32.
func handlerOf(handle, second string) []byte {
	code := func(body string) string { return string([]byte{byte(len(body) + 1)}) + "\x00" + body }
	return []byte("\x00asm\x01\x00\x00\x00" + section(1, "\x02\x60\x00\x01\x7f\x60\x01\x7f\x01\x7f") + section(3, "\x02\x00\x01") + section(5, "\x01\x00\x01") +
		section(7, "\x02\x06memory\x02\x00\x0aofn_handle\x00\x00") + section(10, "\x02"+code(handle)+code(second)))
}

const (
	nothing = "\x41\x00\x0b"
	endless = "\x03\x40\x0c\x00\x0b\x41\x00\x0b" // loop br 0 end
	// fib calls itself twice for each number from 2 on.
	fib = "\x20\x00\x41\x02\x48\x04\x7f\x41\x01\x05\x20\x00\x41\x01\x6b\x10\x01\x20\x00\x41\x02\x6b\x10\x01\x6a\x0b\x0b"
)

func fibOf(n byte) string { return "\x41" + string([]byte{n}) + "\x10\x01\x1a" + nothing }

// TestStopped: what has no end is stopped, be it a loop or a function that calls itself; what has one comes to it.
func TestStopped(t *testing.T) {
	rt, err := NewRuntime(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(context.Background())
	for name, c := range map[string]struct {
		module []byte
		ends   bool
	}{
		"loop":      {handlerOf(endless, nothing), false},
		"recursion": {handlerOf(fibOf(60), fib), false},
		"work":      {handlerOf(fibOf(22), fib), true},
		"nothing":   {handlerOf(nothing, nothing), true},
		// an export of the name that is to be added: the engine has to stop it
		"not rewritten": {[]byte(string(handlerOf(endless, nothing)[:8]) + section(1, "\x01\x60\x00\x01\x7f") + section(3, "\x01\x00") + section(5, "\x01\x00\x01") +
			section(6, "\x01\x7f\x00\x41\x00\x0b") + section(7, "\x03\x06memory\x02\x00\x0aofn_handle\x00\x00\x08ofn:stop\x03\x00") + section(10, "\x01\x09\x00"+endless)), false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := rt.Compile(t.Context(), c.module)
			if err != nil {
				t.Fatal(err)
			}
			i, err := p.NewMaker(Surroundings{Log: io.Discard, Budget: NewBudget(0)}).Handler(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			patience := 50 * time.Millisecond
			if c.ends {
				patience = time.Minute
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err = i.Handle(ctx, &Exchange{Request: httptest.NewRequest("GET", "/", http.NoBody), Writer: httptest.NewRecorder()})
			if c.ends && err != nil || !c.ends && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestSpare: an instance made beforehand is like one made when it is needed, counts for the copy that gets it, and goes to one only.
func TestSpare(t *testing.T) {
	rt, err := NewRuntime(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(context.Background())
	// counts its calls at 0, and fails with that number
	p, err := rt.Compile(t.Context(), handlerOf("\x41\x00\x41\x00\x28\x02\x00\x41\x01\x6a\x36\x02\x00\x41\x00\x28\x02\x00\x0b", nothing))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	maker := func(limit int64) (*Maker, *Budget) {
		b := NewBudget(limit)
		return p.NewMaker(Surroundings{Log: io.Discard, Budget: b}), b
	}
	handled := func(m *Maker, want int32) *Instance {
		t.Helper()
		i, err := m.Handler(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = i.Handle(t.Context(), &Exchange{Request: httptest.NewRequest("GET", "/", http.NoBody), Writer: httptest.NewRecorder()})
		if failed, ok := errors.AsType[*HandlerError](err); !ok || failed.Code != want {
			t.Errorf("%v, want %d", err, want)
		}
		return i
	}
	first, _ := maker(1 << 20)
	if err := first.Prepare(t.Context()); err != nil || first.shared.spares.ready != nil {
		t.Fatalf("a spare of nothing: %v", err)
	}
	handled(first, 1).Close()
	second := handled(first, 1)
	if err := errors.Join(first.Learn(second), first.Prepare(t.Context())); err != nil {
		t.Fatal(err)
	}
	second.Close()
	spare := first.shared.spares.ready
	if spare == nil || len(first.shared.spares.hot) != 1 {
		t.Fatalf("spare %v, hot %v", spare, first.shared.spares.hot)
	}
	if other, _ := maker(2 << 20); handled(other, 1) == spare {
		t.Error("a copy with another limit got it")
	}
	same, budget := maker(1 << 20)
	got := handled(same, 1)
	if got != spare || budget.Used() != int64(got.memory.size) {
		t.Errorf("it got %p and not %p, with %d bytes of its budget", got, spare, budget.Used())
	}
	if again := handled(same, 1); again == spare {
		t.Error("two have it")
	}
	got.Close()
}

package lang

import (
	"fmt"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	var log strings.Builder
	w := &Words{
		Log: &log, Rewrite: strings.NewReplacer("/work/src/", ""),
		Drop:  func(s string) bool { return strings.HasPrefix(s, "noise") },
		Quiet: func(s string) bool { return strings.HasPrefix(s, "progress") },
	}
	for _, part := range []string{"/work/", "src/a.x:1: wrong\nnoi", "se\n\x1b[1;32mprogress\x1b[0m 1\n", "the end"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
	}
	if got, want := w.Text(), "a.x:1: wrong\nthe end"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
	if got, want := log.String(), "a.x:1: wrong\nprogress 1\nthe end\n"; got != want {
		t.Errorf("the log has %q, want %q", got, want)
	}
}

// However much a tool says, with or without ends of lines, what is kept is bounded, and is the end that was asked for.
func TestWordsBound(t *testing.T) {
	for _, first := range []bool{false, true} {
		w := &Words{Log: new(strings.Builder), First: first}
		fmt.Fprintln(w, "begin")
		for range 100 {
			fmt.Fprint(w, strings.Repeat("x", 1000))
		}
		fmt.Fprint(w, "\nend")
		text := w.Text()
		if len(text) > keptWords || strings.HasPrefix(text, "begin") != first || strings.HasSuffix(text, "end") == first {
			t.Errorf("first %v: kept %d bytes, %.10q … %q", first, len(text), text, text[len(text)-10:])
		}
	}
}

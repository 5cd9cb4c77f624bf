package conformance

import (
	"slices"
	"strings"
	"testing"
)

func TestSameBody(t *testing.T) {
	for _, c := range []struct {
		got, want string
		same      bool
	}{
		{"a\n", "a\n", true},
		{"a", "a\n", false},
		{"why: because\n", "why: DETAIL\n", true},
		{"why: \n", "why: DETAIL\n", false},
		{"why: two\nlines\n", "why: DETAIL\n", false},
		{"why: no end", "why: DETAIL\n", false},
		{"what: because\n", "why: DETAIL\n", false},
	} {
		if got := sameBody(c.got, c.want); got != c.same {
			t.Errorf("sameBody(%q, %q) is %v", c.got, c.want, got)
		}
	}
}

func TestBinary(t *testing.T) {
	got := binary("ce-id", "", "Ce-Type", "u", "ce-own", "x")
	want := []string{"ce-specversion", "1.0", "ce-source", "/s", "ce-type", "u", "ce-own", "x"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOutput(t *testing.T) {
	o := newOutput()
	written := make(chan error, 4)
	go func() { // ends when all is written; the channel has room for it
		for _, part := range []string{"a\nb", "2", "\n", "no line"} {
			_, err := o.Write([]byte(part))
			written <- err
		}
	}()
	if got := o.line(t, "the line", func(l string) bool { return strings.HasPrefix(l, "b") }); got != "b2" {
		t.Errorf("found %q", got)
	}
	for range cap(written) {
		if err := <-written; err != nil {
			t.Error(err)
		}
	}
	o.end()
	if lines := o.lines(); !slices.Equal(lines, []string{"a", "b2"}) {
		t.Errorf("lines %q", lines)
	}
}

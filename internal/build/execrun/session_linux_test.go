package execrun

import (
	"fmt"
	"strings"
	"testing"
)

// line is /proc/PID/stat of a process of session 7 with 3 resident pages.
func line(state string, threads int) []byte {
	rest := strings.Repeat("0 ", 13)
	return fmt.Appendf(nil, "12 (a) b (c)) %s 1 1 7 %s%d 0 0 0 3 0 0", state, rest, threads)
}

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		text  []byte
		alive bool
	}{
		{line("R", 1), true},
		{line("T", 4), true},
		{line("Z", 1), false},
		{line("Z", 0), false},
		{line("Z", 3), true}, // its first thread is dead, two are not
		{line("X", 1), false},
		{[]byte("12 (a"), false},
		{[]byte("12 (a) R"), false},
	} {
		s, ok := parseStat(c.text)
		if ok != c.alive || ok && (s.session != 7 || s.pages != 3) {
			t.Errorf("%s: got %+v, %v", c.text, s, ok)
		}
	}
}

package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestResourceAndNames(t *testing.T) {
	for _, c := range []struct {
		args  string
		kind  string
		names []string
		wrong string // in the error
	}{
		{args: "", kind: "functions"},
		{args: "a", kind: "functions", names: []string{"a"}},
		{args: "functions a b", kind: "functions", names: []string{"a", "b"}},
		{args: "trigger/a", kind: "triggers", names: []string{"a"}},
		{args: "eventsources", kind: "eventsources", names: []string{}},
		{args: "secret/a", wrong: `"secret" is not known here`},
		{args: "eventsources,triggers", wrong: "begin with eventsources"},
	} {
		r, names, err := resourceAndNames(strings.Fields(c.args))
		switch {
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%q: %v", c.args, err)
			}
		case err != nil, r.plural != c.kind, !slices.Equal(names, c.names):
			t.Errorf("%q: %s %q, %v", c.args, r.plural, names, err)
		}
	}
}

package gatewayapi

import "testing"

func TestLost(t *testing.T) {
	type object = map[string]any
	want := object{"rules": []any{object{"a": "1"}, object{"a": "1", "retry": object{"attempts": int64(3)}}}}
	for name, test := range map[string]struct {
		have any
		want string
	}{
		"nothing":    {object{"rules": []any{object{"a": "1"}, object{"a": "1", "retry": object{"attempts": int64(3)}}}, "more": true}, ""},
		"a field":    {object{"rules": []any{object{"a": "1"}, object{"a": "1", "retry": object{}}}}, "spec.rules[1].retry.attempts"},
		"an object":  {object{"rules": []any{object{"a": "1"}, object{"a": "1"}}}, "spec.rules[1].retry"},
		"an element": {object{"rules": []any{object{"a": "1"}}}, "spec.rules"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lost(want, test.have, "spec"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

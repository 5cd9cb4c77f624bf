package gatewayapi

import (
	"errors"
	"testing"

	"github.com/openfunction/ofn/internal/route/cluster"
)

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

// An API server that applies on its side refuses a field that the definition has not, as an error of its own.
func TestFieldThatIsNotDeclared(t *testing.T) {
	said := errors.New("applying HTTPRoute fn: failed to create typed patch object (ns/fn; gateway.networking.k8s.io/v1, Kind=HTTPRoute): .spec.rules[0].retry: field not declared in schema")
	var wrong *cluster.Refused
	if err := refused(said); !errors.As(err, &wrong) || wrong.Reason != "FieldDropped" || !errors.Is(err, said) {
		t.Errorf("it is %v", err)
	}
	wrong = nil
	if other := errors.New("internal error"); errors.As(refused(other), &wrong) || refused(nil) != nil {
		t.Error("another error is taken for it")
	}
}

package functions

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/OpenFunction/functions-framework-go/internal/registry"
)

func TestTyped(t *testing.T) {
	type pair struct {
		A string  `json:"a"`
		B float64 `json:"b"`
	}
	boom := errors.New("boom")
	fn := typed(func(_ context.Context, in pair) (any, error) {
		switch in.A {
		case "none":
			return nil, nil
		case "nil pointer":
			return (*pair)(nil), nil
		case "fail":
			return nil, boom
		case "not JSON":
			return math.Inf(1), nil
		}
		return in, nil
	})
	for body, want := range map[string]string{
		`{"a":"<é>","b":1.5,"more":true}`: `{"a":"<é>","b":1.5}`,
		`{"a":"none"}`:                    "",
		`{"a":"nil pointer"}`:             "",
	} {
		out, err := fn(t.Context(), []byte(body))
		if err != nil || string(out) != want || (want == "") != (out == nil) {
			t.Errorf("%s: %q, %v, want %q", body, out, err, want)
		}
	}
	var input *registry.InputError
	for _, body := range []string{"", "{", "[]", `{"a":1}`, `{} {}`} {
		if _, err := fn(t.Context(), []byte(body)); !errors.As(err, &input) {
			t.Errorf("%q: %v, want an InputError", body, err)
		}
	}
	if _, err := fn(t.Context(), []byte(`{"a":"fail"}`)); !errors.Is(err, boom) || errors.As(err, &input) {
		t.Errorf("failure: %v", err)
	}
	if _, err := fn(t.Context(), []byte(`{"a":"not JSON"}`)); err == nil || errors.As(err, &input) {
		t.Errorf("result that is no JSON: %v", err)
	}
	if typed[pair, pair](nil) != nil {
		t.Error("a function that is nil became one that is not")
	}
}

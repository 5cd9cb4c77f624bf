package trigger

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
)

// Condition is when a subscriber gets an event. It may be used by many goroutines.
type Condition struct{ expr *expr }

// Compile reads a condition: CEL over the inputs by name, each true or false, over event, the attributes of the event that
// arrived, and over data, its payload. An empty condition always holds. The error says where in the condition what is wrong.
func Compile(inputs []string, condition string) (*Condition, error) {
	if strings.TrimSpace(condition) == "" {
		return &Condition{}, nil
	}
	e, err := compile(inputs, condition)
	if err != nil {
		return nil, fmt.Errorf("condition %w", err)
	}
	if !e.kind.IsExactType(cel.BoolType) && !e.kind.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("condition %q is of type %s: it must be true or false", shorten(condition), e.kind)
	}
	return &Condition{expr: e}, nil
}

// Inputs are those that the condition names.
func (c *Condition) Inputs() []string {
	if c.expr == nil {
		return nil
	}
	return c.expr.inputs
}

// Holds tells whether the subscriber gets the event, with inputs telling which of them are true. An error (an attribute that is
// not there, a payload of another shape) means that it does not.
func (c *Condition) Holds(v *View, inputs func(string) bool) (bool, error) {
	if c.expr == nil {
		return true, nil
	}
	out, err := c.expr.eval(v, inputs)
	if err != nil {
		return false, fmt.Errorf("condition %w", err)
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("condition %q %w, but %s", shorten(c.expr.text), errNotBool, out.Type().TypeName())
	}
	return bool(b), nil
}

// Key is what events must agree in to belong together.
type Key struct{ expr *expr }

// CompileKey reads the key of a correlation: CEL over event and data. An empty one puts all events together.
func CompileKey(text string) (*Key, error) {
	if strings.TrimSpace(text) == "" {
		return &Key{}, nil
	}
	e, err := compile(nil, text)
	if err != nil {
		return nil, fmt.Errorf("key %w", err)
	}
	return &Key{expr: e}, nil
}

// Of is the key of an event, as text.
func (k *Key) Of(v *View) (string, error) {
	if k.expr == nil {
		return "", nil
	}
	out, err := k.expr.eval(v, nil)
	if err != nil {
		return "", fmt.Errorf("key %w", err)
	}
	if s, ok := out.(types.String); ok {
		return string(s), nil
	}
	text, err := encode(out)
	if err != nil {
		return "", fmt.Errorf("key %q: %w", shorten(k.expr.text), err)
	}
	return string(text), nil
}

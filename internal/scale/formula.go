package scale

import (
	"errors"
	"fmt"
	"math"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// Formula combines the metrics of triggers into one: KEDA's scalingModifiers. Make it with NewFormula.
type Formula struct {
	Target     float64
	Activation float64 // above it there is something to do
	Whole      bool    // Target is for the sum, whatever the number of copies (metricType Value)
	program    *vm.Program
}

// maxFormula bounds the length of a formula.
const maxFormula = 4096

// NewFormula compiles an expression of the language expr over the names of triggers, each of which is a number, or nil when the
// trigger fails and the fallback says so. The target must be positive.
func NewFormula(text string, triggers []string, target, activation float64, whole bool) (*Formula, error) {
	if len(text) > maxFormula {
		return nil, fmt.Errorf("scalingModifiers.formula is longer than %d bytes", maxFormula)
	}
	if math.IsNaN(target) || target <= 0 {
		return nil, fmt.Errorf("scalingModifiers.target %g must be more than 0", target)
	}
	names := map[string]any{}
	for _, t := range triggers {
		if t == "" {
			return nil, errors.New("scalingModifiers.formula needs a name of each trigger: give every one a unique name")
		}
		if _, twice := names[t]; twice {
			return nil, fmt.Errorf("scalingModifiers.formula: two triggers are named %q; give every one a unique name", t)
		}
		names[t] = 1.0
	}
	program, err := expr.Compile(text, expr.Env(names))
	if err != nil {
		return nil, fmt.Errorf("scalingModifiers.formula: %w", err)
	}
	sample, err := expr.Run(program, names)
	if err != nil {
		return nil, fmt.Errorf("scalingModifiers.formula: %w", err)
	}
	if _, ok := number(sample); !ok {
		return nil, fmt.Errorf("scalingModifiers.formula gives a %T; it must give a number", sample)
	}
	return &Formula{Target: target, Activation: activation, Whole: whole, program: program}, nil
}

// eval is the combined metric. A formula that gives nil asks for the fallback's copies.
func (f *Formula) eval(inputs map[string]any, fallback *Fallback) (float64, error) {
	out, err := expr.Run(f.program, inputs)
	if err != nil {
		return 0, fmt.Errorf("scalingModifiers.formula: %w", err)
	}
	if out == nil {
		if fallback == nil {
			return 0, errors.New("scalingModifiers.formula gives nothing, and there is no fallback")
		}
		return float64(fallback.Replicas) * f.Target, nil
	}
	v, ok := number(out)
	if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("scalingModifiers.formula gives %v; it must give a number", out)
	}
	return v, nil
}

// number is v as one.
func number(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case int:
		return float64(n), true
	}
	return 0, false
}

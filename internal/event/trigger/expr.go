package trigger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"

	"github.com/openfunction/ofn/internal/event/cloudevent"
)

// Names of the variables beside the inputs.
const (
	varEvent = "event"
	varData  = "data"
)

const (
	maxExpression = 4096    // characters
	maxDepth      = 64      // of nesting
	maxCost       = 500_000 // in CEL's units: an expression that takes longer fails instead
)

// expr is compiled CEL.
type expr struct {
	text    string
	program cel.Program
	inputs  []string // those it names
	kind    *cel.Type
}

// environment is what expressions without inputs are compiled in; making it is slow.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable(varEvent, cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable(varData, cel.DynType),
		cel.OptionalTypes(), cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxExpression), cel.ParserRecursionLimit(maxDepth),
		ext.Strings(ext.StringsVersion(4)), ext.Math(), ext.Lists(), ext.Sets(), ext.Encoders(),
	)
})

func compile(inputs []string, text string) (*expr, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	if len(inputs) > 0 {
		vars := make([]cel.EnvOption, 0, len(inputs))
		for _, in := range inputs {
			if in == varEvent || in == varData {
				return nil, fmt.Errorf("an input must not be called %q: conditions have that name for something else", in)
			}
			vars = append(vars, cel.Variable(in, cel.BoolType))
		}
		if env, err = env.Extend(vars...); err != nil {
			return nil, fmt.Errorf("inputs %s: %w", strings.Join(inputs, ", "), err)
		}
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, problem(inputs, text, issues)
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if !cheap(checked.NativeRep().Expr()) {
		options = append(options, cel.CostLimit(maxCost)) // counting takes ten times as long as a condition over inputs
	}
	program, err := env.Program(checked, options...)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	e := &expr{text: text, program: program, kind: checked.OutputType()}
	for _, r := range checked.NativeRep().ReferenceMap() {
		if slices.Contains(inputs, r.Name) && !slices.Contains(e.inputs, r.Name) {
			e.inputs = append(e.inputs, r.Name)
		}
	}
	slices.Sort(e.inputs)
	return e, nil
}

// cheap tells whether an expression only combines inputs and literals: it costs what it is long, which is bounded.
func cheap(e ast.Expr) bool {
	switch e.Kind() {
	case ast.LiteralKind:
		return true
	case ast.IdentKind:
		return e.AsIdent() != varEvent && e.AsIdent() != varData
	case ast.CallKind:
		switch e.AsCall().FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional, operators.Equals, operators.NotEquals:
			return !slices.ContainsFunc(e.AsCall().Args(), func(arg ast.Expr) bool { return !cheap(arg) })
		}
	}
	return false
}

// problem says what is wrong with an expression for people: the first error, where it is, and what names there are.
func problem(inputs []string, text string, issues *cel.Issues) error {
	first := issues.Errors()[0]
	what := strings.Join(strings.Fields(first.Message), " ")
	if name, ok := strings.CutPrefix(what, "undeclared reference to '"); ok {
		name, _, _ = strings.Cut(name, "'")
		known := "event and data"
		if len(inputs) > 0 {
			known = "the inputs " + strings.Join(slices.Sorted(slices.Values(inputs)), ", ") + ", and event and data"
		}
		what = fmt.Sprintf("there is no %s; known are %s", name, known)
	}
	if first.Location.Line() > 0 {
		return fmt.Errorf("%q, column %d: %s", shorten(text), first.Location.Column()+1, what)
	}
	return fmt.Errorf("%q: %s", shorten(text), what)
}

func shorten(text string) string {
	const most = 120
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// eval gives the value for an event and its inputs.
func (e *expr) eval(v *View, inputs func(string) bool) (ref.Val, error) {
	out, _, err := e.program.Eval(&scope{view: v, inputs: inputs, known: e.inputs})
	if err != nil {
		return nil, fmt.Errorf("%q: %w", shorten(e.text), err)
	}
	return out, nil
}

// scope is the variables during one evaluation.
type scope struct {
	view   *View
	inputs func(string) bool
	known  []string
}

// ResolveName implements cel.Activation.
func (s *scope) ResolveName(name string) (any, bool) {
	switch name {
	case varEvent:
		return s.view.event(), true
	case varData:
		return s.view.data(), true
	}
	if s.inputs == nil || !slices.Contains(s.known, name) {
		return nil, false
	}
	return s.inputs(name), true
}

// Parent implements cel.Activation.
func (*scope) Parent() cel.Activation { return nil }

// errNotBool is of conditions over data that turn out to be something else.
var errNotBool = errors.New("is neither true nor false")

// View is an event as expressions see it: what they ask for is made once. It serves one goroutine at a time.
type View struct {
	Event cloudevent.Event

	attributes map[string]any
	payload    any
	parsed     bool
}

// NewView shows an event.
func NewView(e cloudevent.Event) *View { return &View{Event: e} }

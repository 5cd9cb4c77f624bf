package trigger

import (
	"errors"
	"fmt"
	"strings"

	"github.com/antlr/antlr4/runtime/Go/antlr"
	cesql "github.com/cloudevents/sdk-go/sql/v2"
	"github.com/cloudevents/sdk-go/sql/v2/gen"
	"github.com/cloudevents/sdk-go/sql/v2/parser"
	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/openfunction/ofn/internal/event/cloudevent"
)

// Filter is CloudEvents SQL. It may be used by many goroutines.
type Filter struct {
	text string
	expr cesql.Expression
}

// ParseFilter reads CloudEvents SQL over the attributes of an event. An empty filter lets everything through.
func ParseFilter(text string) (f *Filter, err error) {
	if strings.TrimSpace(text) == "" {
		return &Filter{}, nil
	}
	defer func() {
		if p := recover(); p != nil { // of the parser, which reads what users wrote
			f, err = nil, fmt.Errorf("filter %q cannot be read: %v", shorten(text), p)
		}
	}()
	if len(text) > maxExpression {
		return nil, fmt.Errorf("filter %q is longer than %d characters", shorten(text), maxExpression)
	}
	if err := lex(text); err != nil {
		return nil, fmt.Errorf("filter %q: %w", shorten(text), err)
	}
	e, err := parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", shorten(text), tidy(err))
	}
	return &Filter{text: text, expr: e}, nil
}

// lex refuses characters that belong to nothing, which the parser would pass over, and nesting that it would take long for.
func lex(text string) error {
	lexer := gen.NewCESQLParserLexer(parser.NewCaseChangingStream(antlr.NewInputStream(text), true))
	lexer.RemoveErrorListeners()
	found := &lexErrors{DefaultErrorListener: antlr.NewDefaultErrorListener()}
	lexer.AddErrorListener(found)
	depth := 0
	for range len(text) + 1 {
		token := lexer.NextToken()
		switch token.GetTokenType() {
		case antlr.TokenEOF:
			return errors.Join(found.errs...)
		case gen.CESQLParserLexerLR_BRACKET, gen.CESQLParserLexerNOT, gen.CESQLParserLexerMINUS:
			depth++
		case gen.CESQLParserLexerRR_BRACKET:
			depth--
		}
		if depth > maxDepth {
			return fmt.Errorf("column %d: more than %d levels", token.GetColumn()+1, maxDepth)
		}
	}
	return errors.Join(found.errs...)
}

type lexErrors struct {
	*antlr.DefaultErrorListener
	errs []error
}

// SyntaxError implements antlr.ErrorListener.
func (l *lexErrors) SyntaxError(_ antlr.Recognizer, _ any, _, column int, msg string, _ antlr.RecognitionException) {
	if len(l.errs) == 0 {
		l.errs = append(l.errs, fmt.Errorf("column %d: %s", column+1, strings.Join(strings.Fields(msg), " ")))
	}
}

// tidy makes one line of the parser's errors.
func tidy(err error) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	return errors.New(strings.TrimPrefix(text, "parse error: "))
}

// Passes tells whether the filter lets an event through. An error means that it does not.
func (f *Filter) Passes(e *cloudevent.Event) (bool, error) {
	if f.expr == nil {
		return true, nil
	}
	out, err := f.value(e)
	if err != nil {
		return false, err
	}
	b, ok := out.(bool)
	if !ok {
		return false, fmt.Errorf("filter %q gave %v: it must be true or false", shorten(f.text), out)
	}
	return b, nil
}

func (f *Filter) value(e *cloudevent.Event) (out any, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("filter %q: %v", shorten(f.text), p)
		}
	}()
	if out, err = f.expr.Evaluate(forSQL(e)); err != nil {
		return nil, fmt.Errorf("filter %q: %w", shorten(f.text), err)
	}
	return out, nil
}

// forSQL is the event as the evaluator wants it. What it could not hold, such as a source that is no URI, was refused before.
func forSQL(e *cloudevent.Event) sdk.Event {
	ctx := &sdk.EventContextV1{ID: e.ID, Type: e.Type, Extensions: make(map[string]any, len(e.Extensions))}
	if u := types.ParseURIRef(e.Source); u != nil {
		ctx.Source = *u
	}
	if e.Subject != "" {
		ctx.Subject = &e.Subject
	}
	if e.DataContentType != "" {
		ctx.DataContentType = &e.DataContentType
	}
	if e.DataSchema != "" {
		ctx.DataSchema = types.ParseURI(e.DataSchema)
	}
	if !e.Time.IsZero() {
		ctx.Time = &types.Timestamp{Time: e.Time}
	}
	for name, value := range e.Extensions {
		ctx.Extensions[name] = value
	}
	return sdk.Event{Context: ctx}
}

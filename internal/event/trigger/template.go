package trigger

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// parts is text with expressions in it: literals[0], exprs[0], literals[1]...
type parts struct {
	literals []string
	exprs    []*expr
}

// splitTemplate reads "${CEL}" within text. "$${" is a plain "${".
func splitTemplate(where, text string) (*parts, error) {
	p, literal := &parts{}, strings.Builder{}
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			literal.WriteString(rest)
			p.literals = append(p.literals, literal.String())
			return p, nil
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			literal.WriteString(escaped + "${")
			rest = after
			continue
		}
		literal.WriteString(before)
		end := closing(after)
		if end < 0 {
			return nil, fmt.Errorf("%s: \"${\" is not closed by \"}\" in %q", where, shorten(text))
		}
		e, err := compile(nil, after[:end])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		p.literals, p.exprs = append(p.literals, literal.String()), append(p.exprs, e)
		literal.Reset()
		rest = after[end+1:]
	}
}

// closing finds the brace that ends an expression: not one within braces or quotes of its own.
func closing(text string) int {
	depth, quote := 0, byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth == 0:
			return i
		case c == '}':
			depth--
		}
	}
	return -1
}

func (p *parts) text(v *View) (string, error) {
	var b strings.Builder
	for i, literal := range p.literals {
		b.WriteString(literal)
		if i == len(p.exprs) {
			break
		}
		val, err := p.exprs[i].eval(v, nil)
		if err != nil {
			return "", err
		}
		text, err := plainText(val)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// compileShape replaces the strings of JSON that have expressions in them.
func compileShape(where string, shape any) (any, error) {
	switch x := shape.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			v, err := compileShape(where+"."+k, x[k])
			if err != nil {
				return nil, err
			}
			x[k] = v
		}
	case []any:
		for i := range x {
			v, err := compileShape(fmt.Sprintf("%s[%d]", where, i), x[i])
			if err != nil {
				return nil, err
			}
			x[i] = v
		}
	case string:
		if strings.Contains(x, "${") {
			return splitTemplate(where, x)
		}
	}
	return shape, nil
}

// fill makes JSON of a shape. A string that is one expression and nothing else becomes its value, of whatever type.
func fill(v *View, shape any) (any, error) {
	switch x := shape.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k := range x {
			val, err := fill(v, x[k])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			out[k] = val
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i := range x {
			val, err := fill(v, x[i])
			if err != nil {
				return nil, err
			}
			out[i] = val
		}
		return out, nil
	case *parts:
		if len(x.exprs) == 1 && x.literals[0] == "" && x.literals[1] == "" {
			val, err := x.exprs[0].eval(v, nil)
			if err != nil {
				return nil, err
			}
			return native(val)
		}
		return x.text(v)
	}
	return shape, nil
}

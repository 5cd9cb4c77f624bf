package golang

import (
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// Flags that name a program to run or a file to write would let a build out of its cage, so only those below are taken.

// goProxy checks a list of module proxies; a directory of this machine is none.
func goProxy(k, v string) error {
	for _, p := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == '|' }) {
		p = strings.TrimSpace(p)
		if p != "direct" && p != "off" && !strings.HasPrefix(p, "https://") && !strings.HasPrefix(p, "http://") {
			return lang.InvalidEnv("%s: %q is no module proxy; want https://…, http://…, direct or off", k, p)
		}
	}
	return nil
}

// compilerFlags takes what is passed to every compilation: "-N -l", with or without a leading pattern such as "all=".
func compilerFlags(k, v string) ([]string, error) {
	words, err := fields(k, v)
	if err != nil || len(words) == 0 {
		return nil, err
	}
	first := words[0]
	if pattern, flag, ok := strings.Cut(first, "="); ok && !strings.HasPrefix(pattern, "-") {
		first = flag
	}
	for i, w := range words {
		if i == 0 {
			w = first
		}
		switch {
		case w == "-N", w == "-l", w == "-m", w == "-B", w == "-C", w == "-e", w == "":
		case strings.HasPrefix(w, "-l=") || strings.HasPrefix(w, "-m=") || strings.HasPrefix(w, "-lang=") || strings.HasPrefix(w, "-c="):
		default:
			return nil, lang.InvalidEnv("%s: flag %s is not accepted; accepted: -N -l -m -B -C -e -c= -lang=", k, w)
		}
	}
	return words, nil
}

// linkerFlags takes -s, -w and -X importpath.name=value.
func linkerFlags(k, v string) ([]string, error) {
	words, err := fields(k, v)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(words); i++ {
		switch w := words[i]; {
		case w == "-s", w == "-w", strings.HasPrefix(w, "-X=") && strings.Contains(w[3:], "="):
		case w == "-X" && i+1 < len(words) && strings.Contains(words[i+1], "="):
			i++
		default:
			return nil, lang.InvalidEnv("%s: flag %s is not accepted; accepted: -s -w -X importpath.name=value", k, w)
		}
	}
	return words, nil
}

// buildArgs takes further arguments of `go build`.
func (e *goEnv) buildArgs(k, v string) error {
	words, err := fields(k, v)
	if err != nil {
		return err
	}
	for i := 0; i < len(words); i++ {
		name, value, has := strings.Cut(strings.Replace(words[i], "--", "-", 1), "=")
		switch name {
		case "-v":
			e.goArgs = append(e.goArgs, name)
			continue
		case "-tags", "-gcflags", "-ldflags":
		default:
			return lang.InvalidEnv("%s: argument %s is not accepted; accepted: -v -tags -gcflags -ldflags", k, words[i])
		}
		if !has {
			if i++; i == len(words) {
				return lang.InvalidEnv("%s: %s needs a value", k, name)
			}
			value = words[i]
		}
		if err := e.valued(k, name, value); err != nil {
			return err
		}
	}
	return nil
}

func (e *goEnv) valued(k, name, value string) (err error) {
	switch name {
	case "-tags":
		e.goArgs = append(e.goArgs, "-tags="+value)
	case "-gcflags":
		e.gcflags, err = compilerFlags(k, value)
	case "-ldflags":
		e.ldflags, err = linkerFlags(k, value)
	}
	return err
}

// fields splits at blanks outside of single or double quotes.
func fields(k, v string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	in := false
	for _, r := range v {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, in = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if in {
				words = append(words, word.String())
			}
			word.Reset()
			in = false
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 {
		return nil, lang.InvalidEnv("%s is %q: a quote is not closed", k, v)
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// quoted joins flags so that the go command splits them where they were. A word with both kinds of quotes cannot be said.
func quoted(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch {
		case w != "" && !strings.ContainsAny(w, " \t\r\n'\""):
			b.WriteString(w)
		case !strings.Contains(w, "'"):
			b.WriteString("'" + w + "'")
		default:
			b.WriteString(`"` + strings.ReplaceAll(w, `"`, "") + `"`)
		}
	}
	return b.String()
}

package lang

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Env is the build environment of a function: what all languages understand of it, and the rest.
type Env struct {
	Name, Source, Signature string // FUNC_NAME, FUNC_SRC (clean, inside the source), FUNC_TYPE (http, cloudevent, openfunction, typed)
	ClearSource             bool
	Runtime                 string // FUNC_RUNTIME, such as "go" or "node"
	RuntimeVersion          string // FUNC_RUNTIME_VERSION
	// Command is the command line that starts the program, from FUNC_ENTRYPOINT, a Procfile or the settings of a contract. A language that is
	// given one lays its runtime, the dependencies and the source, or the compiled program, into the image so that the command finds them, and asks
	// for no function. Empty: the language says what is started.
	Command string
	// Contract is what stands between calls and the program (FUNC_CONTRACT): one of the constants below. Empty: the program is a server itself.
	Contract string
	// ContractFound says that Contract was concluded from what the source depends on, and is dropped where it does not fit what was made of it.
	ContractFound bool
	// Tracing is the provider that the function's calls are traced by (FUNC_TRACING): opentelemetry or skywalking. Languages that compile link what it needs.
	Tracing  string
	Programs []string // FUNC_PROGRAMS: more programs of this machine that the program runs
	Labels   map[string]string
	Rest     map[string]string // every other variable, as the user wrote it
}

// The contracts of other platforms.
const (
	ContractServer    = "server"   // a server on the port in PORT, also where something else would be detected
	ContractWatchdog  = "watchdog" // of OpenFaaS
	ContractLambda    = "lambda"   // the runtime API of AWS Lambda; calls are events of the API Gateway
	ContractLambdaRaw = "lambda-raw"
	ContractCGI       = "cgi"
)

var contracts = []string{ContractServer, ContractWatchdog, ContractLambda, ContractLambdaRaw, ContractCGI}

// ignored says why a variable that builders elsewhere know has no effect here.
var ignored = map[string]string{
	"FUNC_FRAMEWORK_VERSION": "the framework of this platform is used",
	"FUNC_DEBUG":             "the log is always complete",
	"FUNC_DEVMODE":           "use `ofn dev`",
}

// google are the variables of Google Cloud's builders that mean the same as one of ours.
var google = map[string]string{
	"GOOGLE_FUNCTION_TARGET":         "FUNC_NAME",
	"GOOGLE_FUNCTION_SOURCE":         "FUNC_SRC",
	"GOOGLE_FUNCTION_SIGNATURE_TYPE": "FUNC_TYPE",
	"GOOGLE_CLEAR_SOURCE":            "FUNC_CLEAR_SOURCE",
	"GOOGLE_RUNTIME":                 "FUNC_RUNTIME",
	"GOOGLE_RUNTIME_VERSION":         "FUNC_RUNTIME_VERSION",
	"GOOGLE_ENTRYPOINT":              "FUNC_ENTRYPOINT",
	"GOOGLE_BUILDABLE":               "FUNC_BUILDABLE",
	"GOOGLE_GOGCFLAGS":               "FUNC_GOGCFLAGS",
	"GOOGLE_GOLDFLAGS":               "FUNC_GOLDFLAGS",
}

// ParseEnv reads the variables that direct a build, and tells in the log which ones do not.
func ParseEnv(vars map[string]string, log io.Writer) (Env, error) {
	e := Env{Labels: map[string]string{}, Rest: map[string]string{}}
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		name := k
		if ours, ok := google[k]; ok {
			if _, both := vars[ours]; both {
				NoEffect(log, k, ours+" says it")
				continue
			}
			name = ours
		}
		if err := e.set(name, strings.TrimSpace(vars[k]), log); err != nil {
			return Env{}, err
		}
	}
	return e, nil
}

func (e *Env) set(k, v string, log io.Writer) (err error) {
	switch k {
	case "FUNC_NAME":
		e.Name = v
	case "FUNC_SRC":
		e.Source, err = Relative(k, v)
	case "FUNC_TYPE":
		e.Signature, err = signatureType(v)
	case "FUNC_CLEAR_SOURCE":
		e.ClearSource, err = boolean(k, v)
	case "FUNC_RUNTIME":
		e.Runtime = v
	case "FUNC_RUNTIME_VERSION":
		e.RuntimeVersion = v
	case "FUNC_ENTRYPOINT":
		e.Command = v
	case "FUNC_CONTRACT":
		e.Contract, err = contract(v)
	case "FUNC_TRACING":
		e.Tracing, err = tracing(v)
	case "FUNC_PROGRAMS":
		e.Programs = strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' })
	default:
		if name, ok := strings.CutPrefix(k, "FUNC_LABEL_"); ok {
			e.Labels["openfunction."+strings.ToLower(strings.ReplaceAll(name, "_", "-"))] = v
		} else if why, ok := ignored[k]; ok {
			NoEffect(log, k, why)
		} else {
			e.Rest[k] = v
		}
	}
	return err
}

func tracing(v string) (string, error) {
	switch v {
	case "", "opentelemetry", "skywalking":
		return v, nil
	}
	return "", InvalidEnv("FUNC_TRACING is %q: it must be opentelemetry or skywalking", v)
}

// NoEffect tells in the log that a variable does nothing here.
func NoEffect(log io.Writer, k, why string) {
	fmt.Fprintf(log, "%s has no effect here: %s\n", k, why)
}

// Unknown tells in the log which of the rest look as if they were meant for the builder and are not known to it: those that begin with
// FUNC_, GOOGLE_ or one of the language's own prefixes.
func (e Env) Unknown(log io.Writer, known func(k string) bool, prefixes ...string) {
	prefixes = append([]string{"FUNC_", "GOOGLE_"}, prefixes...)
	for _, k := range slices.Sorted(maps.Keys(e.Rest)) {
		meant := slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(k, p) })
		if meant && !known(k) {
			NoEffect(log, k, "the native builder does not know it")
		}
	}
}

// Relative checks a path inside the source and makes it clean.
func Relative(k, v string) (string, error) {
	p := path.Clean(strings.TrimPrefix(v, "./"))
	if path.IsAbs(p) || p == ".." || strings.HasPrefix(p, "../") || strings.HasPrefix(p, "-") {
		return "", InvalidEnv("%s is %q: it must be a path inside the source", k, v)
	}
	return p, nil
}

func boolean(k, v string) (bool, error) {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, InvalidEnv("%s is %q: it must be true or false", k, v)
	}
	return b, nil
}

func contract(v string) (string, error) {
	v = strings.ToLower(v)
	if v == "" || slices.Contains(contracts, v) {
		return v, nil
	}
	return "", InvalidEnv("FUNC_CONTRACT is %q: it must be %s", v, strings.Join(contracts, ", "))
}

func signatureType(v string) (string, error) {
	switch strings.ToLower(v) {
	case "", "http", "cloudevent", "openfunction", "typed":
		return v, nil
	case "event":
		return "cloudevent", nil
	}
	return "", InvalidEnv("FUNC_TYPE is %q: it must be http, cloudevent, openfunction or typed", v)
}

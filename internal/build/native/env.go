package native

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/openfunction/ofn/internal/build"
)

// funcEnv is the build environment of a function, understood.
type funcEnv struct {
	name, source, signature string // FUNC_NAME, FUNC_SRC, FUNC_TYPE
	clearSource             bool
	buildable               string
	runtimeVersion          string
	labels                  map[string]string
	gcflags, ldflags        []string
	goArgs                  []string
	goSettings              map[string]string // GOPROXY, GOPRIVATE and their like
	// replaced is filled while compiling: files of the source that were changed in the work directory, with what they held.
	replaced map[string][]byte
}

// ignored says why a variable that builders elsewhere know has no effect here.
var ignored = map[string]string{
	"FUNC_FRAMEWORK_VERSION": "the framework of this platform is used",
	"FUNC_ENTRYPOINT":        "the compiled program is the entrypoint",
	"FUNC_DEBUG":             "the log is always complete",
	"FUNC_DEVMODE":           "use `ofn dev`",
}

// parseEnv reads the variables that direct a build, and tells in the log which ones do not.
func parseEnv(vars map[string]string, log io.Writer) (funcEnv, error) {
	e := funcEnv{labels: map[string]string{}, goSettings: map[string]string{}, replaced: map[string][]byte{}}
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		if err := e.set(k, strings.TrimSpace(vars[k]), log); err != nil {
			return funcEnv{}, err
		}
	}
	return e, nil
}

func (e *funcEnv) set(k, v string, log io.Writer) (err error) {
	switch k {
	case "FUNC_NAME":
		e.name = v
	case "FUNC_SRC":
		e.source, err = relative(k, v)
	case "FUNC_TYPE":
		e.signature, err = signatureType(v)
	case "FUNC_CLEAR_SOURCE":
		e.clearSource, err = boolean(k, v)
	case "FUNC_BUILDABLE":
		e.buildable, err = relative(k, v)
	case "FUNC_RUNTIME":
		if !strings.HasPrefix(v, "go") {
			err = failure("LanguageUnsupported", "FUNC_RUNTIME is %q: the native builder builds Go", v)
		}
	case "FUNC_RUNTIME_VERSION":
		e.runtimeVersion = v
	case "FUNC_GOPROXY", "GOPROXY":
		e.goSettings["GOPROXY"], err = v, goProxy(k, v)
	case "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE":
		e.goSettings[k] = v
	case "FUNC_GOGCFLAGS":
		e.gcflags, err = compilerFlags(k, v)
	case "FUNC_GOLDFLAGS":
		e.ldflags, err = linkerFlags(k, v)
	case "FUNC_BUILD_ARGS":
		err = e.buildArgs(k, v)
	default:
		e.other(k, v, log)
	}
	return err
}

func (e *funcEnv) other(k, v string, log io.Writer) {
	if name, ok := strings.CutPrefix(k, "FUNC_LABEL_"); ok {
		e.labels["openfunction."+strings.ToLower(strings.ReplaceAll(name, "_", "-"))] = v
		return
	}
	if why, ok := ignored[k]; ok {
		fmt.Fprintf(log, "%s has no effect here: %s\n", k, why)
		return
	}
	if strings.HasPrefix(k, "FUNC_") || strings.HasPrefix(k, "GO") || strings.HasPrefix(k, "CGO_") {
		fmt.Fprintf(log, "%s has no effect here: the native builder does not know it\n", k)
	}
}

func boolean(k, v string) (bool, error) {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, invalidEnv("%s is %q: it must be true or false", k, v)
	}
	return b, nil
}

func signatureType(v string) (string, error) {
	switch strings.ToLower(v) {
	case "", "http", "cloudevent", "openfunction":
		return v, nil
	case "event":
		return "cloudevent", nil
	}
	return "", invalidEnv("FUNC_TYPE is %q: it must be http, cloudevent or openfunction", v)
}

func invalidEnv(format string, args ...any) *build.Failure {
	return failure("EnvInvalid", "build.env: "+format, args...)
}

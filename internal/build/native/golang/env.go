package golang

import (
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// goEnv is the build environment as Go understands it.
type goEnv struct {
	lang.Env
	buildable        string            // FUNC_BUILDABLE
	gcflags, ldflags []string          // FUNC_GOGCFLAGS, FUNC_GOLDFLAGS
	goArgs           []string          // FUNC_BUILD_ARGS
	goSettings       map[string]string // GOPROXY, GOPRIVATE and their like
}

// job is a build of Go.
type job struct {
	*lang.Job
	env goEnv
}

var known = []string{"FUNC_BUILDABLE", "FUNC_GOPROXY", "GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE",
	"FUNC_GOGCFLAGS", "FUNC_GOLDFLAGS", "FUNC_BUILD_ARGS"}

func parseEnv(common lang.Env, log io.Writer) (goEnv, error) {
	e := goEnv{Env: common, goSettings: map[string]string{}}
	for _, k := range slices.Sorted(maps.Keys(common.Rest)) {
		if err := e.set(k, strings.TrimSpace(common.Rest[k])); err != nil {
			return goEnv{}, err
		}
	}
	common.Unknown(log, func(k string) bool { return slices.Contains(known, k) }, "GO", "CGO_")
	return e, nil
}

func (e *goEnv) set(k, v string) (err error) {
	switch k {
	case "FUNC_BUILDABLE":
		e.buildable, err = lang.Relative(k, v)
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
	}
	return err
}

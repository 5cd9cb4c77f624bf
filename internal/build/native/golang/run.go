package golang

import (
	"context"
	"fmt"
	"go/version"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// goRun is one run of the go command.
type goRun struct {
	args []string
	env  []string
	dir  string
}

// run runs the go command with its words in the log, paths as the user knows them, and makes of a failed run a *build.Failure.
func (g *Golang) run(ctx context.Context, j *job, p *plan, r goRun) error {
	mod := g.modCache(j.env.goSettings, j.Request)
	if err := os.MkdirAll(mod, 0o750); err != nil {
		return fmt.Errorf("preparing the module cache: %w", err)
	}
	lang.Touch(mod)
	said := newWords(j, p)
	code, err := g.opts.Run(ctx, j.Job, lang.Command{
		Args:      append([]string{filepath.Join(g.opts.GoRoot, "bin/go")}, r.args...),
		Env:       append(g.environment(j, mod), r.env...),
		Dir:       r.dir,
		ReadOnly:  []string{g.opts.GoRoot, filepath.Dir(g.full)},
		ReadWrite: []string{g.buildCache(), mod},
		Network:   true,
		Output:    said,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return explain(code, said.Text())
	}
	return nil
}

// environment is all that the go command sees of the world. Nothing in it comes from the user but what parseEnv let through.
func (g *Golang) environment(j *job, modCache string) []string {
	env := []string{
		"PATH=" + filepath.Join(g.opts.GoRoot, "bin") + ":/usr/local/bin:/usr/bin:/bin", // git, for modules that no proxy has
		"LC_ALL=C",
		"GOROOT=" + g.opts.GoRoot, "GOPATH=" + filepath.Join(j.Work, "home/go"),
		"GOCACHE=" + g.buildCache(), "GOMODCACHE=" + modCache,
		"GOENV=off", "GOFLAGS=", "GOTOOLCHAIN=local", "GO111MODULE=on", "CGO_ENABLED=0", "GOTELEMETRY=off",
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
	}
	switch {
	case j.wasm():
		env = append(env, "GOOS="+wasmOS, "GOARCH="+wasmArch)
	case g.opts.Arch != "":
		env = append(env, "GOOS="+g.opts.OS, "GOARCH="+g.opts.Arch)
	default:
		env = append(env, "GOOS="+g.opts.OS)
	}
	if g.opts.Limits.CPUMillis > 0 {
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", int(math.Ceil(float64(g.opts.Limits.CPUMillis)/1000))))
	}
	if g.opts.GoProxy != "" {
		env = append(env, "GOPROXY="+g.opts.GoProxy)
	}
	if g.opts.GoSumDB != "" {
		env = append(env, "GOSUMDB="+g.opts.GoSumDB)
	}
	settings := maps.Clone(g.opts.Settings)
	if settings == nil {
		settings = map[string]string{}
	}
	maps.Copy(settings, j.env.goSettings)
	for k, v := range settings {
		env = append(env, k+"="+v)
	}
	return env
}

// checkRuntime compares FUNC_RUNTIME_VERSION, such as "1.17" or "1.17.3", with the toolchain. An older one is met by compatibility.
func (g *Golang) checkRuntime(want string, log io.Writer) error {
	if want == "" {
		return nil
	}
	v := "go" + strings.TrimPrefix(want, "go")
	switch {
	case !version.IsValid(v):
		return lang.InvalidEnv("FUNC_RUNTIME_VERSION is %q: it must be a version of Go such as 1.26", want)
	case version.Compare(version.Lang(v), version.Lang(g.version)) > 0:
		return lang.Failure("RuntimeUnsupported", "FUNC_RUNTIME_VERSION asks for Go %s; this machine builds with %s: update its Go, or ask for less", want, g.version)
	case version.Lang(v) != version.Lang(g.version):
		fmt.Fprintf(log, "FUNC_RUNTIME_VERSION %s: building with %s, which keeps the language of the version in go.mod\n", want, g.version)
	}
	return nil
}

package python

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// patience is how long the module of a function may take to load.
const patience = 2 * time.Minute

// maxFound is much more than any application has functions.
const maxFound = 16 << 20

// found is what the check tells.
type found struct {
	File      string
	Functions []struct {
		Name, Kind, Path string
		Methods          []string
	}
	// Error, Trace and Reason are set instead when there is nothing to serve.
	Error, Trace, Reason string
}

// check loads the function as it will be loaded when it is served, without a network, so that what is wrong with it is told now.
func (p *Python) check(ctx context.Context, j *job) error {
	if j.Env.Command != "" { // which says what is started
		return nil
	}
	limited, cancel := context.WithTimeoutCause(ctx, patience, lang.Failure("LoadTimeout",
		"the function takes longer than %v to load: a module must not start a server or a loop when it is imported; put that below if __name__ == \"__main__\"", patience))
	defer cancel()
	result := filepath.Join(j.Work, "found.json")
	source := j.dir
	if j.Env.Source != "" {
		source = filepath.Join(j.dir, filepath.FromSlash(j.Env.Source))
	}
	env := map[string]string{
		"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/local/bin:/usr/bin:/bin", "FUNCTION_SOURCE": source,
		"FUNCTION_TARGET": j.Env.Name, "FUNCTION_SIGNATURE_TYPE": strings.ToLower(j.Env.Signature), "OFN_CHECK": result,
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	said := newWords(j)
	paths := []string{j.frame}
	if j.deps.dir != "" {
		paths = append(paths, j.deps.dir)
	}
	code := fmt.Sprintf("import sys\nsys.path[:1] = []\nsys.path += %s\nimport site\n[site.addsitedir(p) for p in %s]\nfrom functions_framework._check import main\nmain()",
		quoted(append(paths, filepath.Join(j.frame, serverDir))), quoted(paths[1:]))
	exit, err := p.opts.Run(limited, j.Job, lang.Command{
		Args: []string{j.python.Program, "-S", "-c", code}, Env: list, Dir: j.dir, ReadOnly: append(j.python.readOnly(), paths...), Output: said,
	})
	if err != nil {
		var failed *build.Failure
		if cause := context.Cause(limited); ctx.Err() == nil && errors.As(cause, &failed) {
			return failed
		}
		return err
	}
	data, err := lang.ReadMade(j.Work, result, maxFound)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return lang.Failure("ImportFailed", "the process ended with code %d while the function was loaded: a module must not end the process when it is imported\n%s", exit, said.Text())
	}
	if err := json.Unmarshal(data, &j.found); err != nil {
		return fmt.Errorf("reading what the check of the function found: %w", err)
	}
	return j.judge(said)
}

func (j *job) judge(said *lang.Words) error {
	if f := j.found; f.Error != "" {
		text := f.Error
		if f.Trace != "" {
			text += "\n" + strings.TrimSpace(f.Trace)
		}
		return lang.Failure(f.Reason, "%s", said.Rewrite.Replace(text))
	}
	for _, f := range j.found.Functions {
		where := ""
		if f.Path != "/" {
			where = " at " + f.Path
		}
		fmt.Fprintf(j.Log, "found %s (%s)%s in %s\n", f.Name, f.Kind, where, j.relative())
	}
	return nil
}

// relative is the file of the function, slash-separated, from where the build begins.
func (j *job) relative() string {
	rel, err := filepath.Rel(j.dir, j.found.File)
	if err != nil {
		return filepath.Base(j.found.File)
	}
	return filepath.ToSlash(rel)
}

// quoted is a list of Python.
func quoted(paths []string) string {
	data, _ := json.Marshal(paths) // strings always marshal; JSON's strings are Python's too
	return string(data)
}

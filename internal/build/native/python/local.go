package python

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// localStart begins a function on this machine: it searches the framework, the installed packages, which may bring .pth files, and at last
// what the framework's server requires, in the order of an image.
const localStart = `import sys
sys.path[:1] = []
sys.path += %s
import builtins
builtins.exit = builtins.quit = sys.exit
import site
[site.addsitedir(p) for p in %s]
from functions_framework._main import main
main()
`

// localProgram is the program as it runs on this machine: with its interpreter, and the framework and packages in their caches.
func (p *Python) localProgram(j *job) (lang.Program, error) {
	searched, packages := []string{j.frame}, []string{}
	if j.deps.dir != "" {
		searched, packages = append(searched, j.deps.dir), append(packages, j.deps.dir)
	}
	searched = append(searched, filepath.Join(j.frame, serverDir))
	source := build.LocalRoot + "/" + path.Join(lang.SourceDir, j.relative())
	run := lang.Local{
		Args: []string{j.python.Program, "-S", "-c", fmt.Sprintf(localStart, quoted(searched), quoted(packages))},
		Env:  []string{"PYTHONDONTWRITEBYTECODE=1", "FUNCTION_SOURCE=" + source},
	}
	if j.Env.Name != "" {
		_, name, _ := lastCut(j.Env.Name)
		run.Env = append(run.Env, "FUNCTION_TARGET="+name)
	}
	if j.Env.Signature != "" {
		run.Env = append(run.Env, "FUNCTION_SIGNATURE_TYPE="+strings.ToLower(j.Env.Signature))
	}
	return lang.Program{SourceNeeded: true, ListenFD: true, Local: &run}, nil
}

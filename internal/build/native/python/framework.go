package python

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// Where things are in an image.
const (
	imageProgram   = "usr/local/bin/python3"
	imageFramework = lang.AppDir + "/python"
	imagePackages  = lang.AppDir + "/packages"
	// serverDir, below the framework, holds what its server requires. It is searched last, so that a function's own choice wins.
	serverDir = "lib"
	startFile = "start.py"
)

func imageStdlib(i interpreter) string { return "/usr/local/lib/python" + i.Version.String() }

// start begins a function. The interpreter is started without the module site, which costs time and finds nothing here; packages that
// bring .pth files want it all the same.
const start = `import sys
here = sys.path[0]
sys.path[:1] = []
sys.path += [here, "/app/packages", here + "/lib"]
import builtins
builtins.exit = builtins.quit = sys.exit
%sfrom functions_framework._main import main
main()
`

// framework makes the directory of the framework with what its server requires, compiled.
func (p *Python) framework(ctx context.Context, j *job) error {
	name := fmt.Sprintf("frameworks/%s-%s", j.python.key(), p.fwHash)
	var err error
	j.frame, err = p.made(ctx, j, name, func(dir string) error {
		for name, data := range p.opts.Framework {
			at := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				return fmt.Errorf("writing the framework: %w", err)
			}
			if err := os.WriteFile(at, data, 0o644); err != nil {
				return fmt.Errorf("writing the framework: %w", err)
			}
		}
		requirements := filepath.Join(j.Work, "framework-requirements.txt")
		if err := os.WriteFile(requirements, p.opts.Requirements, 0o644); err != nil {
			return fmt.Errorf("writing the framework's requirements: %w", err)
		}
		fmt.Fprintln(j.Log, "installing what the framework's server requires, once")
		target := filepath.Join(dir, serverDir)
		err := p.pip(ctx, j, "the framework's server", target, []string{"--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", requirements})
		if err != nil {
			return err
		}
		return p.bytecode(ctx, j, dir, "/"+imageFramework)
	})
	return err
}

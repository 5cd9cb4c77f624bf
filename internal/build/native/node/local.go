package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// localProgram is the program as it runs on this machine: with its interpreter, and links to the framework and the installed modules.
func (n *Node) localProgram(j *job) (lang.Program, error) {
	p := j.plan
	frame, err := n.localFramework(j)
	if err != nil {
		return lang.Program{}, err
	}
	prog := lang.Program{SourceNeeded: true}
	run := lang.Local{Links: map[string]string{"node_modules": filepath.Join(frame, "node_modules")}}
	modules := path.Join(lang.SourceDir, j.inImage(p.root), "node_modules")
	switch {
	case j.modules == "":
	case j.shared:
		run.Links[modules] = filepath.Join(j.modules, "node_modules")
	default: // in the work directory
		l, err := lang.DirLayer(filepath.Join(j.modules, "node_modules"), modules, nil)
		if err != nil {
			return prog, err
		}
		prog.Layers = append(prog.Layers, l)
	}
	above, err := j.generated()
	if err != nil {
		return prog, err
	}
	if len(above) > 0 {
		prog.Above = []build.Layer{above}
	}
	prog.Local = &run
	return prog, j.localEntrypoint(&prog)
}

// localEntrypoint makes the entrypoint of the image one of this machine.
func (j *job) localEntrypoint(prog *lang.Program) error {
	image, run := lang.Program{}, prog.Local
	if j.plan.server != nil {
		if err := j.asServer(&image); err != nil {
			return err
		}
		run.Dir = build.LocalRoot + "/" + path.Join(lang.SourceDir, j.inImage(j.plan.root))
	} else {
		j.asFunction(&image, "")
	}
	prog.ListenFD = image.ListenFD
	for _, arg := range image.Entrypoint {
		run.Args = append(run.Args, localPath(arg))
	}
	run.Args[0] = j.runtime.program
	for _, e := range image.Env {
		k, v, _ := strings.Cut(e, "=")
		run.Env = append(run.Env, k+"="+localPath(v))
	}
	return nil
}

// localPath leads a path of the image to where its files lie.
func localPath(s string) string {
	if strings.HasPrefix(s, "/"+lang.SourceDir+"/") || strings.HasPrefix(s, "/node_modules/") {
		return build.LocalRoot + s
	}
	return s
}

// localFramework is a directory that outlives builds and has the framework in its node_modules.
func (n *Node) localFramework(j *job) (string, error) {
	dir := filepath.Join(n.opts.Cache, "framework", n.fwHash)
	if _, err := os.Stat(dir); err == nil {
		lang.Touch(dir)
		return dir, nil
	}
	stage, err := os.MkdirTemp(j.Work, "framework-")
	if err != nil {
		return "", fmt.Errorf("writing the framework: %w", err)
	}
	if err := n.writeFramework(stage); err != nil {
		return "", err
	}
	if err := os.Rename(stage, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keeping the framework: %w", err)
	}
	return dir, nil
}

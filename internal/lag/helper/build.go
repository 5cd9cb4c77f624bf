package helper

import (
	"context"
	"errors"

	"github.com/openfunction/ofn/internal/compile"
)

// packages is about how many packages the program is made of, for the progress.
const packages = 3300

// described is the program, which may be there, built, at the paths of find.
func described(find []string) compile.Program {
	return compile.Program{
		Name: "ofn-scalers", Purpose: "asks the sources of scaling triggers", Version: digest(), Find: find, Packages: packages,
		Args:   []string{"-tags=keda", "."},
		Source: func(_ context.Context, _ compile.Tool, dir string) (string, error) { return dir, unpack(dir) },
	}
}

// Program is the path of the program: the first of find that there is, or the one built from this source in dir; empty without any.
func Program(dir string, find []string) string { return compile.Find(dir, described(find)) }

// program returns the path of the program, built when there is none.
func (h *Helper) program(ctx context.Context) (string, error) {
	if p := Program(h.opt.Dir, h.opt.Find); p != "" {
		return p, nil
	}
	if h.opt.Compiler == nil {
		return "", errors.New("the program ofn-scalers is not there, and nothing builds it")
	}
	return h.opt.Compiler.Get(ctx, described(h.opt.Find), func(message string) { h.say("Building", message) })
}

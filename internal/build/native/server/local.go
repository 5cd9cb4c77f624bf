package server

import (
	"path"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// local is how the program runs where it was built: the same command over the same files, with this machine's own programs.
func (l *launch) local(made *lang.Local, kept int) *lang.Local {
	out := &lang.Local{Dir: build.LocalRoot + "/" + lang.SourceDir}
	if l.job.Env.Command == "" {
		out.Dir = ""
	}
	if made != nil {
		out.Links, out.Env = made.Links, slices.Clone(made.Env)
	}
	for _, arg := range l.program.Entrypoint {
		out.Args = append(out.Args, l.localWord(arg))
	}
	if made != nil && l.job.Env.Command == "" { // what the language starts, as it starts it here
		out.Args = append(slices.Clone(out.Args[:2]), made.Args...)
	}
	for _, e := range l.program.Env[kept:] {
		k, v, _ := strings.Cut(e, "=")
		out.Env = append(out.Env, k+"="+l.localWord(v))
	}
	return out
}

// localWord leads a path of the image to where it is here.
func (l *launch) localWord(word string) string {
	switch {
	case word == "/"+shimPath:
		return l.shimFile()
	case strings.HasPrefix(word, "/"+lang.SourceDir), strings.HasPrefix(word, "/"+lang.AppDir+"/"):
		return build.LocalRoot + word
	case path.IsAbs(word) && l.there[word[1:]]: // an interpreter that the language laid in, or a program of this machine
		if file := l.opts.Find(path.Base(word)); file != "" {
			return file
		}
	}
	return word
}

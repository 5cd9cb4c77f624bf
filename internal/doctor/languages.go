package doctor

import (
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Language is what functions of a language besides Go are built with.
type Language struct {
	Name    string // "Node.js"
	Install string // packages of the system: "nodejs npm"
	Tools   []Tool // the first one tells whether the language is meant to be there
}

// Tool is a program of a language.
type Tool struct {
	Program
	Name   string // "npm"
	Needed string // lowest version that will do; empty: any
}

// languages says what can be built. A language that is not there is no fault: not everybody needs it.
func languages(f Facts) []Finding {
	var out []Finding
	for _, l := range f.Languages {
		out = append(out, l.judge()...)
	}
	return out
}

func (l Language) judge() []Finding {
	install := "install " + l.Install + " with your system's packages"
	if len(l.Tools) == 0 || l.Tools[0].Path == "" {
		return one(l.Name, OK, "to build it, "+install, "not there: functions in it cannot be built here, images of it run")
	}
	var has []string
	for _, t := range l.Tools {
		switch {
		case t.Path == "":
			return one(l.Name, Warn, install, "there is no %s: not every function in it can be built", t.Name)
		case t.Err != nil:
			return one(l.Name, Warn, install+" anew", "%s does not work: %v", t.Path, t.Err)
		case t.old():
			return one(l.Name, Warn, "update "+t.Name, "%s is version %s: functions are built with %s or newer", t.Path, t.Version, t.Needed)
		}
		has = append(has, t.Name+" "+t.Version)
	}
	return one(l.Name, OK, "", "%s", strings.Join(has, ", "))
}

// old is false for versions that cannot be read: the build will tell.
func (t Tool) old() bool {
	has, err := semver.NewVersion(t.Version)
	if err != nil || t.Needed == "" {
		return false
	}
	needed, err := semver.NewVersion(t.Needed)
	return err == nil && has.LessThan(needed)
}

package java

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// step is one command of a build.
type step struct {
	args    []string
	env     []string
	dir     string // empty is where the build begins
	sees    []string
	writes  []string
	network bool
	quiet   bool // only what is wrong is shown
}

// run runs a command and returns its exit code and what it said, at most the end of it.
func (l *Java) run(ctx context.Context, j *job, s step) (int, string, error) {
	if s.dir == "" {
		s.dir = j.dir
	}
	log := j.Log
	if s.quiet {
		log = io.Discard
	}
	w := &lang.Words{Log: log, Rewrite: strings.NewReplacer(j.dir+"/", "", j.dir, ".", j.Work+"/project/", "", j.Work+"/", "")}
	env := []string{"PATH=" + j.kit.home + "/bin:/usr/local/bin:/usr/bin:/bin", "JAVA_HOME=" + j.kit.home, "LC_ALL=C.UTF-8", "LANG=C.UTF-8", "CI=true", "NO_COLOR=1"}
	code, err := l.opts.Run(ctx, j.Job, lang.Command{
		Args: s.args, Env: append(env, s.env...), Dir: s.dir, ReadOnly: append(j.kit.visible(), s.sees...), ReadWrite: s.writes, Network: s.network, Output: w,
	})
	return code, w.Text(), err
}

// userHome tells Java where its home is, which it otherwise takes from the list of users and not from the environment: logins are there.
func (j *job) userHome() string { return "-Duser.home=" + filepath.Join(j.Work, "home") }

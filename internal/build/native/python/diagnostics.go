package python

import (
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// newWords takes what a tool says; progress is no part of a failure.
func newWords(j *job) *lang.Words {
	return &lang.Words{
		Log:     j.Log,
		Rewrite: strings.NewReplacer(j.dir+"/.ofn-requirements.txt", j.deps.file, j.dir+"/", "", j.dir, ".", j.Work+"/", ""),
		Quiet: func(line string) bool {
			line = strings.TrimSpace(line)
			return slices.ContainsFunc([]string{"Collecting ", "Downloading ", "Using cached ", "Installing collected ", "Looking in ",
				"WARNING: Target directory", "Requirement already", "[notice]"}, func(progress string) bool { return strings.HasPrefix(line, progress) })
		},
	}
}

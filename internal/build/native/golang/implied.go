package golang

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/openfunction/ofn/internal/build"
)

// maxImplied is how many times a build is tried again with modules that go.mod leaves out.
const maxImplied = 3

// implied is how the go command says that a package's module is known, but by the go.mod of another module only.
var implied = regexp.MustCompile(`(?m)^\s*go get (\S+)@(v\S+)$`)

// requireImplied adds to the working copy's go.mod the modules that err says it leaves out although something it requires brings
// them, at the versions that those have. Builders that run `go mod tidy` allow such sources; unlike it, this never looks for versions.
func (m module) requireImplied(j *job, err error) (added bool, _ error) {
	var failure *build.Failure
	if m.file == nil || !errors.As(err, &failure) || !strings.Contains(failure.Message, "from implicitly required module") {
		return false, nil
	}
	for _, found := range implied.FindAllStringSubmatch(failure.Message, -1) {
		if err := m.file.AddRequire(found[1], found[2]); err != nil {
			return false, fmt.Errorf("editing go.mod: %w", err)
		}
		fmt.Fprintf(j.Log, "go.mod does not require %s: taking %s, which what it requires needs; run `go mod tidy` and commit go.mod and go.sum to fix that version\n", found[1], found[2])
		added = true
	}
	if !added {
		return false, nil
	}
	return true, m.rewrite(j)
}

package native

import (
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// What cannot be built is named by the files of the function, not by those beside it in the repository.
func TestUnsupported(t *testing.T) {
	s := &Strategy{}
	for want, file := range map[string]string{"Ruby": "fn/Gemfile", ".NET": "fn/hello.csproj", "C or C++": "fn/CMakeLists.txt", "cannot tell": "fn/notes"} {
		tree := &lang.Tree{Sub: "fn", Files: []lang.File{{Path: "other/Dockerfile"}, {Path: file}}}
		if _, err := s.choose(tree, lang.Env{}, ""); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Dockerfile") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

package native

import (
	"context"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
)

// language compiles sources of one programming language.
type language interface {
	// detect tells whether the source is of this language, by its file names.
	detect(t *tree, env funcEnv) bool
	// compile leaves a program in the job's work directory.
	compile(ctx context.Context, j *job) (program, error)
}

// job is one build on its way through a language.
type job struct {
	request build.Request
	env     funcEnv
	tree    *tree
	work    string // directory of this build alone
	log     io.Writer
}

// program is what a language makes of a source.
type program struct {
	file     string // the executable, on this machine
	env      []string
	labels   map[string]string
	listenFD bool // takes its listening socket as file descriptor 3, in the manner of systemd
}

// markers tell other languages apart, for the sake of the message.
var markers = map[string]string{
	"package.json": "Node.js", "requirements.txt": "Python", "main.py": "Python", "pyproject.toml": "Python",
	"pom.xml": "Java", "build.gradle": "Java", "build.gradle.kts": "Java", "Cargo.toml": "Rust",
	"Gemfile": "Ruby", "composer.json": "PHP", "Dockerfile": "a Dockerfile",
}

func (s *Strategy) detect(t *tree, env funcEnv) (language, error) {
	if len(t.files) == 0 {
		return nil, failure("SourceEmpty", "the source holds no files%s", at(t.sub))
	}
	for _, name := range slices.Sorted(maps.Keys(s.languages)) {
		if l := s.languages[name]; l.detect(t, env) {
			return l, nil
		}
	}
	supported := strings.Join(slices.Sorted(maps.Keys(s.languages)), ", ")
	for _, f := range t.files {
		if lang, ok := markers[path.Base(f.path)]; ok {
			return nil, failure("LanguageUnsupported", "%s says the source is %s, which the native builder cannot build; it builds: %s", f.path, lang, supported)
		}
	}
	return nil, failure("LanguageUnsupported", "cannot tell the language of the source%s: the native builder builds %s and found no file of it", at(t.sub), supported)
}

func at(sub string) string {
	if sub == "." {
		return ""
	}
	return " in " + sub
}

package native

import (
	"path"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// markers tell languages apart that nothing here builds, for the sake of the message.
var markers = map[string]string{
	"package.json": "Node.js", "requirements.txt": "Python", "main.py": "Python", "pyproject.toml": "Python",
	"pom.xml": "Java", "build.gradle": "Java", "build.gradle.kts": "Java", "Cargo.toml": "Rust",
	"Gemfile": "Ruby", "composer.json": "PHP", "Dockerfile": "a Dockerfile",
	"CMakeLists.txt": "C or C++", ".csproj": ".NET", ".fsproj": ".NET", // those of a project have names of their own
}

// choose finds the language of a source: what FUNC_RUNTIME says, else the first that recognises the files, where the one that the
// builder image is named after is asked first.
func (s *Strategy) choose(t *lang.Tree, env lang.Env, builder string) (lang.Entry, error) {
	if len(t.Files) == 0 {
		return lang.Entry{}, lang.Failure("SourceEmpty", "the source holds no files%s", lang.At(t.Sub))
	}
	if env.Runtime != "" {
		if l, ok := s.named(env.Runtime); ok {
			return l, nil
		}
		return lang.Entry{}, lang.Failure("LanguageUnsupported", "FUNC_RUNTIME is %q: the native builder builds %s", env.Runtime, s.supported())
	}
	if l, ok := s.named(builderRuntime(builder)); ok && l.Language.Detect(t, env) {
		return l, nil
	}
	for _, l := range s.opts.Languages {
		if l.Language.Detect(t, env) {
			return l, nil
		}
	}
	for _, f := range t.Files {
		if _, in := lang.Below(t.Sub, f.Path); !in {
			continue
		}
		name, ok := markers[path.Base(f.Path)]
		if !ok {
			name, ok = markers[path.Ext(f.Path)]
		}
		if ok {
			return lang.Entry{}, lang.Failure("LanguageUnsupported", "%s says the source is %s, which the native builder cannot build; it builds: %s", f.Path, name, s.supported())
		}
	}
	return lang.Entry{}, lang.Failure("LanguageUnsupported", "cannot tell the language of the source%s: the native builder builds %s and found no file of these", lang.At(t.Sub), s.supported())
}

// named finds the language of a runtime such as "go", "go121", "python3.11" or "nodejs".
func (s *Strategy) named(runtime string) (lang.Entry, bool) {
	runtime = strings.TrimRight(strings.ToLower(runtime), "0123456789.")
	for _, l := range s.opts.Languages {
		if runtime != "" && slices.Contains(l.Runtimes, runtime) {
			return l, true
		}
	}
	return lang.Entry{}, false
}

func (s *Strategy) supported() string {
	var names []string
	for _, l := range s.opts.Languages {
		names = append(names, l.Name)
	}
	return strings.Join(names, ", ")
}

package python

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	pep440 "github.com/aquasecurity/go-pep440-version"
	"github.com/pelletier/go-toml/v2"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// dependencies is what a project says that it needs.
type dependencies struct {
	file   string // the file that says it, relative to where the build begins; empty when nothing is needed
	text   []byte // the same as lines of a requirements file; nil when the file itself is one
	locked bool   // every version is fixed, so that what was installed may be kept
	uv     bool   // uv must write the text first
	dir    string // where the packages are for the image; empty when there are none
}

// project is what is read of a pyproject.toml.
type project struct {
	Project *struct {
		RequiresPython string   `toml:"requires-python"`
		Dependencies   []string `toml:"dependencies"`
	} `toml:"project"`
	Tool struct {
		Poetry *struct {
			Dependencies map[string]any `toml:"dependencies"`
		} `toml:"poetry"`
	} `toml:"tool"`
}

// readDependencies chooses the file that says most exactly what is needed: a lock file, requirements.txt, pyproject.toml.
func readDependencies(j *job) (dependencies, error) {
	p, err := readProject(j)
	if err != nil {
		return dependencies{}, err
	}
	if err := p.checkPython(j.python); err != nil {
		return dependencies{}, err
	}
	has := func(name string) bool { _, err := os.Stat(filepath.Join(j.dir, name)); return err == nil }
	switch {
	case has("uv.lock"):
		return dependencies{file: "uv.lock", locked: true, uv: true}, nil
	case has("poetry.lock"):
		text, err := readLock(j, "poetry.lock", poetryLock)
		return dependencies{file: "poetry.lock", text: text, locked: true}, err
	case has("Pipfile.lock"):
		text, err := readLock(j, "Pipfile.lock", pipfileLock)
		return dependencies{file: "Pipfile.lock", text: text, locked: true}, err
	case has("requirements.txt"):
		return requirements(j)
	case p.Project != nil && len(p.Project.Dependencies) > 0:
		return dependencies{file: "pyproject.toml", text: []byte(strings.Join(p.Project.Dependencies, "\n") + "\n")}, nil
	case p.Tool.Poetry != nil && len(p.Tool.Poetry.Dependencies) > 1:
		return dependencies{}, lang.Failure("LockMissing", "pyproject.toml has dependencies of Poetry, and there is no poetry.lock: run `poetry lock` and commit it")
	case has("Pipfile"):
		return dependencies{}, lang.Failure("LockMissing", "there is a Pipfile without Pipfile.lock: run `pipenv lock` and commit it")
	}
	return dependencies{}, nil
}

func readProject(j *job) (project, error) {
	var p project
	data, err := os.ReadFile(filepath.Join(j.dir, "pyproject.toml"))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("reading pyproject.toml: %w", err)
	}
	if err := toml.Unmarshal(data, &p); err != nil {
		return p, lang.Failure("ProjectInvalid", "pyproject.toml cannot be read: %s", tomlError(err))
	}
	return p, nil
}

// tomlError says where a document is wrong.
func tomlError(err error) string {
	var at *toml.DecodeError
	if errors.As(err, &at) {
		row, column := at.Position()
		return fmt.Sprintf("line %d, column %d: %v", row, column, err)
	}
	return err.Error()
}

// checkPython compares requires-python with the interpreter.
func (p project) checkPython(have interpreter) error {
	if p.Project == nil || p.Project.RequiresPython == "" {
		return nil
	}
	want, err := pep440.NewSpecifiers(p.Project.RequiresPython)
	if err != nil {
		return lang.Failure("ProjectInvalid", "pyproject.toml: requires-python is %q: %v", p.Project.RequiresPython, err)
	}
	v, err := pep440.Parse(have.Full)
	if err != nil {
		return fmt.Errorf("reading the version of Python: %w", err)
	}
	if !want.Check(v) {
		return lang.Failure("RuntimeUnsupported", "pyproject.toml wants Python %s, and this machine has %s: install another python3, or ask for less", p.Project.RequiresPython, have.Full)
	}
	return nil
}

var (
	pinned = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?\s*===?\s*[^*,\s;]+\s*(;.*|--hash.*|\\)?$`)
	// replaced are packages whose API the framework has itself; what they need does not go together with newer Pythons.
	replaced = regexp.MustCompile(`(?i)^ofn[-_.]functions[-_.]framework\b`)
)

// requirements reads a requirements.txt: whether it fixes every version, and whether it names what the framework stands in for.
func requirements(j *job) (dependencies, error) {
	data, err := os.ReadFile(filepath.Join(j.dir, "requirements.txt"))
	if err != nil {
		return dependencies{}, fmt.Errorf("reading requirements.txt: %w", err)
	}
	d := dependencies{file: "requirements.txt", locked: true}
	var kept [][]byte
	wanted, dropped, continues := 0, false, false
	for line := range bytes.Lines(data) {
		text, _, _ := strings.Cut(" "+strings.TrimSpace(string(line)), " #")
		text = strings.TrimSpace(text)
		was := continues
		continues = strings.HasSuffix(text, "\\")
		switch {
		case replaced.MatchString(text):
			dropped = true
			continue
		case text == "" || was:
		case pinned.MatchString(text):
			wanted++
		default:
			wanted++
			d.locked = false
		}
		kept = append(kept, line)
	}
	if dropped {
		fmt.Fprintln(j.Log, "requirements.txt names ofn-functions-framework: the framework of this platform is used, and what it needs is not installed")
		d.text = append(bytes.Join(kept, nil), '\n')
	}
	if wanted == 0 {
		return dependencies{}, nil
	}
	return d, nil
}

package node

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// manifest is what a build reads of package.json.
type manifest struct {
	Name           string            `json:"name"`
	Main           string            `json:"main"`
	Type           string            `json:"type"`
	PackageManager string            `json:"packageManager"`
	Scripts        map[string]string `json:"scripts"`
	Engines        struct {
		Node string `json:"node"`
	} `json:"engines"`
	Dependencies         map[string]string `json:"dependencies"`
	DevDependencies      map[string]string `json:"devDependencies"`
	OptionalDependencies map[string]string `json:"optionalDependencies"`
	Workspaces           json.RawMessage   `json:"workspaces"`

	present bool
	path    string // in the source
	text    []byte
}

// readManifest reads a package.json of the source; without one the result is empty.
func readManifest(t *lang.Tree, path string) (manifest, error) {
	m := manifest{path: path}
	if !t.Has(path) {
		return m, nil
	}
	text, err := os.ReadFile(t.Abs(path))
	if err != nil {
		return m, fmt.Errorf("reading %s: %w", path, err)
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(string(text), "\ufeff")), &m); err != nil {
		return m, lang.Failure("SourceInvalid", "%s is not a package.json that can be read: %v", path, err)
	}
	m.present, m.text = true, text
	return m, nil
}

// frameworkNames are the packages that the platform itself provides.
var frameworkNames = []string{"@openfunction/functions-framework", "@google-cloud/functions-framework"}

// needsInstall tells whether there are dependencies that the platform does not provide.
func (m *manifest) needsInstall(dev bool) bool {
	all := []map[string]string{m.Dependencies, m.OptionalDependencies}
	if dev {
		all = append(all, m.DevDependencies)
	}
	for _, deps := range all {
		for name := range deps {
			if !slices.Contains(frameworkNames, name) {
				return true
			}
		}
	}
	return len(m.Workspaces) > 0
}

// lifecycle are the scripts that an installation runs for the package itself.
var lifecycle = []string{"preinstall", "install", "postinstall"}

// inPlace says why dependencies must be installed beside the source instead of being kept apart; empty when they need not.
func (m *manifest) inPlace() string {
	for _, script := range lifecycle {
		if m.Scripts[script] != "" {
			return fmt.Sprintf("the script %q of package.json", script)
		}
	}
	if len(m.Workspaces) > 0 {
		return "workspaces"
	}
	for _, deps := range []map[string]string{m.Dependencies, m.DevDependencies, m.OptionalDependencies} {
		for _, name := range slices.Sorted(maps.Keys(deps)) {
			for _, local := range []string{"file:", "link:", "workspace:", "portal:", "patch:", "./", "../"} {
				if strings.HasPrefix(deps[name], local) {
					return "the dependency " + name + " on " + deps[name]
				}
			}
		}
	}
	return ""
}

// checkEngine compares engines.node with the interpreter.
func (m *manifest) checkEngine(have *semver.Version, log io.Writer) error {
	want := strings.TrimSpace(m.Engines.Node)
	if want == "" {
		return nil
	}
	c, err := semver.NewConstraint(want)
	if err != nil {
		fmt.Fprintf(log, "engines.node of %s is %q, which is not understood and ignored\n", m.path, want)
		return nil
	}
	if !c.Check(have) {
		return lang.Failure("RuntimeUnsupported", "%s wants Node.js %q (engines.node); this machine builds and runs with %s: install a version that fits, or widen engines.node",
			m.path, want, have)
	}
	return nil
}

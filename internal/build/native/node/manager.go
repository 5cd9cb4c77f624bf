package node

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// manager is a package manager.
type manager string

const (
	npm         manager = "npm"
	pnpm        manager = "pnpm"
	yarnClassic manager = "yarn"
	yarnBerry   manager = "yarn-berry"
)

// program is the name of its command.
func (m manager) program() string {
	if m == yarnBerry {
		return "yarn"
	}
	return string(m)
}

// locks are the lock files that decide which package manager is used, in the order in which they are looked for.
var locks = []struct {
	name    string
	manager manager
}{
	{"npm-shrinkwrap.json", npm},
	{"package-lock.json", npm},
	{"pnpm-lock.yaml", pnpm},
	{"yarn.lock", yarnClassic},
}

// chooseManager finds the lock file, beside package.json or above it as in a workspace. Without one npm is used.
func chooseManager(t *lang.Tree, root string, m manifest) (manager, string, error) {
	for dir := root; ; dir = path.Dir(dir) {
		for _, l := range locks {
			name := path.Join(dir, l.name)
			if !t.Has(name) {
				continue
			}
			if dir != root {
				return "", "", lang.Failure("LockElsewhere", "%s is above %s: build from its directory and name the function with FUNC_SRC in build.env", name, m.path)
			}
			chosen := l.manager
			if chosen == yarnClassic {
				text, err := os.ReadFile(t.Abs(name))
				if err != nil {
					return "", "", fmt.Errorf("reading %s: %w", name, err)
				}
				if bytes.Contains(text, []byte("\n__metadata:")) {
					chosen = yarnBerry
				}
			}
			return chosen, name, nil
		}
		if dir == "." || !m.present {
			break
		}
	}
	switch name, _, _ := strings.Cut(m.PackageManager, "@"); name {
	case "pnpm":
		return pnpm, "", nil
	case "yarn":
		return yarnClassic, "", nil
	}
	return npm, "", nil
}

// tool is how to start a package manager: its own program, or corepack, which comes with Node.js and fetches the version that
// package.json names.
func (n *Node) tool(m manager) ([]string, error) {
	if p := n.opts.Find(m.program()); p != "" {
		return []string{p}, nil
	}
	if p := n.opts.Find("corepack"); p != "" && m != npm {
		return []string{p, m.program()}, nil
	}
	if m == npm {
		return nil, lang.ToolMissing("Node.js with dependencies", "npm", "the package npm of your system")
	}
	return nil, lang.ToolMissing("a project with the lock file of "+m.program(), m.program(), fmt.Sprintf("it with `npm install -g %s`, or corepack", m.program()))
}

// installArgs are the arguments of an installation that follows the lock file, if there is one.
func (m manager) installArgs(locked, production bool) []string {
	var args []string
	switch m {
	case npm:
		args = []string{"install", "--no-audit", "--no-fund"}
		if locked {
			args[0] = "ci"
		}
		if production {
			args = append(args, "--omit=dev")
		} else {
			args = append(args, "--include=dev")
		}
	case pnpm:
		args = []string{"install", "--reporter=append-only"}
		if locked {
			args = append(args, "--frozen-lockfile")
		}
		if production {
			args = append(args, "--prod")
		}
	case yarnClassic:
		args = []string{"install", "--non-interactive", "--no-progress"}
		if locked {
			args = append(args, "--frozen-lockfile")
		}
		if production {
			args = append(args, "--production=true")
		} else {
			args = append(args, "--production=false")
		}
	case yarnBerry:
		if production {
			return []string{"workspaces", "focus", "--production"}
		}
		return []string{"install", "--immutable"}
	}
	return args
}

// settingsFiles configure package managers and are part of what an installation is.
var settingsFiles = []string{".npmrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs", "pnpm-workspace.yaml"}

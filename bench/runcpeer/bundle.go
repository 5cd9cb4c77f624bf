// Package runcpeer prepares bundles for runc, the peer of the cold-start benchmarks.
package runcpeer

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Bundle is a directory that `runc run` accepts.
type Bundle struct {
	Binary string // runc
	Dir    string
	State  string // for --root
}

// Mount binds a host directory.
type Mount struct{ From, To string }

// New writes a bundle with runc's default configuration: no terminal, read-only root.
func New(dir, root string, args, env []string, mounts ...Mount) (*Bundle, error) {
	binary, err := exec.LookPath("runc")
	if err != nil {
		return nil, err
	}
	b := &Bundle{Binary: binary, Dir: filepath.Join(dir, "bundle"), State: filepath.Join(dir, "runc")}
	for _, d := range []string{b.Dir, b.State} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	c := exec.Command(binary, "spec")
	c.Dir = b.Dir
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("runc spec: %w: %s", err, out)
	}
	return b, b.configure(root, args, env, mounts)
}

func (b *Bundle) configure(root string, args, env []string, mounts []Mount) error {
	name := filepath.Join(b.Dir, "config.json")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	config["root"] = map[string]any{"path": root, "readonly": true}
	process := config["process"].(map[string]any)
	process["terminal"], process["args"], process["env"] = false, args, env
	for _, m := range mounts {
		config["mounts"] = append(config["mounts"].([]any), map[string]any{
			"destination": m.To, "type": "bind", "source": m.From, "options": []string{"bind", "rw"},
		})
	}
	if text, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}

// Run is the command that starts a container of the bundle.
func (b *Bundle) Run(id string) *exec.Cmd {
	return exec.Command(b.Binary, "--root", b.State, "run", "--bundle", b.Dir, id)
}

// Kill ends a container.
func (b *Bundle) Kill(id string) error {
	return exec.Command(b.Binary, "--root", b.State, "kill", id, "KILL").Run()
}

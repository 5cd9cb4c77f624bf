//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// patience is how long one start may take.
const patience = 10 * time.Second

// runc starts the same root filesystem with the runtime that container engines use.
type runc struct {
	binary, bundle, state, sockets string
}

// newRunc writes a bundle: the default configuration, without a terminal, with a directory for the socket.
func newRunc(dir, root string) (*runc, error) {
	binary, err := exec.LookPath("runc")
	if err != nil {
		return nil, err
	}
	r := &runc{binary: binary, bundle: filepath.Join(dir, "bundle"), state: filepath.Join(dir, "runc"), sockets: filepath.Join(dir, "sockets")}
	for _, d := range []string{r.bundle, r.state, r.sockets} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	c := exec.Command(binary, "spec")
	c.Dir = r.bundle
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("runc spec: %w: %s", err, out)
	}
	name := filepath.Join(r.bundle, "config.json")
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var config map[string]any
	if err := json.Unmarshal(b, &config); err != nil {
		return nil, err
	}
	config["root"] = map[string]any{"path": root, "readonly": true}
	process := config["process"].(map[string]any)
	process["terminal"], process["args"], process["env"] = false, []string{"/hello"}, []string{"SOCKET=/run/s"}
	config["mounts"] = append(config["mounts"].([]any), map[string]any{
		"destination": "/run", "type": "bind", "source": r.sockets, "options": []string{"bind", "rw"},
	})
	if b, err = json.Marshal(config); err != nil {
		return nil, err
	}
	return r, os.WriteFile(name, b, 0o644)
}

func (r *runc) start(ctx context.Context, i int) (time.Duration, error) {
	socket, id := filepath.Join(r.sockets, "s"), fmt.Sprintf("coldstart-%d-%d", os.Getpid(), i)
	_ = os.Remove(socket)
	began := time.Now()
	c := exec.CommandContext(ctx, r.binary, "--root", r.state, "run", "--bundle", r.bundle, id)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = exec.Command(r.binary, "--root", r.state, "kill", id, "KILL").Run()
		_ = c.Wait()
	}()
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			err = get(conn)
			return time.Since(began), err
		}
		if time.Since(began) > patience {
			return 0, fmt.Errorf("runc run: nothing listens after %v: %w", patience, err)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

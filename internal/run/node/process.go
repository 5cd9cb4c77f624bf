package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

const (
	defaultPort = 8080
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// newID names a copy of a revision.
func newID(revision string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(revision))
	return fmt.Sprintf("%.50s-%s", name, strings.ToLower(rand.Text()[:10]))
}

// plan is everything of a copy that is the same for all copies of a revision. It is worked out once, so that a cold start does
// not read the image.
type plan struct {
	spec instance.Spec // without what names the copy
	home string
}

// planFor merges what the image and the revision say.
func planFor(r run.Revision, root Root) (plan, error) {
	c, img := r.Container, root.Config
	args, err := command(c, img)
	if err != nil {
		return plan{}, err
	}
	who, err := runAs(c, img.User, root.Layers)
	if err != nil {
		return plan{}, err
	}
	s := instance.Spec{
		Layers: root.Layers,
		Process: instance.Process{
			Args: args, Dir: img.WorkingDir, UID: uint32(who.Uid), GID: uint32(who.Gid), ReadOnlyRoot: c.ReadOnlyRoot,
		},
		// A daprd connects to a port, so that there must be one.
		Listen: instance.Listen{Port: portOf(r.Port, img.ExposedPorts), Activation: root.Activation && r.Sidecar == nil},
		Limits: instance.Limits{MemoryBytes: c.Memory, CPUMillis: c.CPU, PIDs: c.PIDs},

		Namespace: r.Namespace, Revision: r.Name, RequestTimeout: r.Timeout,
	}
	if c.WorkingDir != "" {
		s.Process.Dir = c.WorkingDir
	}
	for _, f := range c.Files {
		s.Files = append(s.Files, instance.File{Path: f.Path, Data: f.Data, Mode: f.Mode})
	}
	return plan{s, who.Home}, nil
}

// copyOf is the plan for one copy, which is told its name. Log is left to the caller.
func (p plan) copyOf(r run.Revision, img []string, id, name string) instance.Spec {
	s := p.spec
	s.ID = id
	s.Process.Env = environment(r, img, s.Listen.Port, name, p.home)
	return s
}

// command is the process's arguments by the rules of a pod: a command of its own makes the image's arguments void.
func command(c run.Container, img Config) ([]string, error) {
	entry, args := img.Entrypoint, img.Cmd
	if len(c.Command) > 0 {
		entry, args = c.Command, nil
	}
	if len(c.Args) > 0 {
		args = c.Args
	}
	all := slices.Concat(entry, args)
	if len(all) == 0 || all[0] == "" {
		return nil, errors.New("the image names no program to run, and neither does the template: set command of the container \"function\"")
	}
	return all, nil
}

// portOf is where the process listens: what the revision says, else the one port the image exposes, else the default.
func portOf(said int, exposed []int) int {
	switch {
	case said > 0:
		return said
	case len(exposed) == 1:
		return exposed[0]
	}
	return defaultPort
}

// environment merges variables, later ones winning: the image's, those a pod would have, the container's, and the runtime
// contract's, which nothing overrides.
func environment(r run.Revision, img []string, port int, podName, home string) []string {
	e := env{at: map[string]int{}}
	e.set("PATH", defaultPath)
	e.set("HOME", home)
	for _, kv := range img {
		name, value, _ := strings.Cut(kv, "=")
		e.set(name, value)
	}
	e.set("HOSTNAME", podName)
	e.set("POD_NAME", podName)
	e.set("POD_NAMESPACE", r.Namespace)
	for _, v := range r.Container.Env {
		e.set(v.Name, v.Value)
	}
	e.set("PORT", strconv.Itoa(port))
	e.set("K_SERVICE", r.Function)
	e.set("K_CONFIGURATION", r.Function)
	e.set("K_REVISION", r.Name)
	return e.list
}

// env is a list of variables without repetition.
type env struct {
	list []string
	at   map[string]int
}

func (e *env) set(name, value string) {
	i, known := e.at[name]
	if !known {
		i = len(e.list)
		e.at[name] = i
		e.list = append(e.list, "")
	}
	e.list[i] = name + "=" + value
}

// runAs is the user of the process: the template's numbers, else the image's numbers or names, which its own passwd and group
// files explain, else root of the sandbox.
func runAs(c run.Container, said string, layers []string) (*user.ExecUser, error) {
	if c.UID != nil {
		said = strconv.FormatInt(*c.UID, 10)
	}
	if c.GID != nil {
		name, _, _ := strings.Cut(said, ":")
		said = name + ":" + strconv.FormatInt(*c.GID, 10)
	}
	who, err := user.GetExecUser(said, &user.ExecUser{Home: "/"},
		bytes.NewReader(fromLayers(layers, "etc/passwd")), bytes.NewReader(fromLayers(layers, "etc/group")))
	if err != nil {
		return nil, fmt.Errorf("user %q of the image: %w: use numbers in runAsUser and runAsGroup, or an image whose /etc/passwd has the user", said, err)
	}
	return who, nil
}

// maxAccounts bounds /etc/passwd and /etc/group, in bytes.
const maxAccounts = 1 << 20

// fromLayers reads a small file as it is in the merged filesystem; nil when there is none that can be read. No link leads out
// of a layer.
func fromLayers(layers []string, name string) []byte {
	for _, dir := range slices.Backward(layers) {
		data, err := fromLayer(dir, name)
		if !errors.Is(err, fs.ErrNotExist) {
			return data
		}
	}
	return nil
}

// fromLayer reads it from one layer; nil without an error when the layer takes the file away.
func fromLayer(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil, err // a character device stands for a removed file; anything else is no list of accounts
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxAccounts))
}

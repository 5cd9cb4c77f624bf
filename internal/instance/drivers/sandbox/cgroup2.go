//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// unified is version 2. A child is born in its group, which costs nothing.
type unified struct {
	dir     string // holds our groups; empty when none can be made
	missing map[string]string
}

// newUnified finds a place for groups: below the platform's own group when that was delegated to it, else, for root,
// below the root of the tree.
func newUnified(root, self, parent string) *unified {
	own := filepath.Join(root, ownGroup(self, ""))
	if _, err := os.Stat(own); err != nil {
		own = root
	}
	u := &unified{missing: map[string]string{}}
	err := u.settle(own, parent, own != root)
	if err != nil && own != root && os.Geteuid() == 0 {
		err = u.settle(root, parent, false)
	}
	for _, c := range []string{kindMemory, kindCPU, kindPIDs} {
		if err != nil {
			u.missing[c] = err.Error()
		} else if !slices.Contains(fieldsOf(u.dir, "cgroup.controllers"), c) {
			u.missing[c] = fmt.Sprintf("the %s controller is not delegated to %s", c, filepath.Dir(u.dir))
		}
	}
	return u
}

func fieldsOf(dir, file string) []string {
	b, _ := os.ReadFile(filepath.Join(dir, file))
	return strings.Fields(string(b))
}

// settle makes the directory of our groups in base. A group with processes of its own cannot hand controllers down,
// so when the platform lives in base it moves to a leaf first.
func (u *unified) settle(base, parent string, inhabited bool) error {
	if inhabited && !delegated(base) {
		return fmt.Errorf("the control group %s was not delegated to the platform (start it with systemd-run --user --scope -p Delegate=yes, or as a service with Delegate=yes)", base)
	}
	dir := filepath.Join(base, parent)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making a control group: %w", err)
	}
	if err := handDown(base); errors.Is(err, unix.EBUSY) && inhabited {
		if err := moveAside(base, parent+"-platform"); err != nil {
			return err
		}
		_ = handDown(base)
	}
	_ = handDown(dir) // what could not be handed down is reported controller by controller
	u.dir = dir
	return nil
}

// delegated reports whether the process manager gave the group away, or the user owns it.
func delegated(dir string) bool {
	var v [8]byte
	for _, attr := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, attr, v[:]); err == nil && n > 0 && v[0] == '1' {
			return true
		}
	}
	return os.Geteuid() != 0 && unix.Access(filepath.Join(dir, "cgroup.subtree_control"), unix.W_OK) == nil
}

// handDown enables our controllers for the groups in dir, one at a time so that one that is missing spares the others.
func handDown(dir string) error {
	var errs []error
	for _, c := range []string{kindMemory, kindCPU, kindPIDs} {
		errs = append(errs, putString(dir, "cgroup.subtree_control", "+"+c))
	}
	return errors.Join(errs...)
}

func moveAside(base, leaf string) error {
	dir := filepath.Join(base, leaf)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making the platform's own control group: %w", err)
	}
	for _, pid := range fieldsOf(base, "cgroup.procs") {
		if err := putString(dir, "cgroup.procs", pid); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

func (u *unified) lacks(kind string) string { return u.missing[kind] }

func (u *unified) make(name string) (group, error) {
	if u.dir == "" {
		return noGroup{}, nil
	}
	dir := filepath.Join(u.dir, name)
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrNotExist) { // someone tidied up behind our back
		err = errors.Join(os.Mkdir(u.dir, 0o755), handDown(u.dir), os.Mkdir(dir, 0o755))
	}
	if err != nil {
		return nil, fmt.Errorf("making group: %w", err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening group %s: %w", dir, err), unix.Rmdir(dir))
	}
	return &unifiedGroup{dir: dir, dirfd: fd}, nil
}

func (u *unified) clean(ctx context.Context, keep string) error {
	if u.dir == "" {
		return nil
	}
	return cleanGroups(ctx, u.dir, keep)
}

func (u *unified) drop() {
	if u.dir != "" {
		_ = unix.Rmdir(u.dir)
	}
}

type unifiedGroup struct {
	dir   string
	dirfd int
}

func (g *unifiedGroup) enter() error { return nil }
func (g *unifiedGroup) fd() int      { return g.dirfd }

func (g *unifiedGroup) limit(l instance.Limits, _ int64) error {
	type setting struct{ file, value string }
	var set []setting
	if l.MemoryBytes > 0 {
		// No swap, and one that meets its limit ends as a whole: half a function is worse than none.
		set = append(set, setting{"memory.max", fmt.Sprint(l.MemoryBytes)}, setting{"memory.swap.max", "0"},
			setting{"memory.oom.group", "1"})
	}
	if l.CPUMillis > 0 {
		q, period := quota(l.CPUMillis)
		set = append(set, setting{"cpu.max", fmt.Sprintf("%d %d", q, period)})
	}
	if l.PIDs > 0 {
		set = append(set, setting{"pids.max", fmt.Sprint(l.PIDs)})
	}
	for _, s := range set {
		// Whether a controller may be absent was decided by checkLimits; swap and oom.group depend on the kernel.
		if err := putString(g.dir, s.file, s.value); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (g *unifiedGroup) views() []view { return []view{{dir: g.dir}} }

func (g *unifiedGroup) strain() instance.Strain {
	return instance.Strain{
		MemoryKills:  getField(g.dir, "memory.events", "oom_kill"),
		ForksRefused: getField(g.dir, "pids.events", "max"),
	}
}

func (g *unifiedGroup) usage() (instance.Usage, error) {
	mem, err1 := getInt(g.dir, "memory.current")
	pids, err2 := getInt(g.dir, "pids.current")
	if errors.Is(err1, os.ErrNotExist) && errors.Is(err2, os.ErrNotExist) { // no controller was delegated
		return instance.Usage{PIDs: int64(len(fieldsOf(g.dir, "cgroup.procs")))}, nil
	}
	cpu := time.Duration(getField(g.dir, "cpu.stat", "usage_usec")) * time.Microsecond
	return instance.Usage{MemoryBytes: mem, CPU: cpu, PIDs: pids}, errors.Join(err1, err2)
}

func (g *unifiedGroup) close() {
	if g.dirfd >= 0 {
		_ = unix.Close(g.dirfd)
		g.dirfd = -1
	}
}

func (g *unifiedGroup) remove(ctx context.Context) error {
	g.close()
	return removeGroup(ctx, g.dir)
}

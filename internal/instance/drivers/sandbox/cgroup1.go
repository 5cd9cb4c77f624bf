//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// legacy is version 1: a tree for each controller. Moving a process into a group waits for an RCU grace period, 5 to
// 15 ms for each tree; therefore a thread of the driver moves there beforehand and its child is born there.
type legacy struct {
	dirs    map[string]string // controller to the directory that holds our groups, for pids and groupViews
	missing map[string]string
}

func newLegacy(root, self, parent string) *legacy {
	l := &legacy{dirs: map[string]string{}, missing: map[string]string{}}
	for _, c := range slices.Concat([]string{kindPIDs}, groupViews[:]) {
		tree := filepath.Join(root, c)
		if _, err := os.Stat(filepath.Join(tree, "cgroup.procs")); err != nil {
			l.missing[c] = "the " + c + " controller is not mounted at " + tree
			continue
		}
		own := filepath.Join(tree, ownGroup(self, c))
		if _, err := os.Stat(own); err != nil { // a container sees its own group as the root
			own = tree
		}
		dir := filepath.Join(own, parent)
		if err := unix.Mkdir(dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			l.missing[c] = fmt.Sprintf("no group can be made in %s: %v", own, err)
			continue
		}
		if c == "cpuset" && !inherit(own, dir) {
			_ = unix.Rmdir(dir)
			continue
		}
		l.dirs[c] = dir
	}
	return l
}

// inherit lets a group of the cpuset controller, which takes no process before it was told of processors and memory, have
// all of its parent's, and so those made in it.
func inherit(parent, dir string) bool {
	for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, err := os.ReadFile(filepath.Join(parent, f))
		if err != nil || putString(dir, f, strings.TrimSpace(string(b))) != nil {
			return false
		}
	}
	return putString(dir, "cgroup.clone_children", "1") == nil
}

func (l *legacy) lacks(kind string) string { return l.missing[kind] }

func (l *legacy) make(name string) (group, error) {
	g := &legacyGroup{dirs: make(map[string]string, len(l.dirs))}
	for c, parent := range l.dirs {
		dir := filepath.Join(parent, name)
		if err := os.MkdirAll(dir, 0o755); err != nil { // all, in case someone tidied up behind our back
			_ = g.remove(context.Background())
			return nil, fmt.Errorf("making group %s: %w", dir, err)
		}
		g.dirs[c] = dir
	}
	return g, nil
}

func (l *legacy) clean(ctx context.Context, keep string) error {
	var errs []error
	for _, dir := range l.dirs {
		errs = append(errs, cleanGroups(ctx, dir, keep))
	}
	return errors.Join(errs...)
}

func (l *legacy) drop() {
	for _, dir := range l.dirs {
		_ = unix.Rmdir(dir)
	}
}

type legacyGroup struct{ dirs map[string]string }

func (g *legacyGroup) enter() error {
	for _, dir := range g.dirs {
		if err := putString(dir, "tasks", "0"); err != nil {
			return err
		}
	}
	return nil
}

func (g *legacyGroup) fd() int { return -1 }
func (g *legacyGroup) close()  {}

func (g *legacyGroup) limit(l instance.Limits, guests int64) error {
	if dir, ok := g.dirs[kindMemory]; ok && l.MemoryBytes > 0 {
		if err := put(dir, "memory.limit_in_bytes", l.MemoryBytes); err != nil {
			return err
		}
		// Memory and swap together; absent when the kernel does not account for swap.
		if err := put(dir, "memory.memsw.limit_in_bytes", l.MemoryBytes); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if dir, ok := g.dirs[kindCPU]; ok && l.CPUMillis > 0 {
		q, period := quota(l.CPUMillis)
		if err := errors.Join(put(dir, "cpu.cfs_period_us", period), put(dir, "cpu.cfs_quota_us", q)); err != nil {
			return err
		}
	}
	if dir, ok := g.dirs[kindPIDs]; ok && l.PIDs > 0 {
		return put(dir, "pids.max", l.PIDs+guests)
	}
	return nil
}

func (g *legacyGroup) views() []view {
	out := make([]view, 0, len(groupViews))
	for _, c := range groupViews {
		if dir, ok := g.dirs[c]; ok {
			out = append(out, view{dir: dir, at: c})
		}
	}
	return out
}

func (g *legacyGroup) strain() instance.Strain {
	return instance.Strain{
		MemoryKills:  getField(g.dirs[kindMemory], "memory.oom_control", "oom_kill"),
		ForksRefused: getField(g.dirs[kindPIDs], "pids.events", "max"),
	}
}

func (g *legacyGroup) usage() (instance.Usage, error) {
	var u instance.Usage
	var errs []error
	if dir, ok := g.dirs[kindMemory]; ok {
		n, err := getInt(dir, "memory.usage_in_bytes")
		u.MemoryBytes, errs = n, append(errs, err)
	}
	for _, dir := range g.dirs {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		pids := slices.DeleteFunc(strings.Fields(string(b)), func(pid string) bool {
			return pid == strconv.Itoa(os.Getpid()) // a thread of the platform may still be inside
		})
		u.PIDs, errs = int64(len(pids)), append(errs, err)
		for _, pid := range pids {
			u.CPU += processTime(pid)
		}
		break
	}
	return u, errors.Join(errs...)
}

// processTime is the processor time of a process and of its children that have ended; 0 when it has gone. The
// accounting controller would tell it too, for one more slow move at each start.
func processTime(pid string) time.Duration {
	b, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return 0
	}
	// The second field is a name in parentheses that may contain anything.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var ticks int64
	for i := 11; i < 15 && i < len(f); i++ { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(f[i], 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / userHZ)
}

// userHZ is the unit of times in /proc, the same on all supported architectures.
const userHZ = 100

func (g *legacyGroup) remove(ctx context.Context) error {
	var errs []error
	for _, dir := range g.dirs {
		errs = append(errs, removeGroup(ctx, dir))
	}
	return errors.Join(errs...)
}

//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// minMemory is the least memory limit. Until it executes the user's program a child shares the platform's memory, and
// if it met its limit in that time the kernel would kill both; preparing it takes a fraction of this.
const minMemory = 4 << 20

// controllers is the kernel's accounting on this machine: version 1, version 2 or nothing.
type controllers interface {
	// make makes an empty group.
	make(name string) (group, error)
	// lacks says why limits of one kind cannot be enforced; empty when they can.
	lacks(kind string) string
	// clean ends and removes every group but those whose name begins with keep. With an empty keep it removes the directory
	// that held them, too.
	clean(ctx context.Context, keep string) error
	// drop removes the directory if no group was made in it.
	drop()
}

// group is the accounting of one copy.
type group interface {
	// enter puts the calling thread into the group, where a clone is not born there by itself.
	enter() error
	// fd is what clone3 wants to give birth in the group, or -1.
	fd() int
	// limit sets the limits; guests threads of the platform are inside besides the copy.
	limit(l instance.Limits, guests int64) error
	usage() (instance.Usage, error)
	// doors are the files into which a process writes 0 to enter the group.
	doors() []string
	// views are the parts of the group that its copy may see.
	views() []view
	// strain is what of its limits the copy met since it was born.
	strain() instance.Strain
	// close gives back what the platform holds of the group, but leaves the group.
	close()
	// remove closes, and gives the group back. It waits for the kernel to let go of what ended inside.
	remove(ctx context.Context) error
}

const (
	kindMemory = "memory"
	kindCPU    = "cpu"
	kindPIDs   = "pids"
)

// checkLimits returns ErrUnenforceable when a limit that is set cannot be kept.
func checkLimits(c controllers, l instance.Limits, allowUnlimited bool) error {
	if l.MemoryBytes < 0 || l.CPUMillis < 0 || l.PIDs < 0 {
		return fmt.Errorf("limits must not be negative: %+v", l)
	}
	if l.MemoryBytes > 0 && l.MemoryBytes < minMemory {
		return fmt.Errorf("a memory limit of %d bytes is too small to start anything: give at least %d", l.MemoryBytes, minMemory)
	}
	if allowUnlimited {
		return nil
	}
	for _, k := range []struct {
		kind string
		set  bool
	}{{kindMemory, l.MemoryBytes > 0}, {kindCPU, l.CPUMillis > 0}, {kindPIDs, l.PIDs > 0}} {
		if why := c.lacks(k.kind); k.set && why != "" {
			return fmt.Errorf("%w: %s: %s", instance.ErrUnenforceable, k.kind, why)
		}
	}
	return nil
}

// groupParent is the name of the directory of groups that belongs to a state directory.
func groupParent(stateDir string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(stateDir))
	return fmt.Sprintf("ofn-%016x", h.Sum64())
}

// findControllers looks at the control groups mounted at root; self is the content of /proc/self/cgroup.
func findControllers(root, self, parent string) controllers {
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return newUnified(root, self, parent)
	}
	v1 := newLegacy(root, self, parent)
	if len(v1.dirs) > 0 {
		return v1
	}
	return noControllers{why: "no control groups are mounted at " + root}
}

// ownGroup finds the path of the calling process in one hierarchy; "" is version 2.
func ownGroup(self, controller string) string {
	for line := range strings.Lines(self) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for _, c := range strings.Split(f[1], ",") {
			if c == controller {
				return f[2]
			}
		}
	}
	return "/"
}

// quota is a processor share in microseconds per period. The kernel takes no quota under 1 ms.
func quota(millis int64) (quota, period int64) {
	if millis < 10 {
		return millis * 1000, 1_000_000
	}
	return millis * 100, 100_000
}

// put writes one control file.
func put(dir, file string, v int64) error { return putString(dir, file, strconv.FormatInt(v, 10)) }

func putString(dir, file, v string) error {
	name := filepath.Join(dir, file)
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", name, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(v)); err != nil {
		return fmt.Errorf("writing %s to %s: %w", v, name, err)
	}
	return nil
}

func getInt(dir, file string) (int64, error) {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// getField reads one value of a file with a "name value" in each line; 0 when it is not there.
func getField(dir, file, field string) int64 {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, field+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// removeGroup removes an empty group. The kernel refuses for a short while after the last process has gone.
func removeGroup(ctx context.Context, dir string) error {
	for wait := 500 * time.Microsecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("removing group %s: %w", dir, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("removing group %s: still in use: %w", dir, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// killAll kills every process of a group and of those below it.
func killAll(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil //nolint:nilerr // a group that vanishes meanwhile is what we want
		}
		if putString(name, "cgroup.kill", "1") == nil {
			return nil
		}
		b, _ := os.ReadFile(filepath.Join(name, "cgroup.procs"))
		for _, s := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(s); err == nil && pid > 1 && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
}

// cleanGroups is clean for one directory of groups.
func cleanGroups(ctx context.Context, parent, keep string) error {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for groups left behind: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if dir := filepath.Join(parent, e.Name()); e.IsDir() && (keep == "" || !strings.HasPrefix(e.Name(), keep)) {
			errs = append(errs, killAll(dir), removeGroup(ctx, dir))
		}
	}
	if keep == "" {
		errs = append(errs, removeGroup(ctx, parent))
	}
	return errors.Join(errs...)
}

// noControllers is a machine, or a user, without control groups.
type noControllers struct{ why string }

func (n noControllers) make(string) (group, error)          { return noGroup{}, nil }
func (n noControllers) lacks(string) string                 { return n.why }
func (n noControllers) clean(context.Context, string) error { return nil }
func (n noControllers) drop()                               {}

type noGroup struct{}

func (noGroup) enter() error                       { return nil }
func (noGroup) fd() int                            { return -1 }
func (noGroup) limit(instance.Limits, int64) error { return nil }
func (noGroup) views() []view                      { return nil }
func (noGroup) close()                             {}
func (noGroup) strain() instance.Strain            { return instance.Strain{} }
func (noGroup) remove(context.Context) error       { return nil }
func (noGroup) usage() (instance.Usage, error) {
	return instance.Usage{}, errors.New("no control group accounts for this instance")
}

//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// groupsBelow is where /sys shows the control groups.
const groupsBelow = "fs/cgroup"

// sysFiles are what runtimes look up in /sys about the processors and the memory; C libraries count the directories of the
// processors as well.
var sysFiles = [...]string{
	"devices/system/cpu/online", "devices/system/cpu/possible", "devices/system/cpu/present",
	"kernel/mm/transparent_hugepage/enabled", "kernel/mm/transparent_hugepage/hpage_pmd_size",
}

// makeSys makes the /sys that all copies see, but for their control groups: a few files that say what the machine's own
// say at this moment. Nothing of the host's is behind it.
func (h *host) makeSys() error {
	root := filepath.Join(h.dir, sysDir)
	dirs := []string{groupsBelow}
	for _, c := range groupViews {
		dirs = append(dirs, filepath.Join(groupsBelow, c))
	}
	cpus, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*")
	for _, dir := range cpus {
		dirs = append(dirs, strings.TrimPrefix(dir, "/sys/"))
	}
	for _, name := range sysFiles {
		dirs = append(dirs, filepath.Dir(name))
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return fmt.Errorf("making /sys for the copies: %w", err)
		}
	}
	for _, name := range sysFiles {
		data, err := os.ReadFile(filepath.Join("/sys", name))
		if err != nil {
			continue // this machine has none
		}
		file := filepath.Join(root, name)
		_ = os.Remove(file)
		if err := os.WriteFile(file, data, 0o444); err != nil {
			return fmt.Errorf("making /sys for the copies: %w", err)
		}
	}
	return nil
}

// groupViews are the directories below /sys/fs/cgroup in which version 1 shows a copy its own groups. The last two bear no
// limits; the Java runtime believes in none unless it finds them.
var groupViews = [...]string{kindMemory, kindCPU, "cpuacct", "cpuset"}

// view is a control group as its copy sees it.
type view struct{ dir, at string } // at is relative to /sys/fs/cgroup

const viewFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// settleSys keeps /sys in the thread's own view of the mounts, ready to be taken by its children.
func (t *threads) settleSys() error {
	dir := filepath.Join(t.host.dir, sysDir)
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting /sys for the copies: %w", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|viewFlags, ""); err != nil {
		return fmt.Errorf("mounting /sys for the copies: %w", err)
	}
	return nil
}

// show puts the groups of the next copy in the place of the last one's. A program can do without them, so that what cannot
// be shown is not there.
func (t *threads) show(last, next []view) {
	if t.host.rootless {
		return
	}
	at := func(v view) string { return filepath.Join(t.host.dir, sysDir, groupsBelow, v.at) }
	for _, v := range last {
		_ = unix.Unmount(at(v), unix.MNT_DETACH)
	}
	for _, v := range next {
		if unix.Mount(v.dir, at(v), "", unix.MS_BIND, "") != nil {
			continue
		}
		if unix.Mount("", at(v), "", unix.MS_REMOUNT|unix.MS_BIND|viewFlags, "") != nil {
			_ = unix.Unmount(at(v), unix.MNT_DETACH) // rather nothing than one that can be written to
		}
	}
}

// detachSys takes hold of /sys: of the thread's view of it, which is moved, since copying six mounts takes its time; without
// root of its parts.
func (pl *plan) detachSys(p *program) {
	p.doing("preparing /sys")
	if !pl.host.rootless {
		pl.sys = p.words(0)
		p.call(unix.SYS_OPENAT, atCWD, p.str("../"+sysDir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC).into(pl.sys)
		return
	}
	const readOnly = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	pl.sys = pl.openTree(p, "../"+sysDir, 0)
	pl.setAttr(p, pl.sys, readOnly, false)
	for _, v := range pl.views {
		slot := pl.openTree(p, v.dir, 0)
		pl.setAttr(p, slot, readOnly, false)
		pl.viewSlots = append(pl.viewSlots, slot)
	}
}

// attachSys is called while the old root is still there, from which /sys is taken. Links of the image are not followed.
func (pl *plan) attachSys(p *program) {
	p.doing("attaching /sys")
	pl.mkdir(p, "/sys", 0o555).allow(unix.EEXIST)
	pl.moveMount(p, pl.sys, "/sys")
	for i, slot := range pl.viewSlots {
		pl.moveMount(p, slot, filepath.Join("/sys", groupsBelow, pl.views[i].at))
	}
}

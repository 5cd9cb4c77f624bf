//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

const atCWD = ^uintptr(99) // AT_FDCWD

// devices are the nodes of /dev.
var devices = [...]struct {
	name  string
	major uint32
	minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

// deviceLinks are its symbolic links.
var deviceLinks = [...][2]string{
	{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
}

// rootfs lays the layers over one another. All that the copy writes goes to one tmpfs, which vanishes with its mount
// namespace; so nothing is left on disk whatever happens to the platform.
func (pl *plan) rootfs(p *program) {
	p.doing("entering the state directory " + pl.host.dir)
	p.call(unix.SYS_CHDIR, p.str(pl.host.dir))
	p.doing("mounting its writable space")
	pl.mount(p, "tmpfs", scratchDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV,
		"mode=755,nr_inodes=100k,size="+strconv.FormatInt(pl.writable, 10))
	p.call(unix.SYS_CHDIR, p.str(scratchDir))
	pl.mkdir(p, "root", 0o755)
	pl.mkdir(p, "work", 0o755)
	for _, d := range []struct {
		name string
		mode uintptr
	}{{"up", 0o755}, {"tmp", tmpMode}, {"shm", tmpMode}} {
		pl.mkdir(p, d.name, d.mode)
		pl.own(p, d.name, 0, 0)
	}
	lower := make([]string, 0, len(pl.layers))
	for i, l := range pl.layers {
		name := "l" + strconv.Itoa(i)
		p.doing("attaching layer " + l)
		pl.mkdir(p, name, 0o755)
		slot := pl.openTree(p, l, 0)
		pl.setAttr(p, slot, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_RDONLY, pl.host.idmap)
		pl.moveMount(p, slot, name)
		lower = append([]string{name}, lower...)
	}
	if len(lower) == 0 {
		p.doing("mounting an empty root")
		pl.moveMount(p, pl.openTree(p, "up", 0), "root")
		return
	}
	opts := "lowerdir=" + strings.Join(lower, ":") + ",upperdir=up,workdir=work"
	if pl.host.rootless {
		opts += ",userxattr"
	}
	p.doing("mounting the root filesystem")
	pl.mount(p, "overlay", "root", "overlay", unix.MS_NOSUID|unix.MS_NODEV, opts)
}

// detach takes hold of what must be attached once the root has changed.
func (pl *plan) detach(p *program) {
	p.doing("mounting /proc")
	// Before the change of root, since a user may only mount what the host's own /proc, still in sight, shows.
	pl.mkdir(p, "proc", 0o555)
	pl.mount(p, "proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	pl.proc = pl.openTree(p, "proc", 0)
	p.doing("preparing /tmp and /dev")
	if pl.host.rootless {
		pl.deviceTree(p)
	}
	pl.tmp, pl.shm = pl.openTree(p, "tmp", 0), pl.openTree(p, "shm", 0)
	dev := "../" + deviceDir
	if pl.host.rootless {
		dev = "dev"
	}
	pl.dev = pl.openTree(p, dev, unix.AT_RECURSIVE)
	if pl.host.rootless { // the nodes are mounts of their own, and not concerned
		pl.setAttr(p, pl.dev, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, false)
	}
	pl.detachSys(p)
	for _, b := range pl.binds {
		p.doing("binding " + b.Host)
		slot := pl.openTree(p, b.Host, 0)
		attr := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
		if b.ReadOnly {
			attr |= unix.MOUNT_ATTR_RDONLY
		}
		pl.setAttr(p, slot, attr, pl.host.idmap)
		pl.bindSlots = append(pl.bindSlots, slot)
	}
}

// deviceTree makes /dev from the host's nodes, since a user namespace cannot make its own.
func (pl *plan) deviceTree(p *program) {
	pl.mkdir(p, "dev", 0o755)
	pl.mkdir(p, "dev/shm", tmpMode)
	for _, d := range devices {
		name := "dev/" + d.name
		p.call(unix.SYS_MKNODAT, atCWD, p.str(name), unix.S_IFREG|0o666, 0)
		pl.mount(p, "/dev/"+d.name, name, "", unix.MS_BIND, "")
	}
	for _, l := range deviceLinks {
		p.call(unix.SYS_SYMLINKAT, p.str(l[1]), atCWD, p.str("dev/"+l[0]))
	}
}

func (pl *plan) pivot(p *program) {
	p.doing("changing the root")
	dot := p.str(".")
	p.call(unix.SYS_CHDIR, p.str("root"))
	p.call(unix.SYS_PIVOT_ROOT, dot, dot)
	pl.attachSys(p)
	p.doing("changing the root")
	p.call(unix.SYS_UMOUNT2, dot, unix.MNT_DETACH)
	p.call(unix.SYS_CHDIR, p.str("/"))
}

func (pl *plan) attach(p *program) {
	p.doing("attaching /proc")
	pl.mkdir(p, "/proc", 0o555).allow(unix.EEXIST)
	pl.moveMount(p, pl.proc, "/proc")
	p.doing("attaching /dev")
	pl.mkdir(p, "/dev", 0o755).allow(unix.EEXIST)
	pl.moveMount(p, pl.dev, "/dev")
	pl.moveMount(p, pl.shm, "/dev/shm")
	p.doing("attaching /tmp")
	pl.mkdir(p, "/tmp", tmpMode).allow(unix.EEXIST)
	pl.moveMount(p, pl.tmp, "/tmp")
	for i, b := range pl.binds {
		p.doing("binding " + b.Host + " at " + b.Path)
		if b.file {
			pl.parents(p, b.Path)
			p.call(unix.SYS_MKNODAT, atCWD, p.str(b.Path), unix.S_IFREG|0o644, 0).allow(unix.EEXIST)
		} else {
			pl.parents(p, path.Join(b.Path, "x"))
		}
		pl.moveMount(p, pl.bindSlots[i], b.Path)
	}
	for name, target := range pl.links {
		p.doing("linking " + name)
		pl.parents(p, name)
		p.call(unix.SYS_SYMLINKAT, p.str(target), atCWD, p.str(name)).allow(unix.EEXIST)
	}
	p.doing("naming it")
	p.call(unix.SYS_SETHOSTNAME, p.str(pl.hostname), uintptr(len(pl.hostname)))
}

// writeFiles makes the files of the plan, the working directory, and then the root read-only when that is asked for.
func (pl *plan) writeFiles(p *program) {
	for _, f := range pl.courtesies {
		pl.writeFile(p, f, anyError)
	}
	for _, f := range pl.files {
		pl.writeFile(p, f, 0)
	}
	if d := pl.dir(); d != "/" {
		p.doing("making its working directory")
		pl.parents(p, path.Join(d, "x"))
	}
	if pl.process.ReadOnlyRoot {
		p.doing("making the root filesystem read-only")
		pl.mount(p, "", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
	}
}

// writeFile makes one file; ignore is the error that does not matter.
func (pl *plan) writeFile(p *program, f instance.File, ignore uintptr) {
	p.doing("writing " + f.Path)
	name, fd := path.Join("/", f.Path), p.words(^uint64(0))
	mode := uintptr(f.Mode & 0o777)
	if mode == 0 {
		mode = 0o444
	}
	pl.parents(p, name)
	p.call(unix.SYS_OPENAT, atCWD, p.str(name), unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, 0o600).into(fd).ignore = ignore
	if len(f.Data) > 0 { // a tmpfs writes all or fails
		p.call(unix.SYS_WRITE, 0, p.bytes(f.Data), uintptr(len(f.Data))).from(0, fd).ignore = ignore
	}
	if !pl.host.rootless {
		uid, gid := pl.host.outside(pl.process.UID), pl.host.outside(pl.process.GID)
		p.call(unix.SYS_FCHOWN, 0, uid, gid).from(0, fd).ignore = ignore
	}
	p.call(unix.SYS_FCHMOD, 0, mode).from(0, fd).ignore = ignore
	p.call(unix.SYS_CLOSE, 0).from(0, fd).ignore = ignore
}

// parents makes the directories above name that are missing.
func (pl *plan) parents(p *program, name string) {
	for i := 1; i < len(name); i++ {
		if name[i] == '/' {
			pl.mkdir(p, name[:i], 0o755).allow(unix.EEXIST)
		}
	}
}

func (pl *plan) mkdir(p *program, name string, mode uintptr) *step {
	return p.call(unix.SYS_MKDIRAT, atCWD, p.str(name), mode)
}

// own gives name to a user inside. An unprivileged child owns what it makes anyway.
func (pl *plan) own(p *program, name string, uid, gid uint32) {
	if !pl.host.rootless {
		p.call(unix.SYS_FCHOWNAT, atCWD, p.str(name), pl.host.outside(uid), pl.host.outside(gid), 0)
	}
}

func (pl *plan) mount(p *program, source, target, fstype string, flags uintptr, data string) {
	arg := func(s string) uintptr {
		if s == "" {
			return 0
		}
		return p.str(s)
	}
	p.call(unix.SYS_MOUNT, arg(source), p.str(target), arg(fstype), flags, arg(data))
}

// openTree takes a copy of the mount at name that is attached nowhere yet, and returns where its descriptor is kept.
func (pl *plan) openTree(p *program, name string, flags uintptr) uintptr {
	slot := p.words(0)
	p.call(unix.SYS_OPEN_TREE, atCWD, p.str(name), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|flags).into(slot)
	return slot
}

// setAttr changes a mount that is not attached yet; with idmap the host's user 0 and following appear as the
// user namespace's.
func (pl *plan) setAttr(p *program, slot uintptr, set uint64, idmap bool) {
	if idmap {
		set |= unix.MOUNT_ATTR_IDMAP
	}
	attr := p.words(set, 0, 0, fdUserNS)
	p.call(unix.SYS_MOUNT_SETATTR, 0, p.str(""), unix.AT_EMPTY_PATH, attr, sizeofAttr).from(0, slot)
}

func (pl *plan) moveMount(p *program, slot uintptr, target string) {
	p.call(unix.SYS_MOVE_MOUNT, 0, p.str(""), atCWD, p.str(target), unix.MOVE_MOUNT_F_EMPTY_PATH).from(0, slot)
}

// checkBind finds out whether a bind is a file, and refuses what cannot be bound.
func checkBind(b Bind) error {
	if !path.IsAbs(b.Host) || !path.IsAbs(b.Path) || path.Clean(b.Path) == "/" {
		return fmt.Errorf("binding %q at %q: both must be absolute paths, and not the root", b.Host, b.Path)
	}
	return nil
}

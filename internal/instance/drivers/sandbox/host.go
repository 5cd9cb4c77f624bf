//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	scratchDir = "u"   // an empty directory where every copy mounts its own tmpfs
	deviceDir  = "dev" // where a thread of the driver keeps /dev for its copies
	socketDir  = "s"
	sysDir     = "sys" // what copies see as /sys
)

// host is what the driver found out about the machine once, and what all copies share.
type host struct {
	dir      string // absolute
	rootless bool
	uid, gid int
	base     uint32
	idmap    bool // layers are shown with mapped owners
	lastCap  uintptr
	files    uint64 // descriptors a copy may open
	filter   []byte
	userns   int // -1 when rootless
	null     int
	dumpable bool
	spared   bool // the platform is spared when memory runs out, which copies must not inherit
}

// outside is the host's number of a user inside.
func (h *host) outside(id uint32) uintptr { return uintptr(h.base + id) }

// newHost prepares the state directory and looks the machine over.
func newHost(o Options) (*host, error) {
	dir, err := filepath.Abs(o.StateDir)
	if err != nil || o.StateDir == "" {
		return nil, fmt.Errorf("state directory %q: must be a path: %w", o.StateDir, err)
	}
	for _, d := range []string{dir, filepath.Join(dir, scratchDir), filepath.Join(dir, deviceDir), filepath.Join(dir, socketDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("making the sandbox's state directory: %w", err)
		}
	}
	h := &host{dir: dir, uid: os.Geteuid(), gid: os.Getegid(), base: o.IDBase, userns: -1, null: -1}
	if err := h.makeSys(); err != nil {
		return nil, err
	}
	h.rootless = !privileged()
	h.idmap = !h.rootless && kernelAtLeast(5, 19)
	h.lastCap = lastCapability()
	if h.files, err = fileLimit(); err != nil {
		return nil, err
	}
	if h.filter, err = seccompFilter(); err != nil {
		return nil, err
	}
	d, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	h.dumpable = err == nil && d == 1
	adj, err := getInt("/proc/self", "oom_score_adj")
	h.spared = err == nil && adj < 0
	if h.null, err = ownFD(unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)); err != nil {
		return nil, fmt.Errorf("opening /dev/null: %w", err)
	}
	return h, nil
}

func (h *host) close() {
	for _, fd := range []int{h.userns, h.null} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// restoreDumpable undoes what a change of user in a child that still shared our memory did to us: without it the
// platform could not be debugged, and could not read its own /proc entries when it is not root.
func (h *host) restoreDumpable() {
	if h.dumpable && !h.rootless {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	}
}

// expose makes a copy as likely to be chosen as any process when the machine runs out of memory. Only once it has
// executed: before, the setting is shared with the platform.
func (h *host) expose(pid int) {
	if h.spared {
		_ = put(filepath.Join("/proc", strconv.Itoa(pid)), "oom_score_adj", 0)
	}
}

// ownFD moves a fresh descriptor out of the range that children arrange for themselves.
func ownFD(fd int, err error) (int, error) {
	if err != nil || fd >= lowestOwn {
		return fd, err
	}
	defer unix.Close(fd)
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowestOwn)
}

// privileged reports whether the platform may do on its own what otherwise takes a user namespace.
func privileged() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Geteuid() != 0 || unix.Capget(&hdr, &data[0]) != nil {
		return false
	}
	for _, c := range []uint{unix.CAP_SYS_ADMIN, unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_CHOWN, unix.CAP_NET_ADMIN} {
		if data[c/32].Effective&(1<<(c%32)) == 0 {
			return false
		}
	}
	return true
}

func kernelAtLeast(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var a, b int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

func lastCapability() uintptr {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n < 64 {
			return uintptr(n)
		}
	}
	return unix.CAP_LAST_CAP
}

// fileLimit is the usual limit of open files, or less when the platform itself has less.
func fileLimit() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &r); err != nil {
		return 0, fmt.Errorf("reading the limit of open files: %w", err)
	}
	return min(r.Max, 1<<20), nil
}

// makeUserNamespace makes the user namespace that all copies of a privileged platform enter last. Their other
// namespaces stay the host's property, so that even all capabilities in it would give no power over them.
func makeUserNamespace(base, count uint32) (int, error) {
	p, err := newProgram(4096)
	if err != nil {
		return -1, err
	}
	defer p.free()
	p.doing("waiting")
	p.call(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	p.call(unix.SYS_PPOLL, 0, 0, 0, 0, 0)
	if err := p.seal(); err != nil {
		return -1, err
	}
	pid, pidfd, err := p.clone(unix.CLONE_NEWUSER, -1)
	if err != nil {
		return -1, fmt.Errorf("making a user namespace: %w", err)
	}
	defer func() {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		_, _ = unix.Wait4(pid, nil, unix.WALL, nil)
		_ = unix.Close(pidfd)
	}()
	proc := "/proc/" + strconv.Itoa(pid)
	line := fmt.Sprintf("0 %d %d\n", base, count)
	for _, f := range []string{"/uid_map", "/gid_map"} {
		if err := os.WriteFile(proc+f, []byte(line), 0); err != nil {
			return -1, fmt.Errorf("mapping the users of the sandbox to %d and following: %w", base, err)
		}
	}
	fd, err := ownFD(unix.Open(proc+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0))
	if err != nil {
		return -1, fmt.Errorf("opening the user namespace: %w", err)
	}
	return fd, nil
}

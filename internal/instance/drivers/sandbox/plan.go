//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// The descriptors of a child while it prepares itself. They are fixed, so that everything else can be closed at once
// before anything slow: a descriptor that lingers in one child would keep another's pipes open.
const (
	fdListen = 3
	fdFail   = 10 // closed by execve: its end tells the platform that the program runs
	fdUserNS = 11
	fdFirst  = 12
	// lowestOwn is the lowest number a descriptor handed to a child may have in the platform.
	lowestOwn = 16
)

const (
	defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	sizeofAttr  = 32 // struct mount_attr
	tmpMode     = 0o1777
)

// plan is everything one child does, before it is written down as a program.
type plan struct {
	host     *host
	hostname string
	layers   []string // lowest first
	binds    []Bind
	process  instance.Process
	files    []instance.File
	// courtesies are files that a program may do without, so an image whose directories cannot be written to is no error.
	courtesies []instance.File
	writable   int64 // bytes of all that it writes: root, /tmp, /dev/shm
	fileSize   int64 // largest file, 0 unlimited
	links      map[string]string
	shareNet   bool // with the host
	hostNet    int  // the host's network namespace, -1 when a copy shares it anyway

	stdin, stdout, stderr int
	listen                int // -1 without activation
	fail                  int

	views []view // of the group it is born in, when it must mount them itself

	proc, tmp, shm, dev, sys uintptr   // where the program keeps its mounts
	bindSlots, viewSlots     []uintptr // the same for binds and views
}

// compile writes the plan down. The order matters: what needs the host's files comes before the change of root, what
// an image could misdirect with a symbolic link comes after it, where links cannot lead out.
func (pl *plan) compile() (*program, error) {
	p, err := newProgram(pl.size())
	if err != nil {
		return nil, err
	}
	pl.descriptors(p)
	if pl.host.rootless {
		pl.identity(p)
	}
	pl.rootfs(p)
	pl.detach(p)
	pl.pivot(p)
	pl.attach(p)
	pl.writeFiles(p)
	pl.confine(p)
	pl.execute(p)
	if err := p.seal(); err != nil {
		p.free()
		return nil, err
	}
	return p, nil
}

// size is an upper bound of the data of the program.
func (pl *plan) size() int {
	n := 16<<10 + len(pl.process.Dir)*4
	paths := 1 + strings.Count(strings.Join(pl.process.Env, ""), ":")
	for _, s := range pl.process.Args {
		n += len(s) + 24
	}
	n += paths * (64 + len(pl.arg0()))
	for _, s := range pl.process.Env {
		n += 2*len(s) + 24
	}
	for _, f := range slices.Concat(pl.courtesies, pl.files) {
		n += len(f.Data) + len(f.Path)*(2+strings.Count(f.Path, "/")) + 128
	}
	for k, v := range pl.links {
		n += len(k)*(2+strings.Count(k, "/")) + len(v) + 64
	}
	for _, l := range pl.layers {
		n += len(l) + 128
	}
	for _, b := range pl.binds {
		n += len(b.Host) + len(b.Path)*(2+strings.Count(b.Path, "/")) + 256
	}
	for _, v := range pl.views {
		n += len(v.dir) + len(v.at) + 256
	}
	return n + 8*len(pl.host.filter)
}

func (pl *plan) descriptors(p *program) {
	p.doing("arranging its file descriptors")
	move := func(from, to int, flags uintptr) {
		p.call(unix.SYS_DUP3, uintptr(from), uintptr(to), flags)
	}
	if pl.shareNet && pl.hostNet >= 0 {
		p.call(unix.SYS_SETNS, uintptr(pl.hostNet), unix.CLONE_NEWNET)
	}
	move(pl.fail, fdFail, unix.O_CLOEXEC)
	if pl.host.userns >= 0 {
		move(pl.host.userns, fdUserNS, unix.O_CLOEXEC)
	}
	move(pl.stdin, 0, 0)
	move(pl.stdout, 1, 0)
	move(pl.stderr, 2, 0)
	first := uintptr(fdListen)
	if pl.listen >= 0 {
		move(pl.listen, fdListen, 0)
		first++
	}
	p.call(unix.SYS_CLOSE_RANGE, fdFirst, uintptr(^uint32(0)), 0)
	p.call(unix.SYS_CLOSE_RANGE, first, fdFail-1, 0)
	p.call(unix.SYS_SETSID)
	p.doing("tying its life to the platform's")
	p.call(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	p.doing("making its cgroup namespace")
	p.call(unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP).allowAny() // absent before 4.6; hides names only
	p.call(unix.SYS_UMASK, 0)
}

// identity gives an unprivileged child the identity of the platform's user under the wanted number, and a loopback.
func (pl *plan) identity(p *program) {
	p.doing("mapping its user")
	one := func(inside uint32, outside int) string { return fmt.Sprintf("%d %d 1", inside, outside) }
	pl.writeTo(p, "/proc/self/setgroups", "deny")
	pl.writeTo(p, "/proc/self/uid_map", one(pl.process.UID, pl.host.uid))
	pl.writeTo(p, "/proc/self/gid_map", one(pl.process.GID, pl.host.gid))
	if pl.shareNet {
		return
	}
	p.doing("bringing its loopback up")
	var req [40]byte // struct ifreq
	copy(req[:], "lo")
	req[16] = unix.IFF_UP
	fd := p.words(0)
	p.call(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).into(fd)
	p.call(unix.SYS_IOCTL, 0, unix.SIOCSIFFLAGS, p.bytes(req[:])).from(0, fd)
	pl.writeTo(p, "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
}

func (pl *plan) writeTo(p *program, file, data string) {
	fd := p.words(0)
	p.call(unix.SYS_OPENAT, atCWD, p.str(file), unix.O_WRONLY|unix.O_CLOEXEC).into(fd)
	p.call(unix.SYS_WRITE, 0, p.str(data), uintptr(len(data))).from(0, fd)
	p.call(unix.SYS_CLOSE, 0).from(0, fd)
}

// confine gives up every right, in an order in which each step still has the right to be made.
func (pl *plan) confine(p *program) {
	if !pl.host.rootless {
		p.doing("entering its user namespace")
		p.call(unix.SYS_SETNS, fdUserNS, unix.CLONE_NEWUSER)
		p.doing("becoming its user")
		p.call(unix.SYS_SETGROUPS, 0, 0)
		gid, uid := uintptr(pl.process.GID), uintptr(pl.process.UID)
		p.call(unix.SYS_SETRESGID, gid, gid, gid)
		p.call(unix.SYS_SETRESUID, uid, uid, uid)
	}
	p.doing("entering its working directory " + pl.dir())
	p.call(unix.SYS_CHDIR, p.str(pl.dir()))
	p.doing("limiting its resources")
	pl.rlimit(p, unix.RLIMIT_CORE, 0)
	pl.rlimit(p, unix.RLIMIT_NOFILE, pl.host.files)
	if pl.fileSize > 0 {
		pl.rlimit(p, unix.RLIMIT_FSIZE, uint64(pl.fileSize))
	}
	p.doing("dropping its capabilities")
	for c := uintptr(0); c <= pl.host.lastCap; c++ {
		p.call(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c)
	}
	p.call(unix.SYS_CAPSET, p.words(unix.LINUX_CAPABILITY_VERSION_3), p.words(0, 0, 0))
	p.doing("forbidding new privileges")
	p.call(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	p.doing("tying its life to the platform's")
	p.call(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL)) // a change of user has cleared it
	p.call(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, p.words(0), 0, 8)
	p.call(unix.SYS_UMASK, 0o022)
	p.doing("filtering its system calls")
	code := p.bytes(pl.host.filter)
	prog := p.words(uint64(len(pl.host.filter)/8), uint64(code)) // struct sock_fprog
	p.call(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, prog)
}

func (pl *plan) rlimit(p *program, which uintptr, v uint64) {
	p.call(unix.SYS_PRLIMIT64, 0, which, p.words(v, v), 0)
}

func (pl *plan) execute(p *program) {
	env := pl.env()
	argv, envv := p.strs(pl.process.Args), p.strs(env)
	p.doing("executing " + strconv.Quote(pl.arg0()))
	candidates := pl.candidates(env)
	for i, c := range candidates {
		s := p.call(unix.SYS_EXECVE, p.str(c), argv, envv)
		if i < len(candidates)-1 {
			s.allow(unix.ENOENT)
		}
	}
}

func (pl *plan) arg0() string {
	if len(pl.process.Args) == 0 {
		return ""
	}
	return pl.process.Args[0]
}

func (pl *plan) dir() string {
	if pl.process.Dir == "" {
		return "/"
	}
	return pl.process.Dir
}

// env is the environment with what the platform itself tells the process. Its own words win over the user's.
func (pl *plan) env() []string {
	env := make([]string, 0, len(pl.process.Env)+3)
	hasPath := false
	for _, kv := range pl.process.Env {
		if strings.HasPrefix(kv, "LISTEN_FDS=") || strings.HasPrefix(kv, "LISTEN_PID=") {
			continue
		}
		hasPath = hasPath || strings.HasPrefix(kv, "PATH=")
		env = append(env, kv)
	}
	if !hasPath {
		env = append(env, defaultPath)
	}
	if pl.listen >= 0 {
		env = append(env, "LISTEN_FDS=1", "LISTEN_PID=1")
	}
	return env
}

// candidates are the files that may be meant by the first argument.
func (pl *plan) candidates(env []string) []string {
	name := pl.arg0()
	if strings.Contains(name, "/") {
		return []string{name}
	}
	var found []string
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			found = found[:0]
			for _, dir := range strings.Split(v, ":") {
				found = append(found, path.Join("/", pl.relativeTo(dir), name))
			}
		}
	}
	return found[:min(len(found), 64)]
}

func (pl *plan) relativeTo(dir string) string {
	if path.IsAbs(dir) {
		return dir
	}
	return path.Join(pl.dir(), dir)
}

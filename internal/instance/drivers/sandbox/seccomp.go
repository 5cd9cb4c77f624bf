//go:build linux && (amd64 || arm64)

package sandbox

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	actAllow  = 0x7fff0000 // SECCOMP_RET_ALLOW
	actKill   = 0x80000000 // SECCOMP_RET_KILL_PROCESS
	actDeny   = 0x00050000 | uint32(unix.EPERM)
	actAbsent = 0x00050000 | uint32(unix.ENOSYS) // C libraries then fall back to older calls

	offNr, offArch, offArg0 = 0, 4, 16 // struct seccomp_data, little endian

	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME
)

// lastReviewed is the highest system call number that was considered for the list below; anything newer is absent.
const lastReviewed = 463

// denied are the system calls that no function needs and that reach beyond it or widen the kernel's attack surface. The
// selection follows the default profile that container engines share.
var denied = []int{
	unix.SYS_ACCT, unix.SYS_ADD_KEY, unix.SYS_BPF, unix.SYS_CLOCK_ADJTIME, unix.SYS_CLOCK_SETTIME,
	unix.SYS_DELETE_MODULE, unix.SYS_FANOTIFY_INIT, unix.SYS_FINIT_MODULE, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT,
	unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_GET_MEMPOLICY, unix.SYS_INIT_MODULE, unix.SYS_IO_URING_ENTER,
	unix.SYS_IO_URING_REGISTER, unix.SYS_IO_URING_SETUP, unix.SYS_KCMP, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_KEXEC_LOAD,
	unix.SYS_KEYCTL, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_MBIND, unix.SYS_MIGRATE_PAGES, unix.SYS_MOUNT,
	unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT, unix.SYS_MOVE_PAGES, unix.SYS_NAME_TO_HANDLE_AT,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_OPEN_TREE, unix.SYS_PERF_EVENT_OPEN, unix.SYS_PIDFD_GETFD,
	unix.SYS_PIVOT_ROOT, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PTRACE, unix.SYS_QUOTACTL,
	unix.SYS_QUOTACTL_FD, unix.SYS_REBOOT, unix.SYS_REQUEST_KEY, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	unix.SYS_SET_MEMPOLICY, unix.SYS_SET_MEMPOLICY_HOME_NODE, unix.SYS_SETNS, unix.SYS_SETTIMEOFDAY,
	unix.SYS_SWAPOFF, unix.SYS_SWAPON, unix.SYS_SYSLOG, unix.SYS_UMOUNT2, unix.SYS_UNSHARE, unix.SYS_USERFAULTFD,
	unix.SYS_VHANGUP, unix.SYS_CHROOT,
	457, 458, // statmount, listmount
}

// rule is what happens from one system call number up to the next rule's.
type rule struct {
	from int
	then []bpf.Instruction
}

func ret(v uint32) bpf.Instruction { return bpf.RetConstant{Val: v} }

func arg0() bpf.Instruction { return bpf.LoadAbsolute{Off: offArg0, Size: 4} }

// rules are sorted by number and cover all numbers.
func rules() []rule {
	special := map[int][]bpf.Instruction{
		unix.SYS_CLONE3: {ret(actAbsent)}, // its flags are in memory, where a filter cannot look
		unix.SYS_CLONE:  {arg0(), bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: namespaces, SkipFalse: 1}, ret(actDeny), ret(actAllow)},
		unix.SYS_SOCKET: {arg0(), bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_VSOCK, SkipFalse: 1}, ret(actDeny), ret(actAllow)},
		// Only the usual personality, or a question about it.
		unix.SYS_PERSONALITY: {arg0(), bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0xffffffff, SkipFalse: 1}, ret(actAllow), ret(actDeny)},
	}
	for _, nr := range slices.Concat(denied, deniedHere) {
		special[nr] = []bpf.Instruction{ret(actDeny)}
	}
	var rs []rule
	for nr := 0; nr <= lastReviewed; nr++ {
		then, odd := special[nr]
		if !odd {
			then = []bpf.Instruction{ret(actAllow)}
		}
		if len(rs) > 0 && slices.Equal(rs[len(rs)-1].then, then) {
			continue
		}
		rs = append(rs, rule{nr, then})
	}
	return append(rs, rule{lastReviewed + 1, []bpf.Instruction{ret(actAbsent)}})
}

// search is a binary search over rules: the kernel runs it for every number when the filter is installed.
func search(rs []rule) []bpf.Instruction {
	if len(rs) == 1 {
		return rs[0].then
	}
	mid := len(rs) / 2
	low, high := search(rs[:mid]), search(rs[mid:])
	jump := bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: uint32(rs[mid].from), SkipTrue: uint8(len(low))}
	return slices.Concat([]bpf.Instruction{jump}, low, high)
}

// instructions is the filter of every copy.
func instructions() []bpf.Instruction {
	return slices.Concat([]bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		ret(actKill),
		bpf.LoadAbsolute{Off: offNr, Size: 4},
	}, search(rules()))
}

// seccompFilter is the filter as an array of struct sock_filter.
func seccompFilter() ([]byte, error) {
	raw, err := bpf.Assemble(instructions())
	if err != nil {
		return nil, fmt.Errorf("assembling the system call filter: %w", err)
	}
	b := make([]byte, 0, 8*len(raw))
	for _, i := range raw {
		b = binary.LittleEndian.AppendUint16(b, i.Op)
		b = append(b, i.Jt, i.Jf)
		b = binary.LittleEndian.AppendUint32(b, i.K)
	}
	return b, nil
}
